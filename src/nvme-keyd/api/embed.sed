# SPDX-License-Identifier: LGPL-2.1-or-later
# Turns a text into the C string of description.h. A file of its own, because meson changes
# backslashes in commands.
s/["\\]/\\&/g
s/.*/"&\\n"/
1i #include "nvme-keyd/api/description.h"
1i const char manager_description[] =
$a ;
