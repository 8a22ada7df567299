/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/io.h"
#include "basic/json.h"
#include "basic/limits.h"
#include "credstore/seal/environment.h"
#include "credstore/seal/helper.h"
#include "credstore/seal/limits.h"
#include "nvme-keyd/vault/seal-job.h"
#include "test.h"

typedef struct Fixture {
    sd_event *event;
    char tpm[64]; /* a TPM that takes commands and never answers */
    int tpm_fd, control_fd;
    int done;
    int error;
    size_t size;
    char output[64];
    char detail[128];
} Fixture;

static int listen_at(const char *path, const char *suffix)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s%s", path, suffix);
    (void)unlink(address.sun_path);
    return fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                   listen(fd, 4) == 0
               ? fd
               : -EBADF;
}

/* SIGCHLD must be blocked, so that the loop reaps the children. */
static int fixture_new(Fixture *f)
{
    char tcti[128];
    sigset_t set;

    snprintf(f->tpm, sizeof(f->tpm), "/tmp/test-job-%d.tpm", getpid());
    f->tpm_fd = listen_at(f->tpm, "");
    f->control_fd = listen_at(f->tpm, ".ctrl");
    snprintf(tcti, sizeof(tcti), "swtpm:path=%s", f->tpm);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    if (f->tpm_fd < 0 || f->control_fd < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
        setenv(TPM2_ENV_TCTI, tcti, 1) < 0)
        return -EIO;
    return sd_event_new(&f->event);
}

static void fixture_done(Fixture *f)
{
    char path[80];

    sd_event_unref(f->event);
    close(f->tpm_fd);
    close(f->control_fd);
    snprintf(path, sizeof(path), "%s.ctrl", f->tpm);
    (void)unlink(f->tpm);
    (void)unlink(path);
    unsetenv(TPM2_ENV_TCTI);
}

static void on_done(int error, const Secret *output, const char *detail, void *userdata)
{
    Fixture *f = userdata;

    f->done++;
    f->error = error;
    f->size = output ? output->size : 0;
    if (output && output->size < sizeof(f->output))
        memcpy(f->output, output->data, output->size);
    snprintf(f->detail, sizeof(f->detail), "%s", detail ? detail : "");
}

/* Runs the loop until the job is done, for a minute at most. */
static void run(Fixture *f)
{
    uint64_t end = now_monotonic() + 60 * USEC_PER_SEC;

    while (!f->done && now_monotonic() < end)
        (void)sd_event_run(f->event, USEC_PER_SEC);
}

/* Runs the loop until no child process is left. */
static bool all_reaped(Fixture *f)
{
    uint64_t end = now_monotonic() + 60 * USEC_PER_SEC;
    siginfo_t si;

    while (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0) {
        if (now_monotonic() > end || sd_event_run(f->event, USEC_PER_SEC / 10) < 0)
            return false;
    }
    return errno == ECHILD;
}

/* A request with the bytes 1, 2, 3... as KEK. */
static Secret *make_request(SealWork work, const char *slot)
{
    _cleanup_(secret_freep) Secret *kek = secret_new(STORE_KEY_SIZE);
    _cleanup_(json_putp) json_object *o = slot ? json_tokener_parse(slot) : NULL;
    const SealRequest q = {.work = work, .slot = o, .secret = kek};
    Secret *request = NULL;

    for (size_t i = 0; i < kek->size; i++)
        kek->data[i] = (uint8_t)(i + 1);
    return seal_request_pack(&q, &request) == 0 ? request : NULL;
}

static void try(Fixture *f, uint64_t limit_usec, const Secret *request)
{
    _cleanup_(job_freep) Job *j = NULL;

    f->done = 0;
    f->error = seal_job_start(f->event, limit_usec, request, on_done, f, &j);
    if (f->error == 0)
        run(f);
}

#define RECOVERY "{\"type\":\"recovery\",\"id\":\"0123abcd\"}"

TEST(results)
{
    _cleanup_(fixture_done) Fixture f = {.tpm_fd = -1};
    _cleanup_(secret_freep) Secret *seal = make_request(SEAL_WORK_SEAL, RECOVERY);
    _cleanup_(secret_freep) Secret *unseal = make_request(SEAL_WORK_UNSEAL, RECOVERY);
    _cleanup_(secret_freep) Secret *none = secret_new_copy("no request", 10);

    ASSERT_TRUE(fixture_new(&f) >= 0 && seal && unseal);
    try(&f, 60 * USEC_PER_SEC, seal);
    ASSERT_EQ(f.done, 1);
    ASSERT_OK(f.error);
    ASSERT_TRUE(f.size == strlen(RECOVERY) && memcmp(f.output, RECOVERY, f.size) == 0);
    try(&f, 60 * USEC_PER_SEC, unseal);
    ASSERT_EQ(f.error, -EKEYREJECTED);
    ASSERT_TRUE(strncmp(f.detail, "recovery: ", 10) == 0);
    ASSERT_EQ(f.size, 0);
    try(&f, 60 * USEC_PER_SEC, none);
    ASSERT_EQ(f.error, -EBADMSG);
    ASSERT_TRUE(all_reaped(&f));
}

/* The child must inherit nothing: no descriptor, and of the environment only the variables that it
 * needs. */
static pid_t find_helper(void)
{
    char path[64], text[4096];
    struct dirent *e;
    pid_t found = 0;
    DIR *proc = opendir("/proc");

    while (proc && (e = readdir(proc))) {
        _cleanup_(closep) int fd = -EBADF;
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/%.16s/stat", e->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
        text[n > 0 ? n : 0] = '\0';
        if (n > 0 && strrchr(text, ')') && atoi(strrchr(text, ')') + 4) == getpid())
            found = atoi(text);
    }
    if (proc)
        closedir(proc);
    return found;
}

