/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "basic/encoding.h"
#include "basic/io.h"
#include "basic/limits.h"
#include "creds-fixture.h"
#include "credstore/seal/creds/blob.h"
#include "tree.h"
#include "varlink/varlink.h"

#define HEAD_SIZE 24
#define CREDENTIAL_SIZE (HEAD_SIZE + STORE_KEY_SIZE)

const uint8_t host_id[ID_SIZE] = {0x5a, 0x1c, 0x6a, 0x86, 0xdf, 0x9d, 0x40, 0x96,
                                  0xb1, 0xd5, 0xa6, 0x5e, 0x08, 0x62, 0xf1, 0x9a};
const uint8_t null_id[ID_SIZE] = {0x05, 0x84, 0x69, 0xda, 0xf6, 0xf5, 0x43, 0x24,
                                  0x80, 0x05, 0x49, 0xda, 0x0f, 0x8e, 0xa2, 0xfb};
const char service_key[STORE_KEY_SIZE + 1] = "0123456789abcdef0123456789ABCDEF";
const char program_key[STORE_KEY_SIZE + 1] = "the key that the program gives..";

const SlotOptions no_options;
const SlotOptions null_allowed = {.allow_null_key = true};

Service service;

static int answer(VarlinkCall *call, json_object *in, const char *key, const void *data,
                  size_t size)
{
    _cleanup_(json_putp) json_object *out = json_object_new_object();
    char text[BASE64_LENGTH(CREDENTIAL_SIZE) + 1];
    const char *name, *scope;

    if (service.reply)
        return varlink_call_reply(call, json_object_get(service.reply));
    if (service.error) {
        if (service.error_number > 0 &&
            json_add_uint(out, "errno", (uint64_t)service.error_number) < 0)
            return -ENOMEM;
        return varlink_call_error(call, service.error, TAKE_PTR(out));
    }
    if (json_get_string(in, "name", &name) <= 0 || strcmp(name, "nvme-keyd.kek") != 0)
        return varlink_call_error(call, "io.systemd.Credentials.NameMismatch", NULL);
    if (json_get_string(in, "scope", &scope) <= 0 || strcmp(scope, "system") != 0)
        return varlink_call_error(call, "io.systemd.Credentials.BadScope", NULL);
    base64_encode(data, size, text);
    return json_add_string(out, key, text) < 0 ? -ENOMEM : varlink_call_reply(call, TAKE_PTR(out));
}

static int on_encrypt(VarlinkCall *call, json_object *in, _unused_ void *userdata)
{
    uint8_t credential[CREDENTIAL_SIZE] = {0};
    const char *data;
    size_t n;

    if (json_get_string(in, "data", &data) <= 0 ||
        base64_decode(data, strlen(data), credential + HEAD_SIZE, STORE_KEY_SIZE, &n) < 0)
        return varlink_call_invalid_parameter(call, "data");
    memcpy(credential, service.id, ID_SIZE);
    return answer(call, in, "blob", credential, HEAD_SIZE + n);
}

static int on_decrypt(VarlinkCall *call, json_object *in, _unused_ void *userdata)
{
    uint8_t credential[CREDENTIAL_SIZE];
    bool allowed = false;
    const char *blob;
    size_t n;

    if (json_get_string(in, "blob", &blob) <= 0 || json_get_bool(in, "allowNull", &allowed) < 0 ||
        base64_decode(blob, strlen(blob), credential, sizeof(credential), &n) < 0 || n < HEAD_SIZE)
        return varlink_call_error(call, "io.systemd.Credentials.BadFormat", NULL);
    if (memcmp(credential, null_id, ID_SIZE) == 0 && !allowed)
        return varlink_call_error(call, "io.systemd.Credentials.NullKeyNotAllowed", NULL);
    return answer(call, in, "data", credential + HEAD_SIZE, n - HEAD_SIZE);
}

/* The parameters of systemd 257 and of 259. */
#define OLD_PARAMETERS "name", "timestamp", "scope", "uid", "allowInteractiveAuthentication"

static const char *const encrypt_parameters[] = {OLD_PARAMETERS, "text", "data", "notAfter", NULL};

static const char *const decrypt_parameters[] = {OLD_PARAMETERS, "blob", NULL};

static const char *const decrypt_parameters_259[] = {OLD_PARAMETERS, "blob", "allowNull", NULL};

