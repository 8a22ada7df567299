/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "basic/macro.h"
#include "nvme-keyd-fetch/etcd-request.h"
#include "test.h"

#define ASSERT_REQUEST(request, expected)                                                          \
    do {                                                                                           \
        _cleanup_(freep) char *text_ = (request);                                                  \
        ASSERT_STR(text_, expected);                                                               \
    } while (0)

TEST(requests)
{
    /* "/a/" ends before "/a0". */
    ASSERT_REQUEST(etcd_request_range("/a/", "/a/", 0, 5, true),
                   "{\"key\":\"L2Ev\",\"range_end\":\"L2Ew\",\"limit\":\"5\",\"keys_only\":true}");
    ASSERT_REQUEST(etcd_request_range("/a/b", "/a/", 9, 0, false),
                   "{\"key\":\"L2EvYg==\",\"range_end\":\"L2Ew\",\"revision\":\"9\","
                   "\"keys_only\":false}");
    ASSERT_REQUEST(etcd_request_get("/a"), "{\"key\":\"L2E=\"}");
    ASSERT_REQUEST(etcd_request_watch("/a/", 18446744073709551615ULL),
                   "{\"create_request\":{\"key\":\"L2Ev\",\"range_end\":\"L2Ew\","
                   "\"start_revision\":\"18446744073709551615\",\"progress_notify\":true,"
                   "\"fragment\":true}}");
    ASSERT_REQUEST(etcd_request_put("/a", "hi", 0), "{\"key\":\"L2E=\",\"value\":\"aGk=\"}");
    ASSERT_REQUEST(etcd_request_put("/a", "", 7),
                   "{\"key\":\"L2E=\",\"value\":\"\",\"lease\":\"7\"}");
    ASSERT_REQUEST(etcd_request_grant(30), "{\"TTL\":\"30\"}");
    ASSERT_REQUEST(etcd_request_keep_alive(7), "{\"ID\":\"7\"}");
}

TEST(login)
{
    _cleanup_(secret_freep) Secret *password = secret_new_copy("a\"\\\xc3\xa4", 5);
    _cleanup_(secret_freep) Secret *control = secret_new_copy("a\nb", 3);
    _cleanup_(secret_freep) Secret *nul = secret_new_copy("a\0b", 3);
    _cleanup_(secret_freep) Secret *body = NULL;
    Secret *none = NULL;

    ASSERT_OK(etcd_request_login("m\"1", password, &body));
    ASSERT_STR((const char *)body->data,
               "{\"name\":\"m\\\"1\",\"password\":\"a\\\"\\\\\xc3\xa4\"}");
    ASSERT_EQ(etcd_request_login("m1", control, &none), -EINVAL);
    ASSERT_EQ(etcd_request_login("m1", nul, &none), -EINVAL);
}
