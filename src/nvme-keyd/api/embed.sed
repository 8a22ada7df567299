# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes each line a C string literal. A file, because meson changes backslashes in commands.
s/["\\]/\\&/g
s/.*/"&\\n"/
