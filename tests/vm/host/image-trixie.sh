#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# image-trixie.sh TREE (called by mmdebstrap, with the tree complete): adds the newest kernel that Debian has for this
# release. The rest stays as it is: apt takes from backports only what is asked for by that name.

set -eu

tree=$1

ls "$tree/usr/lib/modules" >"$tree/kernel-stock"
# the same mirror; the other lines are of suites that have a dash in their names
sed -nE 's/^(deb .* [a-z]+) main$/\1-backports main/p' "$tree/etc/apt/sources.list" \
    >"$tree/etc/apt/sources.list.d/backports.list"
suite=$(sed 's/ main$//; s/.* //' "$tree/etc/apt/sources.list.d/backports.list")
chroot "$tree" apt-get update
chroot "$tree" apt-get install --yes --no-install-recommends "linux-image-amd64/$suite" "linux-headers-amd64/$suite"
