/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lifetime of a key that is published on demand. A handshake has 10 s to look it up again. */
#define ON_DEMAND_SEC 60
#define ON_DEMAND_SEC_MIN 20

#define IDLE_EXIT_SEC_MIN 30

/* A configuration is a few lines; a wrong file, such as an image, must not be read to its end. */
#define CONFIG_FILE_MAX (1024 * 1024)
/* Enough to see what kind of file it is. */
#define CONFIG_PROBLEMS_MAX 32
/* Section, option and value come from one line, of which inih takes 200 bytes. */
#define CONFIG_PROBLEM_LENGTH_MAX 512
