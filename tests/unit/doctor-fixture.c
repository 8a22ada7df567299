/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/secret.h"
#include "doctor-fixture.h"
#include "tree.h"

#define TARGET "sys/kernel/config/nvmet/"

static const struct {
    const char *path, *text;
} files[] = {
    {"proc/sys/kernel/osrelease", "6.12.107-amd64\n"},
    {"boot/config-6.12.107-amd64", "CONFIG_KEYS=y\nCONFIG_TLS=m\nCONFIG_NET_HANDSHAKE=y\n"
                                   "CONFIG_NVME_TCP_TLS=y\nCONFIG_NVME_TARGET_TCP_TLS=y\n"},
    {"lib/modules/6.12.107-amd64/modules.dep",
     "kernel/drivers/nvme/host/nvme-tcp.ko.xz: kernel/drivers/nvme/common/nvme-keyring.ko.xz\n"
     "kernel/drivers/nvme/common/nvme-keyring.ko.xz:\nkernel/drivers/nvme/target/nvmet-tcp.ko.xz:\n"
     "kernel/net/tls/tls.ko.xz:\n"},
    {"lib/modules/6.12.107-amd64/modules.builtin", "kernel/fs/ext4/ext4.ko\n"},
    {"sys/module/nvme_keyring/refcnt", "1\n"},
    {"sys/module/nvme_tcp/refcnt", "1\n"},
    {"sys/module/nvmet_tcp/refcnt", "1\n"},
    {"proc/keys", "0b1f0a5c I------     1 perm 1f1f0000     0     0 keyring   .nvme: 1\n"},
    {"proc/key-users", "    0:    56 55/55 41/1000000 1234/25000000\n"},
    {"proc/sys/net/ipv4/tcp_available_ulp", "espintcp mptcp tls\n"},
    {"proc/net/netstat", "TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 7 0\n"},
    {"proc/1/cmdline", "/sbin/init"},
    {"proc/1/comm", "systemd\n"},
    {"usr/lib/modules-load.d/nvme-keyd.conf", "# comment\nnvme_keyring\n"},
    {"usr/lib/modprobe.d/aliases.conf", "# blacklist nvme_tcp\nblacklist pcspkr\n"},
    {"usr/sbin/tlshd", "\177ELF..Built from ktls-utils 1.3.0 on Jan  1 2026"},
    {"etc/tlshd/config", "[debug]\nloglevel=0\n[authenticate]\n"},
    {"etc/nvme/hostnqn", MACHINE_HOST "\n"},
    {"etc/machine-id", "0123456789abcdef0123456789abcdef\n"},
    {"etc/request-key.conf", "create user debug:* * /bin/keyctl negate %k 30 %S\n"},
    {"etc/request-key.d/nvme-keyd.conf",
     "create psk NVMe* * /usr/lib/nvme-keyd/request-key-shim %k\n"
     "create user nvme-tls-psk:* * /usr/lib/nvme-keyd/request-key-shim %k\n"},
    {"usr/lib/x86_64-linux-gnu/libnvme.so.1.16.1", "\177ELF"},
    {TARGET "ports/1/addr_trtype", "tcp\n"},
    {TARGET "ports/1/addr_tsas", "tls1.3\n"},
    {TARGET "ports/1/addr_treq", "required\n"},
    {TARGET "subsystems/" MACHINE_SUB "/attr_allow_any_host", "0\n"},
    {TARGET "subsystems/" MACHINE_SUB "/allowed_hosts/" MACHINE_HOST, ""},
};

static const char *const programs[] = {"sbin/request-key", "usr/lib/nvme-keyd/request-key-shim"};

#define STATUS                                                                                     \
    "{\"version\":\"0.1.0\",\"store\":{\"state\":\"open\",\"slot\":\"tpm2\",\"opensByItself\":"    \
    "true},\"keyring\":{\"name\":\".nvme\",\"keyType\":\"psk\",\"serial\":186583644,"              \
    "\"problems\":[]},\"guard\":{\"looking\":true,\"putBack\":0,\"displaced\":0},"                 \
    "\"provision\":{\"mode\":\"resident\"},\"tlshd\":{\"unit\":\"tlshd.service\","                 \
    "\"state\":\"ready\"},\"credentials\":{\"keys\":0,\"overridden\":0,\"problems\":[]},"          \
    "\"controllers\":{\"total\":1,\"active\":1,\"old\":0,\"stalled\":0,\"problems\":[]},"          \
    "\"configuration\":{\"inForce\":true,\"problems\":[]},\"keys\":2,\"broken\":0,"                \
    "\"identities\":2,\"published\":2,\"expired\":0,\"missing\":0}"
#define TARGET_KEY MACHINE_KEY("91b7d0e2c65fa380", "target", MACHINE_HOST, MACHINE_SUB, "")
#define SLOTS "{\"authentic\":true,\"slots\":[{\"type\":\"recovery\"}],\"warnings\":[]}"

static json_object *parse(const char *text)
{
    json_object *o = text ? json_tokener_parse(text) : NULL;

    if (text && !o)
        abort();
    return o;
}

static void make_parents(const char *path)
{
    char parent[1024];

    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
        if (mkdir(parent, 0700) < 0 && errno != EEXIST)
            abort();
    }
}