static size_t count_fds(pid_t pid)
{
    char path[64];
    DIR *dir;
    size_t n = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    dir = opendir(path);
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

TEST(nothing_is_inherited)
{
    _cleanup_(fixture_done) Fixture f = {.tpm_fd = -1};
    _cleanup_(secret_freep) Secret *request =
        make_request(SEAL_WORK_SEAL, "{\"type\":\"tpm2\",\"id\":\"0123abcd\"}");
    _cleanup_(job_freep) Job *j = NULL;
    _cleanup_(closep) int fd = -EBADF, environment = -EBADF;
    char path[64], text[8192];
    struct sockaddr_un peer;
    socklen_t size = sizeof(peer);
    ssize_t n;
    pid_t helper;

    ASSERT_TRUE(fixture_new(&f) >= 0);
    ASSERT_OK(setenv("OF_NO_CONCERN", "1", 1));
    /* Without close-on-exec, so exec would keep it. */
    ASSERT_TRUE(dup2(f.tpm_fd, 100) == 100);
    ASSERT_OK(seal_job_start(f.event, 60 * USEC_PER_SEC, request, on_done, &f, &j));
    /* The child is at work once it asks the TPM. */
    fd = accept4(f.tpm_fd, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
    ASSERT_TRUE(fd >= 0);
    close(100);
    helper = find_helper();
    ASSERT_TRUE(helper > 0);
    /* Standard input, output and error, the result, the TPM, "." and "..". */
    ASSERT_TRUE(count_fds(helper) <= 7);
    snprintf(path, sizeof(path), "/proc/%d/environ", helper);
    environment = open(path, O_RDONLY | O_CLOEXEC);
    n = read(environment, text, sizeof(text));
    ASSERT_TRUE(n > 0 && n < (ssize_t)sizeof(text));
    ASSERT_TRUE(memmem(text, (size_t)n, TPM2_ENV_TCTI, strlen(TPM2_ENV_TCTI)));
    ASSERT_TRUE(!memmem(text, (size_t)n, "OF_NO_CONCERN", 13));
    ASSERT_TRUE(!memmem(text, (size_t)n, "PATH=", 5));
    j = job_free(j);
    ASSERT_TRUE(all_reaped(&f));
}

TEST(it_does_not_come_back)
{
    _cleanup_(fixture_done) Fixture f = {.tpm_fd = -1};
    _cleanup_(secret_freep) Secret *request =
        make_request(SEAL_WORK_SEAL, "{\"type\":\"tpm2\",\"id\":\"0123abcd\"}");
    _cleanup_(job_freep) Job *j = NULL;
    pid_t helper;

    ASSERT_TRUE(fixture_new(&f) >= 0);
    try(&f, USEC_PER_SEC / 2, request);
    ASSERT_EQ(f.done, 1);
    ASSERT_EQ(f.error, -ETIMEDOUT);
    ASSERT_TRUE(all_reaped(&f));

    f.done = 0;
    ASSERT_OK(seal_job_start(f.event, 60 * USEC_PER_SEC, request, on_done, &f, &j));
    helper = find_helper();
    ASSERT_TRUE(helper > 0);
    ASSERT_OK(kill(helper, SIGKILL));
    run(&f);
    ASSERT_EQ(f.done, 1);
    ASSERT_EQ(f.error, -ECHILD);
    j = job_free(j);
    ASSERT_TRUE(all_reaped(&f));

    /* Freeing a job does not wait for its child. */
    f.done = 0;
    ASSERT_OK(seal_job_start(f.event, USEC_PER_SEC, request, on_done, &f, &j));
    j = job_free(j);
    ASSERT_TRUE(sd_event_run(f.event, USEC_PER_SEC) >= 0);
    ASSERT_EQ(f.done, 0);
    ASSERT_TRUE(all_reaped(&f));
}

/* A request above SEAL_REQUEST_MAX is refused. */
TEST(too_large)
{
    _cleanup_(fixture_done) Fixture f = {.tpm_fd = -1};
    _cleanup_(secret_freep) Secret *request = secret_new(SEAL_REQUEST_MAX + 1);

    ASSERT_TRUE(fixture_new(&f) >= 0 && request);
    try(&f, 60 * USEC_PER_SEC, request);
    ASSERT_EQ(f.error, -E2BIG);
    ASSERT_EQ(f.done, 0);
}

/* Uses up the pipe pages that the kernel allows a user without capabilities, as the daemon is. */
static bool use_up_pipes(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    int fds[2], size = 65536;

    if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){8192, 8192}) < 0 ||
        syscall(SYS_capset, &header, none) < 0)
        return false;
    for (int i = 0; i < 4000 && size >= 65536; i++)
        size = pipe2(fds, O_CLOEXEC) < 0 ? 0 : fcntl(fds[1], F_GETPIPE_SZ);
    return size > 0 && size < 65536;
}

/* Nothing reads a request while it is written, so a pipe that is too small must be an error and not
 * a wait. */
TEST(a_small_pipe)
{
    _cleanup_(fixture_done) Fixture f = {.tpm_fd = -1};
    _cleanup_(secret_freep) Secret *request = secret_new(SEAL_REQUEST_MAX);
    int status;
    pid_t pid;

    ASSERT_TRUE(fixture_new(&f) >= 0 && request);
    pid = fork();
    ASSERT_TRUE(pid >= 0);
    if (pid == 0) {
        alarm(30);
        if (!use_up_pipes())
            _exit(77);
        try(&f, 60 * USEC_PER_SEC, request);
        _exit(f.error == -EAGAIN ? 0 : 1);
    }
    ASSERT_TRUE(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    ASSERT_TRUE(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77);
}
