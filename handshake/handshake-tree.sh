#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# handshake-tree DIRECTORY: mounts a memory file system there, with tlshd and every file that it opens.
#
# A tlshd with this root directory needs no other file system, so it survives the loss of the root that it came from. See
# docs/ROOT-ON-TLS.md. Runs in an initramfs, perhaps with busybox only: needs sh, mount, umount, mkdir, rmdir, cp, ln and
# chroot. With flock, two runs at once are safe.

set -eu

tree=${1:?"Usage: $0 DIRECTORY"}
tlshd=${TLSHD:-/usr/sbin/tlshd}

mkdir -p "${tree%/*}"
if command -v flock >/dev/null; then
    exec 9>"$tree.lock"
    flock 9
fi

# This file is made last, so it marks a complete tree.
[ ! -e "$tree/usr/sbin/tlshd" ] || exit 0

# An earlier run that was killed has left its mounts.
while umount "$tree/proc/keys" 2>/dev/null || umount "$tree" 2>/dev/null; do :; done
mkdir -p "$tree"
# Swap may be on the very disk that waits for a handshake. Kernels before 6.4 lack noswap.
mount -t tmpfs -o mode=755,nosuid,nodev,size=64M,noswap nvme-keyd-tlshd "$tree" 2>/dev/null ||
    mount -t tmpfs -o mode=755,nosuid,nodev,size=64M nvme-keyd-tlshd "$tree"
trap 'umount "$tree/proc/keys" 2>/dev/null || :; umount "$tree" && rmdir "$tree"' 0

# tlshd finds the keyring .nvme in /proc/keys, and links it when it starts.
if [ -e /proc/keys ]; then
    mkdir "$tree/proc"
    : >"$tree/proc/keys"
    mount -o bind /proc/keys "$tree/proc/keys"
fi

# copy FILE [NAME]: follows links, and copies to NAME
copy() {
    to=$tree${2:-$1}
    mkdir -p "${to%/*}"
    cp -L "$1" "$to"
}

# Only the loader has a fixed path; LD_LIBRARY_PATH=/lib leads to all libraries.
LD_TRACE_LOADED_OBJECTS=1 "$tlshd" | while read -r name arrow path _; do
    case "$name $arrow" in
    /*) copy "$name" ;;
    *" =>") copy "$path" "/lib/$name" ;;
    esac
done

for f in /etc/tlshd.conf /etc/tlshd/config /etc/gnutls/config /etc/crypto-policies/back-ends/gnutls.config /etc/hosts; do
    [ ! -e "$f" ] || copy "$f"
done
# A handshake must not wait for a name server.
mkdir -p "$tree/etc"
echo 'hosts: files' >"$tree/etc/nsswitch.conf"

# systemd leaves a process alive to the end if its name begins with @, so it is started as:
#   LD_LIBRARY_PATH=/lib chroot DIRECTORY @tlshd --stderr
copy "$tlshd" /usr/sbin/@tlshd
LD_LIBRARY_PATH=/lib chroot "$tree" @tlshd --version
ln "$tree/usr/sbin/@tlshd" "$tree/usr/sbin/tlshd"
trap - 0
