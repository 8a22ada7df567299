/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fleet/place.h"
#include "test.h"
#include "tree.h"

#define ENVELOPE "machines/ff/envelopes/aa"

static void tree_removep(const char (*path)[32])
{
    tree_remove(*path);
}

#define PLACE                                                                                      \
    _cleanup_(tree_removep) char path[32] = "/tmp/keyd-place.XXXXXX";                              \
    _cleanup_(place_freep) Place *place = NULL;                                                    \
    ASSERT_TRUE(mkdtemp(path));                                                                    \
    ASSERT_OK(place_open_directory(path, &place))

static int put(Place *place, const char *key, const char *text, uint64_t version)
{
    return place->type->change(place, (PlaceChange[]){{key, text, version}}, 1);
}

TEST(values)
{
    PLACE;
    _cleanup_(place_value_done) PlaceValue one = {.size = 0}, two = {.size = 0};

    ASSERT_EQ(place->type->get(place, ENVELOPE, &one), -ENOENT);
    ASSERT_OK(put(place, ENVELOPE, "one", PLACE_ABSENT));
    ASSERT_OK(place->type->get(place, ENVELOPE, &one));
    ASSERT_STR(one.data, "one");
    ASSERT_EQ(one.size, 3);
    ASSERT_EQ(put(place, ENVELOPE, "two", PLACE_ABSENT), -ESTALE);
    ASSERT_OK(put(place, ENVELOPE, "two", one.version));
    ASSERT_EQ(put(place, ENVELOPE, "three", one.version), -ESTALE);
    ASSERT_OK(place->type->get(place, ENVELOPE, &two));
    ASSERT_STR(two.data, "two");
    ASSERT_EQ(put(place, ENVELOPE, NULL, one.version), -ESTALE);
    ASSERT_OK(put(place, ENVELOPE, NULL, two.version));
    ASSERT_OK(put(place, ENVELOPE, NULL, PLACE_ANY));
    ASSERT_OK(put(place, "machines/none/envelopes/bb", NULL, PLACE_ANY));
    ASSERT_EQ(place->type->get(place, ENVELOPE, &(PlaceValue){.size = 0}), -ENOENT);
}

/* A version that is wrong in the middle leaves all as it was. */
TEST(all_or_nothing)
{
    PLACE;

    ASSERT_OK(put(place, "b", "old", PLACE_ANY));
    ASSERT_EQ(
        place->type->change(
            place, (PlaceChange[]){{"a", "new", PLACE_ABSENT}, {"b", "new", PLACE_ABSENT}}, 2),
        -ESTALE);
    ASSERT_EQ(place->type->get(place, "a", &(PlaceValue){.size = 0}), -ENOENT);
}

static int note(const char *name, const PlaceValue *value, void *userdata)
{
    char *text = userdata;

    (void)snprintf(text + strlen(text), 100 - strlen(text), "%s=%s ", name,
                   value ? value->data : "");
    return strcmp(name, "stop") == 0 ? -ECANCELED : 0;
}

TEST(lists)
{
    PLACE;
    char text[100] = "";

    ASSERT_OK(place->type->list(place, "pairs", false, note, text));
    ASSERT_STR(text, "");
    ASSERT_OK(put(place, "pairs/b", "2", PLACE_ANY));
    ASSERT_OK(put(place, "pairs/a", "1", PLACE_ANY));
    ASSERT_OK(put(place, "pairs/c/d", "3", PLACE_ANY));
    ASSERT_OK(put(place, "pairs/.hidden", "4", PLACE_ANY));
    ASSERT_OK(place->type->list(place, "pairs", false, note, text));
    ASSERT_STR(text, "a=1 b=2 ");
    text[0] = '\0';
    ASSERT_OK(place->type->list(place, "pairs", true, note, text));
    ASSERT_STR(text, "a= b= c= ");
    ASSERT_OK(put(place, "pairs/stop", "", PLACE_ANY));
    ASSERT_EQ(place->type->list(place, "pairs", true, note, text), -ECANCELED);
}

/* A place may be shared: what stands there need not be a file of ours. */
TEST(files_of_others)
{
    PLACE;
    int fd = open(path, O_RDONLY | O_DIRECTORY), file;

    ASSERT_OK(symlinkat("/etc/hostname", fd, "link"));
    ASSERT_OK(mkfifoat(fd, "fifo", 0600));
    ASSERT_EQ(place->type->get(place, "link", &(PlaceValue){.size = 0}), -ELOOP);
    ASSERT_EQ(place->type->get(place, "fifo", &(PlaceValue){.size = 0}), -EISDIR);
    file = openat(fd, "long", O_WRONLY | O_CREAT, 0600);
    ASSERT_OK(ftruncate(file, (off_t)PLACE_VALUE_MAX + 1));
    close(file);
    ASSERT_EQ(place->type->get(place, "long", &(PlaceValue){.size = 0}), -EFBIG);
    close(fd);
}

TEST(no_directory)
{
    Place *place = NULL;

    ASSERT_EQ(place_open_directory("/nonexistent", &place), -ENOENT);
    ASSERT_TRUE(!place);
}
