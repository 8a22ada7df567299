/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nvme-keyctl/qr.h"
#include "build-config.h"

#if HAVE_QRENCODE

#include <dlfcn.h>
#include <langinfo.h>
#include <qrencode.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The light border that readers need. */
#define BORDER 4

/* White on black, whatever the colours of the terminal are. A character is two modules, one below
 * the other. */
#define COLOURS "\033[40;37;1m"
#define RESET "\033[0m"
#define UPPER_HALF "\u2580"
#define LOWER_HALF "\u2584"
#define FULL "\u2588"

/* Loaded when it is needed, as systemd does: no other command waits for it. */
typedef struct Library {
    void *handle;
    QRcode *(*encode)(const char *text, int version, QRecLevel level, QRencodeMode hint,
                      int case_sensitive);
    void (*release)(QRcode *code);
} Library;

static bool library_load(Library *l)
{
    l->handle = dlopen("libqrencode.so.4", RTLD_NOW);
    if (!l->handle)
        return false;
    *(void **)&l->encode = dlsym(l->handle, "QRcode_encodeString");
    *(void **)&l->release = dlsym(l->handle, "QRcode_free");
    return l->encode && l->release;
}

/* Modules outside of the code are light. */
static bool is_light(const QRcode *code, int x, int y)
{
    return x < 0 || y < 0 || x >= code->width || y >= code->width ||
           !(code->data[y * code->width + x] & 1);
}

static void print_code(const QRcode *code)
{
    for (int y = -BORDER; y < code->width + BORDER; y += 2) {
        (void)fputs(COLOURS, stdout);
        for (int x = -BORDER; x < code->width + BORDER; x++) {
            bool upper = is_light(code, x, y), lower = is_light(code, x, y + 1);

            (void)fputs(upper && lower ? FULL
                        : upper        ? UPPER_HALF
                        : lower        ? LOWER_HALF
                                       : " ",
                        stdout);
        }
        (void)fputs(RESET "\n", stdout);
    }
}

void qr_print(const char *text)
{
    Library l = {.handle = NULL};
    QRcode *code;

    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        return;
    code = library_load(&l) ? l.encode(text, 0, QR_ECLEVEL_M, QR_MODE_8, 1) : NULL;
    if (code) {
        print_code(code);
        explicit_bzero(code->data, (size_t)code->width * (size_t)code->width);
        l.release(code);
    }
    if (l.handle)
        (void)dlclose(l.handle);
}

#else

void qr_print(const char *text)
{
    (void)text;
}

#endif
