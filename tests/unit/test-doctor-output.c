/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basic/json.h"
#include "basic/macro.h"
#include "nvme-keyctl/doctor/output.h"
#include "test.h"

static DoctorLine lines[] = {
    {"tls", "kernel", DOCTOR_OK, (char[]){"it is loaded"}, NULL},
    {"hostnqn", "host", DOCTOR_FAIL, (char[]){"there is none"}, (char[]){"make one"}},
};

static Doctor some(void)
{
    return (Doctor){.lines = lines, .n_lines = ARRAY_SIZE(lines), .counts = {1, 0, 1}};
}

static char *print(bool colours, bool legend, unsigned columns)
{
    const Doctor d = some();
    size_t size = 0;
    char *text = NULL;
    FILE *f = open_memstream(&text, &size);

    doctor_print(&d, f, colours, legend, columns);
    (void)fclose(f);
    return text;
}

TEST(text)
{
    _cleanup_(freep) char *plain = print(false, true, 0), *coloured = print(true, false, 200);

    ASSERT_STR(plain, "ok    tls      it is loaded\n"
                      "fail  hostnqn  there is none\n"
                      "               -> make one\n"
                      "\n1 ok, 0 warnings, 1 failure.\n");
    ASSERT_STR(coloured, "\033[32mok  \033[0m  tls      it is loaded\n"
                         "\033[31mfail\033[0m  hostnqn  there is none\n"
                         "               -> make one\n");
}

/* A line for each column count from one that is too narrow for words on. */
TEST(wrapped)
{
    static const struct {
        unsigned columns;
        const char *text;
    } cases[] = {
        {35, "fail  hostnqn  there is none at all in this file\n               -> make one\n"},
        {36, "fail  hostnqn  there is none at all\n               in this file\n"
             "               -> make one\n"},
        {47, "fail  hostnqn  there is none at all in this\n               file\n"
             "               -> make one\n"},
        {48, "fail  hostnqn  there is none at all in this file\n               -> make one\n"},
    };
    DoctorLine line = {"hostnqn", "host", DOCTOR_FAIL,
                       (char[]){"there is none at all in this file"}, (char[]){"make one"}};
    const Doctor d = {.lines = &line, .n_lines = 1};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        doctor_print(&d, f, false, false, cases[i].columns);
        (void)fclose(f);
        ASSERT_STR(text, cases[i].text);
    }
}

TEST(json)
{
    _cleanup_(json_putp) json_object *o = NULL;
    const Doctor d = some();

    ASSERT_OK(doctor_to_json(&d, &o));
    ASSERT_STR(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
               "{\"lines\":[{\"check\":\"tls\",\"group\":\"kernel\",\"result\":\"ok\",\"text\":"
               "\"it is loaded\"},{\"check\":\"hostnqn\",\"group\":\"host\",\"result\":\"fail\","
               "\"text\":\"there is none\",\"remedy\":\"make one\"}],\"result\":\"fail\",\"ok\":1,"
               "\"warnings\":0,\"failures\":1}");
}
