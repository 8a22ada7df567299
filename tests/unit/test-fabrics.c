/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/fabrics.h"
#include "found-fixture.h"
#include "test.h"

#define KEY "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:"
#define DIGEST "iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU="
#define BYTES " sha256 32 55\n"

#define ASSERT_FOUND(text, expected)                                                               \
    do {                                                                                           \
        char found[FOUND_SIZE];                                                                    \
        ASSERT_OK(found_collect(fabrics_read, text, found));                                       \
        ASSERT_STR(found, expected);                                                               \
    } while (0)

TEST(endpoints)
{
    ASSERT_FOUND("[Subsystem]\nnqn = nqn.a\ntls-key = " KEY "\n", "psk 3 subsys=nqn.a" BYTES);
    ASSERT_FOUND("[Subsystem]\ntls-key=" KEY "\nnqn=nqn.a", "psk 2 subsys=nqn.a" BYTES);
    ASSERT_FOUND("[Discovery Controller]\ntls-key=" KEY,
                 "psk 2 subsys=nqn.2014-08.org.nvmexpress.discovery" BYTES);
    ASSERT_FOUND("[Discovery Controller]\nnqn=nqn.b\ntls-key=" KEY, "psk 3 subsys=nqn.b" BYTES);
    ASSERT_FOUND("[Subsystem]\nnqn=nqn.a\n[Subsystem]\nnqn=nqn.b\ntls-key=\n", "");
    ASSERT_FOUND("", "");
}

/* [Host] counts wherever it stands; what is nearer wins. */
TEST(inheritance)
{
    ASSERT_FOUND("[Subsystem]\nnqn=nqn.a\ntls-key=" KEY "\n[Host]\nhostnqn = nqn.h\n",
                 "psk 3 host=nqn.h subsys=nqn.a" BYTES);
    ASSERT_FOUND("[Host]\ntls-key=" KEY "\n[Subsystem]\nnqn=nqn.a\n[Subsystem]\nnqn=nqn.b\n",
                 "psk 2 subsys=nqn.a" BYTES "psk 2 subsys=nqn.b" BYTES);
    ASSERT_FOUND("[I/O Controller Defaults]\ntls-key=" KEY
                 "\n[Subsystem]\nnqn=nqn.a\n[Discovery Controller]\nnqn=nqn.b",
                 "psk 2 subsys=nqn.a" BYTES);
    ASSERT_FOUND("[Host]\ntls-key=" KEY "\n[Subsystem]\nnqn=nqn.a\ntls-key=\n", "");
}

TEST(identity)
{
    ASSERT_FOUND("[Subsystem]\nnqn=nqn.a\ntls-key=" KEY
                 "\ntls-key-identity = NVMe1R01 nqn.x nqn.y " DIGEST,
                 "psk 3 host=nqn.x subsys=nqn.y identity=NVMe1R01 nqn.x nqn.y " DIGEST BYTES);
    ASSERT_FOUND("[Subsystem]\nnqn=nqn.a\ntls-key=" KEY "\ntls-key-identity = NVMe1R01 nqn.x nqn.y",
                 "fault 3 an identity of version 1\n");
    ASSERT_FOUND("[Subsystem]\nnqn=nqn.a\ntls-key=" KEY "\ntls-key-identity = x",
                 "fault 3 not an identity: NVMe0Rh\n");
}

TEST(sources)
{
    ASSERT_FOUND("[Host]\nkey-source = systemd-creds\n[Subsystem]\nnqn=nqn.a\ntls-key = name",
                 "credential 5+2 subsys=nqn.a credential=name\n");
    ASSERT_FOUND("[Subsystem]\nnqn=nqn.a\ntls-key=../name\nkey-source=systemd-creds",
                 "fault 3 tls-key= is not the name\n");
    ASSERT_FOUND("[Subsystem]\nnqn=nqn.a\ntls-key=x\nkey-source=kmip",
                 "other 3 its key-source= is none \n");
    ASSERT_FOUND("[Subsystem]\nnqn=nqn.a\ntls-key=0x12", "other 3 it names a key of the ke\n");
    ASSERT_FOUND("[Subsystem]\nnqn=nqn.a\ntls-key=12", "other 3 it names a key of the ke\n");
}

TEST(faults)
{
    ASSERT_FOUND("[Subsystem]\ntls-key=" KEY, "fault 1 this [Subsystem] has a t\n");
    ASSERT_FOUND("[Subsystem\nx\n", "fault 1 neither [SECTION] nor OP\nfault 2 neither [SECTION] "
                                    "nor OP\n");
    ASSERT_FOUND("[Subsystem]\nnqn=a;b\ntls-key=" KEY, "fault 3 not an NQN: at most 223 \n");
    ASSERT_FOUND("[Subsystem]\nnqn=nqn.a\ntls-key=NVMeTLSkey-1:01:x:", "fault 3 length: a "
                                                                       "configured PSK\n");
    ASSERT_FOUND("[Subsystem]\nnqn=nqn.a\ntls-key=pin:1234", "fault 3 a PIN is no PSK: write t\n");
    /* All of them, and good ones between them. */
    ASSERT_FOUND("[Subsystem]\nnqn=nqn.a\ntls-key=pin:1\n[Subsystem]\nnqn=nqn.b\ntls-key=" KEY
                 "\n[Subsystem]\nnqn=nqn.c\ntls-key=y",
                 "fault 3 a PIN is no PSK: write t\npsk 6 subsys=nqn.b" BYTES
                 "fault 9 prefix: a configured PSK\n");
}

/* Other sections and options do no harm. */
TEST(unknown)
{
    ASSERT_FOUND("nqn = nqn.a\ntls-key = " KEY "\n[Other]\ntls-key=" KEY
                 "\n[Subsystem]\nnqn=nqn.a\ntls = true\ncontroller = transport=tcp;traddr=::1\n",
                 "");
}
