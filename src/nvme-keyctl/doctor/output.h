/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdio.h>

#include "nvme-keyctl/doctor/doctor.h"

/* Prints a line for each result, in columns, and below it the remedy. legend: also the totals. */
void doctor_print(const Doctor *d, FILE *f, bool colours, bool legend);

/* The same as an object; nvme-keyctl(1) has its members. The caller puts it. Returns -ENOMEM. */
int doctor_to_json(const Doctor *d, json_object **ret) _must_check_;
