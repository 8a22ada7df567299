/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

/* A config.json with 10,000 subsystems has 3 MB, and modules.dep of a distribution has 1 MB. */
#define DOCTOR_FILE_MAX ((size_t)16 * 1024 * 1024)
/* A command line of nvme-cli has some hundred bytes; longer ones are looked at to this length. */
#define DOCTOR_COMMAND_LINE_MAX ((size_t)64 * 1024)
/* Locked memory through which all files are read. */
#define DOCTOR_CHUNK_SIZE 4096
/* A directory of configuration; what is beyond is left out. */
#define DOCTOR_NAMES_MAX 4096
/* Lines of one check. A machine with a thousand faults of one kind has one cause. */
#define DOCTOR_LINES_MAX 8
/* Journal entries that are read, newest first, in less than half a second. */
#define DOCTOR_JOURNAL_ENTRIES_MAX 2000
/* Errors that are kept of them, and the length of each. */
#define DOCTOR_MESSAGES_MAX 64
#define DOCTOR_MESSAGE_LENGTH_MAX 200
/* config.json has hosts, subsystems, ports and their members. */
#define DOCTOR_JSON_DEPTH_MAX 16
/* A path below the root. */
#define DOCTOR_PATH_MAX 512
