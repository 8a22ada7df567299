#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# image-sid.sh TREE (called by mmdebstrap, with the tree complete): takes the next nvme-cli from experimental. The rest
# stays as it is: apt takes from experimental only what is asked for by that name.

set -eu

tree=$1

ls "$tree/usr/lib/modules" >"$tree/kernel-stock"
sed -nE 's/^(deb .*) sid main$/\1 experimental main/p' "$tree/etc/apt/sources.list" \
    >"$tree/etc/apt/sources.list.d/experimental.list"
chroot "$tree" apt-get update
chroot "$tree" apt-get install --yes --no-install-recommends nvme-cli/experimental
