/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * request-many [--processes=P] [--requests=N] LIST
 *
 * Asks the kernel for keys, each time in a session keyring that has never seen one, so that only an
 * upcall can answer, and looks at what comes. LIST has lines of four words:
 *
 *     GROUP TYPE ANSWER DESCRIPTION
 *
 * ANSWER is the payload in hex, or "-" and the number of an error. A "#" in DESCRIPTION, which may
 * have blanks, stands for the number of the request. Each of P processes goes through the list line
 * by line, over and over, N requests in all. For each group one line is printed:
 *
 *     GROUP n=N ok=N wrong=N failed=N lost=N p10=USEC median=USEC p95=USEC [errnoE=N...]
 *
 * Taken is the time from the call of request_key(2) to its return.
 */

#include <errno.h>
#include <getopt.h>
#include <keyutils.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LINES_MAX 256
#define LINE_MAX_SIZE 16384
#define ANSWER_MAX 4096
#define PROCESSES_MAX 1024
#define ERRNO_MAX 256

typedef struct Line {
    char group[32];
    char type[32];
    char *description;
    uint8_t answer[ANSWER_MAX];
    size_t answer_size;
    int error; /* the expected error, or 0 */
} Line;

typedef enum Outcome {
    LOST,
    OK,
    WRONG,
    FAILED
} Outcome;

/* One request, written by the process that made it. */
typedef struct Result {
    uint32_t usec;
    uint16_t line;
    uint8_t outcome;
    uint8_t error;
} Result;

