/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/config-json.h"
#include "found-fixture.h"
#include "test.h"

#define KEY "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:"
#define OTHER "NVMeTLSkey-1:00:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:"
#define DIGEST "iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU="
#define BYTES " sha256 32 55\n"
#define PORTS(nqn, ports) "{\"nqn\":\"" nqn "\",\"ports\":[" ports "]}"
#define HOST(subsystems) "[{\"hostnqn\":\"nqn.h\",\"subsystems\":[" subsystems "]}]"

#define ASSERT_FOUND(text, expected)                                                               \
    do {                                                                                           \
        char found[FOUND_SIZE];                                                                    \
        ASSERT_OK(found_collect(config_json_read, text, found));                                   \
        ASSERT_STR(found, expected);                                                               \
    } while (0)

TEST(keys)
{
    ASSERT_FOUND(HOST(PORTS("nqn.a", "{\"tls_key\":\"" KEY "\"}")),
                 "psk 1 host=nqn.h subsys=nqn.a" BYTES);
    ASSERT_FOUND("{\"hosts\":" HOST(PORTS("nqn.a", "{\"tls_key\":\"" KEY "\"}")) "}",
                 "psk 1 host=nqn.h subsys=nqn.a" BYTES);
    ASSERT_FOUND("[{\"subsystems\":[" PORTS("nqn.a", "{\"tls_key\":\"" KEY "\"}") "]}]",
                 "psk 1 subsys=nqn.a" BYTES);
    ASSERT_FOUND("[]", "");
    ASSERT_FOUND("[{}]", "");
    ASSERT_FOUND(HOST(PORTS("nqn.a", "{\"tls\":true}")), "");
}

/* With an identity, a key with a hash is the TLS PSK of it; libnvme derives one without. */
TEST(identities)
{
#define IDENTITY "NVMe1R01 nqn.x nqn.y " DIGEST
    ASSERT_FOUND(HOST(PORTS("nqn.a", "{\"tls_key\":\"" KEY "\",\"tls_key_identity\":\"" IDENTITY
                                     "\"},{\"tls_key_identity\":\"" IDENTITY
                                     "\",\"tls_key\":\"" OTHER "\"}")),
                 "psk 1 host=nqn.x subsys=nqn.y identity=" IDENTITY BYTES
                 "psk 1 host=nqn.h subsys=nqn.a none 32 55\n");
}

TEST(lines)
{
    ASSERT_FOUND("[\n{\"subsystems\":[" PORTS("nqn.a", "\n\n{\"tls_key\":\n\"" KEY "\"},"
                                                       "{\"tls_key\": \n\"" KEY "\"}") "]}]",
                 "psk 5 subsys=nqn.a" BYTES "psk 5 subsys=nqn.a" BYTES);
    /* An escape hides the text of a key. */
    ASSERT_FOUND(HOST(PORTS("nqn.a", "{\"tls_key\":\"NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf\\/"
                                     "DRLz0QuLdbYvEhwtdWwNf9LrZ:\"}")),
                 "psk 0 host=nqn.h subsys=nqn.a" BYTES);
}

TEST(others_and_faults)
{
    ASSERT_FOUND(HOST(PORTS("nqn.a", "{\"tls_key\":\"12345\"},{\"tls_key\":\"x\"}")),
                 "other 1 it names a key of the ke\nfault 1 prefix: a configured PSK\n");
    ASSERT_FOUND("[{\"subsystems\":[{\"ports\":[{\"tls_key\":\"" KEY "\"}]}]}]",
                 "fault 1 the subsystem of this tl\n");
    ASSERT_FOUND("[", "fault 0 not JSON, or too deep\n");
    ASSERT_FOUND("[1],\"config\":[2]", "fault 0 not a config.json of nvm\n");
    ASSERT_FOUND("[],\"x\":1", "fault 0 not JSON, or too deep\n");
    ASSERT_FOUND("{}", "fault 0 not a config.json of nvm\n");
    ASSERT_FOUND("[1]", "fault 0 not a config.json of nvm\n");
    ASSERT_FOUND("{\"hosts\":[{\"hostnqn\":1}]}", "fault 0 not a config.json of nvm\n");
    ASSERT_FOUND("[{\"subsystems\":{}}]", "fault 0 not a config.json of nvm\n");
    ASSERT_FOUND(HOST(PORTS("nqn.a", "{\"tls_key\":1}")), "fault 0 not a config.json of nvm\n");
}
