/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Prints text as a QR code on standard output, which is a terminal, if libqrencode is installed and
 * the locale has UTF-8; else prints nothing. The library keeps no copy but in freed memory of this
 * process, which should end soon if the text is a secret. */
void qr_print(const char *text);
