#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# in-chroot.sh OVERLAY TREE SRC BUILD COMMAND... (called by in_chroot() in namespaces of its own)

set -euo pipefail

overlay=$1 tree=$2 src=$3 build=$4
shift 4
root=$overlay/root

if [ -f "$tree" ]; then
    mount -o loop,ro "$tree" "$overlay/disk"
    tree=$overlay/disk
fi

mount -t overlay overlay -o "lowerdir=$tree,upperdir=$overlay/upper,workdir=$overlay/work" "$root"
mkdir -p "$root/src" "$root/build"
mount --bind "$src" "$root/src"
mount -o remount,bind,ro "$root/src"
mount --bind "$build" "$root/build"
mount -t proc proc "$root/proc"
# A build needs a few harmless nodes; the disks of the machine stay out of its reach.
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"

exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8 "$@"
