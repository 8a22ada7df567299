/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* org.nvmekeyd.Manager in the interface definition language; meson makes it of the file that is
 * installed. */
extern const char manager_description[];
