/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "basic/macro.h"
#include "nvme-keyd/controllers/counters.h"
#include "test.h"

/* Linux 6.16 and later. */
static const char stat[] = "TlsCurrTxSw                     \t0\n"
                           "TlsRxSw                         \t14\n"
                           "TlsTxRekeyOk                    \t9\n"
                           "TlsRxRekeyOk                    \t1\n"
                           "TlsTxRekeyError                 \t8\n"
                           "TlsRxRekeyError                 \t7\n"
                           "TlsRxRekeyReceived              \t3\n";

static KeyUpdates parse(const char *text)
{
    KeyUpdates u;

    key_updates_parse(text, strlen(text), &u);
    return u;
}

TEST(key_updates)
{
    KeyUpdates u = parse(stat);

    ASSERT_TRUE(u.counted);
    ASSERT_EQ(u.received, 3);
    ASSERT_EQ(u.done, 1);
    ASSERT_TRUE(key_updates_are_open(&u));
    u = parse("TlsRxRekeyOk 3\nTlsRxRekeyReceived 3");
    ASSERT_TRUE(u.counted);
    ASSERT_TRUE(!key_updates_are_open(&u));
}

/* Both counters are needed, each a number of its own line. */
TEST(no_key_updates)
{
    static const char *const cases[] = {
        "",
        "\n\n",
        "TlsRxSw 14\n",
        "TlsRxRekeyReceived 3\n",
        "TlsRxRekeyReceived 3\nTlsRxRekeyOk\n",
        "TlsRxRekeyReceived 3\nTlsRxRekeyOk x\n",
        "TlsRxRekeyReceived 3\nTlsRxRekeyOk 1x\n",
        "TlsRxRekeyReceived 3\nTlsRxRekeyOkay 1\n",
        "TlsRxRekeyReceived 3\nTlsRxRekeyOk \n1\n",
        "TlsRxRekeyReceived 18446744073709551616\nTlsRxRekeyOk 1\n",
        " TlsRxRekeyReceived 3\nTlsRxRekeyOk 1\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        ASSERT_TRUE(!parse(cases[i]).counted);
}

TEST(read)
{
    char path[] = "/tmp/test-counters-XXXXXX";
    _cleanup_(closep) int fd = mkstemp(path);
    KeyUpdates u = {.counted = true};

    ASSERT_OK(key_updates_read("/nonexistent", &u));
    ASSERT_TRUE(!u.counted);
    ASSERT_EQ(write(fd, stat, strlen(stat)), (ssize_t)strlen(stat));
    ASSERT_OK(key_updates_read(path, &u));
    ASSERT_TRUE(u.counted);
    ASSERT_OK(unlink(path));
    ASSERT_EQ(key_updates_read("/tmp", &u), -EINVAL);
}

TEST(requests)
{
    static const char now[] = "     100        0     1000       5      20        0     4096      "
                              "  7        2       12       13        3        0        8        1 "
                              "       4        2\n";
    BlockRequests r;

    ASSERT_OK(block_requests_parse(now, strlen(now), &r));
    ASSERT_EQ(r.completed, 127);
    ASSERT_EQ(r.in_flight, 2);
    /* Without the later fields. */
    ASSERT_OK(block_requests_parse("1 2 3 4 5 6 7 8 9 10 11", 23, &r));
    ASSERT_EQ(r.completed, 6);
    ASSERT_EQ(r.in_flight, 9);
    ASSERT_EQ(block_requests_parse("1 2 3 4 5 6 7 8\n", 16, &r), -EBADMSG);
    ASSERT_EQ(block_requests_parse("1 2 3 4 5 6 7 8 x", 17, &r), -EBADMSG);
    ASSERT_EQ(block_requests_parse("", 0, &r), -EBADMSG);
}
