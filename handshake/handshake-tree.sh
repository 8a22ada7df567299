#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# handshake-tree DIRECTORY: makes a memory file system there, with tlshd and all that it opens.
#
# A tlshd that has it as its root directory needs no other file system, so it goes on when the root it came from
# is gone. See docs/ROOT-ON-TLS.md. Runs in an initramfs, where there may be no more than busybox: needs sh, mount,
# umount, mkdir, rmdir, cp, ln and chroot. Where there is flock, it may be run twice at once.

set -eu

tree=${1:?"Usage: $0 DIRECTORY"}
tlshd=${TLSHD:-/usr/sbin/tlshd}

mkdir -p "${tree%/*}"
if command -v flock >/dev/null; then
    exec 9>"$tree.lock"
    flock 9
fi

# It comes last: the tree is there as a whole or not at all.
[ ! -e "$tree/usr/sbin/tlshd" ] || exit 0

# What somebody has left behind that was killed.
while umount "$tree/proc/keys" 2>/dev/null || umount "$tree" 2>/dev/null; do :; done
mkdir -p "$tree"
# Swap may be on the very disk that waits for a handshake. Kernels before 6.4 do not have the option.
mount -t tmpfs -o mode=755,nosuid,nodev,size=64M,noswap nvme-keyd-tlshd "$tree" 2>/dev/null ||
    mount -t tmpfs -o mode=755,nosuid,nodev,size=64M nvme-keyd-tlshd "$tree"
trap 'umount "$tree/proc/keys" 2>/dev/null || :; umount "$tree" && rmdir "$tree"' 0

# There tlshd finds the keyring .nvme, which it links into its own when it starts.
if [ -e /proc/keys ]; then
    mkdir "$tree/proc"
    : >"$tree/proc/keys"
    mount -o bind /proc/keys "$tree/proc/keys"
fi

# copy FILE [NAME]: what links lead to, by that name
copy() {
    to=$tree${2:-$1}
    mkdir -p "${to%/*}"
    cp -L "$1" "$to"
}

# Of the libraries only the loader has a fixed place; LD_LIBRARY_PATH=/lib leads to all others.
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

# systemd leaves processes alive to the end whose name begins so, when they were started with just that:
#   LD_LIBRARY_PATH=/lib chroot DIRECTORY @tlshd --stderr
copy "$tlshd" /usr/sbin/@tlshd
LD_LIBRARY_PATH=/lib chroot "$tree" @tlshd --version
ln "$tree/usr/sbin/@tlshd" "$tree/usr/sbin/tlshd"
trap - 0
