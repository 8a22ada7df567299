/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Error texts of the kernel, tlshd and nvme-cli for a failed connection. TROUBLESHOOTING in
 * nvme-keyctl(1) and a table in README.md have the same rows. */
typedef struct Trouble {
    const char *text; /* a part of the message; "..." stands for any text */
    const char *cause;
    const char *remedy;
} Trouble;

/* The row for a message, or NULL. */
const Trouble *trouble_find(const char *message);
