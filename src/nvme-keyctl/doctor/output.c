/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "basic/json.h"
#include "basic/macro.h"
#include "nvme-keyctl/doctor/output.h"

#define COLOUR_OFF "\033[0m"
/* Text is not wrapped into a column that is narrower. */
#define WORDS_MIN 20

static const char *colour_of(DoctorResult result)
{
    static const char *const colours[] = {
        [DOCTOR_OK] = "\033[32m", [DOCTOR_WARN] = "\033[33m", [DOCTOR_FAIL] = "\033[31m"};

    return colours[result];
}

/* Prints text from column indent on, in lines that end before columns if that leaves room for
 * words. */
static void print_wrapped(FILE *f, const char *text, int indent, unsigned columns)
{
    size_t room = columns > (unsigned)indent + WORDS_MIN ? columns - (unsigned)indent : 0;

    while (room > 0 && strlen(text) > room) {
        const char *end = text + room;

        while (end > text && *end != ' ')
            end--;
        if (end == text)
            end = strchrnul(text, ' ');
        if (*end == '\0')
            break;
        (void)fprintf(f, "%.*s\n%*s", (int)(end - text), text, indent, "");
        text = end + 1;
    }
    (void)fprintf(f, "%s\n", text);
}

/* A remedy is a command to copy, so it is left in one line. */
static void print_line(const DoctorLine *line, FILE *f, bool colours, unsigned columns, int width)
{
    (void)fprintf(f, "%s%-4s%s  %-*s  ", colours ? colour_of(line->result) : "",
                  doctor_result_to_string(line->result), colours ? COLOUR_OFF : "", width,
                  line->check);
    print_wrapped(f, line->text, width + 8, columns);
    if (line->remedy)
        (void)fprintf(f, "%*s  -> %s\n", width + 6, "", line->remedy);
}

void doctor_print(const Doctor *d, FILE *f, bool colours, bool legend, unsigned columns)
{
    size_t width = 0;

    for (size_t i = 0; i < d->n_lines; i++)
        width = CONST_MAX(width, strlen(d->lines[i].check));
    for (size_t i = 0; i < d->n_lines; i++)
        print_line(&d->lines[i], f, colours, columns, (int)width);
    if (legend)
        (void)fprintf(f, "\n%zu ok, %zu warning%s, %zu failure%s.\n", d->counts[DOCTOR_OK],
                      d->counts[DOCTOR_WARN], d->counts[DOCTOR_WARN] == 1 ? "" : "s",
                      d->counts[DOCTOR_FAIL], d->counts[DOCTOR_FAIL] == 1 ? "" : "s");
}

static int line_to_json(const DoctorLine *line, json_object *array)
{
    json_object *o = json_object_new_object();

    if (json_append_take(array, o) < 0 || json_add_string(o, "check", line->check) < 0 ||
        json_add_string(o, "group", line->group) < 0 ||
        json_add_string(o, "result", doctor_result_to_string(line->result)) < 0 ||
        json_add_string(o, "text", line->text) < 0)
        return -ENOMEM;
    return line->remedy ? json_add_string(o, "remedy", line->remedy) : 0;
}

int doctor_to_json(const Doctor *d, json_object **ret)
{
    _cleanup_(json_putp) json_object *o = json_object_new_object();
    json_object *lines = json_object_new_array();

    if (json_add_take(o, "lines", lines) < 0 ||
        json_add_string(o, "result", doctor_result_to_string(doctor_worst(d))) < 0 ||
        json_add_uint(o, "ok", d->counts[DOCTOR_OK]) < 0 ||
        json_add_uint(o, "warnings", d->counts[DOCTOR_WARN]) < 0 ||
        json_add_uint(o, "failures", d->counts[DOCTOR_FAIL]) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < d->n_lines; i++)
        if (line_to_json(&d->lines[i], lines) < 0)
            return -ENOMEM;
    *ret = TAKE_PTR(o);
    return 0;
}