static void serve(int listener)
{
    static const VarlinkServiceInfo info = {"Example", "Test", "1", "https://example.org/"};
    static VarlinkMethod methods[] = {
        {"Encrypt", VARLINK_METHOD_SENSITIVE, on_encrypt, encrypt_parameters, NULL},
        {"Decrypt", VARLINK_METHOD_SENSITIVE, on_decrypt, decrypt_parameters_259, NULL},
        {NULL, 0, NULL, NULL, NULL},
    };
    static const VarlinkInterface interface = {
        "io.systemd.Credentials", "interface io.systemd.Credentials\n", methods, NULL, NULL};
    VarlinkServer *server;
    sd_event *event;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (service.old)
        methods[1].parameters = decrypt_parameters;
    if (service.without_methods)
        methods[0].name = NULL;
    if (sd_event_new(&event) >= 0 && varlink_server_new(event, &info, &server) >= 0 &&
        varlink_server_add_interface(server, &interface, NULL) >= 0 &&
        varlink_server_listen(server, listener) >= 0)
        (void)sd_event_loop(event);
    _exit(1);
}

void fake_done(Fake *f)
{
    static const char *const names[] = {"calls",   "input",         "output", "socket",
                                        "program", "nvme-keyd.kek", "secret", "machine-id"};

    if (f->pid > 0) {
        (void)kill(f->pid, SIGKILL);
        (void)waitpid(f->pid, NULL, 0);
    }
    closep(&f->listener);
    json_object_put(service.reply);
    memset(&service, 0, sizeof(service));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char path[128];

        snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(f->dir);
}

void fake_init(Fake *f)
{
    service.id = host_id;
    *f = (Fake){.dir = "/tmp/test-creds-XXXXXX", .listener = -EBADF};
    if (!mkdtemp(f->dir))
        abort();
    snprintf(f->socket, sizeof(f->socket), "%s/socket", f->dir);
    snprintf(f->program, sizeof(f->program), "%s/program", f->dir);
    snprintf(f->secret, sizeof(f->secret), "%s/secret", f->dir);
    snprintf(f->machine_id, sizeof(f->machine_id), "%s/machine-id", f->dir);
    f->creds = (Creds){
        .socket = f->socket,
        .program = f->program,
        .host_key = {.secret = f->secret, .machine_id = f->machine_id},
        .deadline_usec = now_monotonic() + 60 * USEC_PER_SEC,
    };
}

void open_socket(Fake *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, f->socket);
    if (bind(f->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(f->listener, 4) < 0)
        abort();
}

void start_service(Fake *f)
{
    open_socket(f);
    f->pid = fork();
    if (f->pid == 0)
        serve(TAKE_FD(f->listener));
    closep(&f->listener);
    f->listener = -EBADF;
}

void write_file(const Fake *f, const char *name, const char *text, mode_t mode)
{
    _cleanup_(closep) int fd = -EBADF;
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0 || io_write_all(fd, text, strlen(text)) < 0)
        abort();
}

void write_program(const Fake *f, const char *body)
{
    char text[1000];

    snprintf(text, sizeof(text), "#!/bin/sh\ncd %s || exit 9\nprintf '%%s\\n' \"$*\" >>calls\n%s\n",
             f->dir, body);
    write_file(f, "program", text, 0700);
}

bool file_is(const Fake *f, const char *name, const char *text)
{
    _cleanup_(freep) char *got = NULL;
    char path[128];
    size_t size;

    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    if (tree_read(path, &got, &size) < 0)
        return !text;
    return text && size == strlen(text) && memcmp(got, text, size) == 0;
}

json_object *make_slot(const uint8_t *id, const char *key, size_t size)
{
    uint8_t credential[CREDENTIAL_SIZE + 1] = {0};
    char text[BASE64_LENGTH(sizeof(credential)) + 1];
    json_object *slot = json_object_new_object();

    memcpy(credential, id, ID_SIZE);
    memcpy(credential + HEAD_SIZE, key, size);
    base64_encode(credential, HEAD_SIZE + size, text);
    if (!slot || json_add_string(slot, "credential", text) < 0)
        abort();
    return slot;
}

json_object *host_slot(void)
{
    return make_slot(host_id, service_key, STORE_KEY_SIZE);
}

bool is_key(const Secret *kek, const char *key)
{
    return kek && kek->size == STORE_KEY_SIZE && memcmp(kek->data, key, STORE_KEY_SIZE) == 0;
}
