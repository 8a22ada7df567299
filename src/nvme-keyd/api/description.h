/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The text of org.nvmekeyd.Manager.varlink; meson makes its definition from the installed file. */
extern const char manager_description[];
