/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdio.h>

#include "nvme-keyctl/doctor/doctor.h"

/* Prints a line for each result, and below it the remedy. legend: also the totals. columns: of the
 * terminal, in which text is wrapped, but no remedy; 0 for none. */
void doctor_print(const Doctor *d, FILE *f, bool colours, bool legend, unsigned columns);

/* The same as an object; nvme-keyctl(1) has its members. The caller puts it. Returns -ENOMEM. */
int doctor_to_json(const Doctor *d, json_object **ret) _must_check_;