typedef struct Plan {
    Line *lines;
    size_t n_lines;
    size_t n_requests;
    size_t n_processes;
    Result *results;
} Plan;

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static int64_t now_usec(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static bool parse_answer(const char *text, Line *l)
{
    size_t length = strlen(text);

    if (text[0] == '-') {
        l->error = atoi(text + 1);
        return l->error > 0 && l->error < ERRNO_MAX;
    }
    l->answer_size = length / 2;
    if (length == 0 || length % 2 != 0 || l->answer_size > sizeof(l->answer))
        return false;
    for (size_t i = 0; i < l->answer_size; i++)
        if (sscanf(text + 2 * i, "%2hhx", &l->answer[i]) != 1)
            return false;
    return true;
}

static bool parse_line(char *text, Line *l)
{
    char *save, *group = strtok_r(text, " ", &save), *type = strtok_r(NULL, " ", &save),
                *answer = strtok_r(NULL, " ", &save), *description = strtok_r(NULL, "\n", &save);

    if (!description || strlen(group) >= sizeof(l->group) || strlen(type) >= sizeof(l->type))
        return false;
    strcpy(l->group, group);
    strcpy(l->type, type);
    l->description = strdup(description);
    return l->description && parse_answer(answer, l);
}

static void read_list(const char *path, Plan *p)
{
    static char text[LINE_MAX_SIZE];
    FILE *f = fopen(path, "re");

    if (!f)
        die(path);
    p->lines = calloc(LINES_MAX, sizeof(*p->lines));
    if (!p->lines)
        die("calloc");
    while (p->n_lines < LINES_MAX && fgets(text, sizeof(text), f)) {
        if (!parse_line(text, &p->lines[p->n_lines++])) {
            fprintf(stderr, "%s: line %zu is malformed\n", path, p->n_lines);
            exit(EXIT_FAILURE);
        }
    }
    fclose(f);
    if (p->n_lines == 0) {
        fprintf(stderr, "%s: empty\n", path);
        exit(EXIT_FAILURE);
    }
}

/* Replaces each "#" by the number. */
static void describe(const Line *l, size_t number, char *ret, size_t size)
{
    size_t used = 0;

    for (const char *c = l->description; *c && used + 24 < size; c++) {
        if (*c == '#')
            used += (size_t)snprintf(ret + used, size - used, "%zu", number);
        else
            ret[used++] = *c;
    }
    ret[used] = '\0';
}

static bool is_answer(const Line *l, key_serial_t key)
{
    char payload[ANSWER_MAX];
    long n = keyctl_read(key, payload, sizeof(payload));

    return n == (long)l->answer_size && memcmp(payload, l->answer, l->answer_size) == 0;
}

static void ask(const Plan *p, size_t line, size_t number)
{
    const Line *l = &p->lines[line];
    Result *result = &p->results[number];
    char description[LINE_MAX_SIZE];
    key_serial_t key;
    int64_t start;

    describe(l, number, description, sizeof(description));
    /* Results of earlier requests stay in the old session keyring. */
    if (keyctl_join_session_keyring(NULL) < 0)
        die("keyctl_join_session_keyring");

    start = now_usec();
    key = request_key(l->type, description, "", 0);
    result->error = (uint8_t)(key < 0 ? errno : 0);
    result->usec = (uint32_t)(now_usec() - start);

    result->line = (uint16_t)line;
    if (key < 0)
        result->outcome = result->error == l->error ? OK : FAILED;
    else
        result->outcome = l->error == 0 && is_answer(l, key) ? OK : WRONG;
}

/* One process; the gate opens when all of them are ready. */
static _Noreturn void work(const Plan *p, size_t process, int gate)
{
    char byte;

    if (read(gate, &byte, 1) != 0)
        _exit(EXIT_FAILURE);
    for (size_t i = 0, n = process; n < p->n_requests; i++, n += p->n_processes)
        ask(p, (process + i) % p->n_lines, n);
    _exit(EXIT_SUCCESS);
}

/* Returns the duration of all requests. */
static int64_t run(const Plan *p)
{
    int64_t start;
    int gate[2];

    if (pipe(gate) < 0)
        die("pipe");
    for (size_t i = 0; i < p->n_processes; i++) {
        pid_t pid = fork();

        if (pid < 0)
            die("fork");
        if (pid == 0) {
            close(gate[1]);
            work(p, i, gate[0]);
        }
    }
    start = now_usec();
    close(gate[1]);
    while (wait(NULL) > 0)
        ;
    return now_usec() - start;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Lost requests have no line, so they count for each group. */
static void print_group(const Plan *p, const char *group)
{
    size_t n = 0, outcomes[FAILED + 1] = {0}, errors[ERRNO_MAX] = {0};
    uint32_t *times = calloc(p->n_requests + 1, sizeof(*times));

    if (!times)
        die("calloc");
    for (size_t i = 0; i < p->n_requests; i++) {
        const Result *r = &p->results[i];

        if (r->outcome != LOST && strcmp(p->lines[r->line].group, group) != 0)
            continue;
        outcomes[r->outcome]++;
        if (r->outcome == LOST)
            continue;
        errors[r->error]++;
        times[n++] = r->usec;
    }
    qsort(times, n, sizeof(*times), compare);
    printf("%s n=%zu ok=%zu wrong=%zu failed=%zu lost=%zu p10=%u median=%u p95=%u", group, n,
           outcomes[OK], outcomes[WRONG], outcomes[FAILED], outcomes[LOST], times[n / 10],
           times[n / 2], times[n * 95 / 100]);
    for (size_t e = 1; e < ERRNO_MAX; e++)
        if (errors[e] > 0)
            printf(" errno%zu=%zu", e, errors[e]);
    printf("\n");
    free(times);
}

static bool is_first_of_group(const Plan *p, size_t line)
{
    for (size_t i = 0; i < line; i++)
        if (strcmp(p->lines[i].group, p->lines[line].group) == 0)
            return false;
    return true;
}

static size_t parse_count(const char *text, size_t max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*end != '\0' || n == 0 || n > max) {
        fprintf(stderr, "not a number from 1 to %zu: %s\n", max, text);
        exit(EXIT_FAILURE);
    }
    return n;
}

static void parse_options(int argc, char **argv, Plan *p)
{
    static const struct option options[] = {
        {"processes", required_argument, NULL, 'p'},
        {"requests", required_argument, NULL, 'n'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (c == 'p')
            p->n_processes = parse_count(optarg, PROCESSES_MAX);
        else if (c == 'n')
            p->n_requests = parse_count(optarg, 10000000);
        else
            exit(EXIT_FAILURE);
    }
    if (optind != argc - 1) {
        fprintf(stderr, "usage: request-many [--processes=P] [--requests=N] LIST\n");
        exit(EXIT_FAILURE);
    }
}

int main(int argc, char **argv)
{
    Plan p = {.n_requests = 1, .n_processes = 1};
    int64_t took;

    parse_options(argc, argv, &p);
    read_list(argv[optind], &p);
    p.results = mmap(NULL, p.n_requests * sizeof(*p.results), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p.results == MAP_FAILED)
        die("mmap");
    took = run(&p);
    for (size_t i = 0; i < p.n_lines; i++)
        if (is_first_of_group(&p, i))
            print_group(&p, p.lines[i].group);
    printf("all n=%zu usec=%lld\n", p.n_requests, (long long)took);
    return EXIT_SUCCESS;
}
