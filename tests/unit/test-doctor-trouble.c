/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "basic/macro.h"
#include "nvme-keyctl/doctor/trouble.h"
#include "test.h"

/* The narrow texts come before the wide ones. */
TEST(causes)
{
    static const struct {
        const char *message, *cause;
    } cases[] = {
        {"nvme nvme0: no valid PSK found", "no key for this host"},
        {"nvme nvme0: failed to start TLS: -3", "tlshd does not run"},
        {"nvme nvme0: queue 0: TLS handshake failed, error -110", "did not answer"},
        {"nvme nvme0: queue 0: TLS handshake failed, error -13", "lacks the key"},
        {"nvmet_tcp: TLS record 22 unhandled", "KeyUpdate"},
        {"failed to search 'psk' key 'NVMe1R01 a b'", "does not have"},
        {"Handshake with 'a' (192.0.2.1) failed", "the keys of the two ends differ"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const Trouble *t = trouble_find(cases[i].message);

        ASSERT_TRUE(t && strstr(t->cause, cases[i].cause));
        ASSERT_TRUE(t->remedy[0]);
    }
    ASSERT_TRUE(!trouble_find("Handshake with 'a' (192.0.2.1) succeeded"));
    ASSERT_TRUE(!trouble_find("nvme nvme0: creating 2 I/O queues."));
}