void machine_write(const Machine *m, const char *path, const char *text)
{
    _cleanup_(closep) int fd = -EBADF;
    char full[1024];

    snprintf(full, sizeof(full), "%s/%s", m->dir, path);
    (void)unlink(full);
    if (!text)
        return;
    make_parents(full);
    fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || io_write_all(fd, text, strlen(text)) < 0)
        abort();
}

void machine_link(const Machine *m, const char *path, const char *target)
{
    char full[1024];

    machine_write(m, path, NULL);
    snprintf(full, sizeof(full), "%s/%s", m->dir, path);
    make_parents(full);
    if (symlink(target, full) < 0)
        abort();
}

void machine_remove(const Machine *m, const char *path)
{
    char full[1024];

    snprintf(full, sizeof(full), "%s/%s", m->dir, path);
    tree_remove(full);
}

void machine_chmod(const Machine *m, const char *path, unsigned mode)
{
    char full[1024];

    snprintf(full, sizeof(full), "%s/%s", m->dir, path);
    if (chmod(full, mode) < 0)
        abort();
}

Machine *machine_new(void)
{
    static const char *const units[] = {"nvme-keyd.socket", "nvme-keyd-preload.service",
                                        "tlshd.service", "nvme-keyd-tlshd.service",
                                        "nvme-keysd.service"};
    Machine *m = calloc(1, sizeof(*m));

    if (!m || secret_memory_init() < 0)
        abort();
    strcpy(m->dir, "/var/tmp/test-doctor-XXXXXX");
    if (!mkdtemp(m->dir))
        abort();
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        machine_write(m, files[i].path, files[i].text);
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
        machine_write(m, programs[i], "");
        machine_chmod(m, programs[i], 0755);
    }
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        m->units[i] = (DoctorUnit){units[i], "loaded", "active", "enabled", "success", "shared"};
    strcpy(m->units[3].load, "not-found");
    strcpy(m->units[4].load, "not-found");
    m->d = (Doctor){.root = open(m->dir, O_PATH | O_DIRECTORY | O_CLOEXEC),
                    .privileged = true,
                    .clock_synchronized = true,
                    .openssl_version = 0x30500,
                    .units = m->units,
                    .n_units = ARRAY_SIZE(units),
                    .status = parse(STATUS),
                    .keys = parse("[" MACHINE_HOST_KEY "," TARGET_KEY "]"),
                    .slots = parse(SLOTS)};
    return m;
}

void machine_free(Machine *m)
{
    doctor_done(&m->d);
    json_object_put(m->d.status);
    json_object_put(m->d.keys);
    json_object_put(m->d.slots);
    close(m->d.root);
    tree_remove(m->dir);
    free(m);
}

void machine_status(Machine *m, const char *member, const char *text)
{
    json_object_object_del(m->d.status, member);
    if (text)
        json_object_object_add(m->d.status, member, parse(text));
}

void machine_keys(Machine *m, const char *text)
{
    json_object_put(m->d.keys);
    m->d.keys = parse(text);
}

void machine_slots(Machine *m, const char *text)
{
    json_object_put(m->d.slots);
    m->d.slots = parse(text);
}

DoctorUnit *machine_unit(Machine *m, const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(m->units); i++)
        if (strcmp(m->units[i].name, name) == 0)
            return &m->units[i];
    abort();
}

void machine_message(Machine *m, const char *text)
{
    DoctorMessage *grown = reallocarray(m->d.messages, m->d.n_messages + 1, sizeof(*m->d.messages));

    if (!grown)
        abort();
    grown[m->d.n_messages++] = (DoctorMessage){now_realtime(), strdup(text)};
    m->d.messages = grown;
}

void machine_without_daemon(Machine *m)
{
    json_object_put(m->d.status);
    m->d.status = NULL;
    machine_keys(m, NULL);
    machine_slots(m, NULL);
    m->d.unreachable = "Connection refused";
}

static void run(Machine *m)
{
    for (size_t i = 0; i < m->d.n_lines; i++) {
        free(m->d.lines[i].text);
        free(m->d.lines[i].remedy);
    }
    m->d.n_lines = 0;
    memset(m->d.counts, 0, sizeof(m->d.counts));
    configured_list_done(&m->d.configured);
    if (doctor_run(&m->d) < 0)
        abort();
}

DoctorResult machine_check(Machine *m, const char *check)
{
    DoctorResult worst = DOCTOR_OK;
    size_t n = 0;

    run(m);
    for (size_t i = 0; i < m->d.n_lines; i++) {
        const DoctorLine *line = &m->d.lines[i];

        if (strcmp(line->check, check) != 0)
            continue;
        worst = CONST_MAX(worst, line->result);
        n++;
    }
    if (n == 0)
        abort();
    return worst;
}

const char *machine_lacks(Machine *m, const char *check, DoctorResult result, const char *text)
{
    DoctorResult worst = machine_check(m, check);
    const char *last = "";

    for (size_t i = 0; i < m->d.n_lines; i++) {
        const DoctorLine *line = &m->d.lines[i];

        if (strcmp(line->check, check) != 0)
            continue;
        last = line->text;
        /* A fault without a remedy does not help. */
        if (line->result == result && worst == result && strstr(line->text, text) &&
            (result == DOCTOR_OK) == !line->remedy)
            return "";
    }
    return last;
}
