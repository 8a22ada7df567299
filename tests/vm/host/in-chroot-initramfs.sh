#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# in-chroot-initramfs.sh KIND KERNEL (called by initramfs_make(), with the disk of a guest as its root): makes an image
# of that machine, and unpacks it.

set -euo pipefail

kind=$1 kernel=$2
drivers=(virtio_pci virtio_net virtio_blk ext4)

# As small as possible, because an emulated guest has to unpack it.
case $kind in
dracut)
    dracut --force --hostonly --no-hostonly-default-device --no-hostonly-cmdline --no-compress --no-early-microcode \
        --modules 'nvme-keyd bash base dracut-systemd rootfs-block udev-rules systemd-networkd' \
        --add-drivers "${drivers[*]}" /build/initrd.img "$kernel"
    ;;
initramfs-tools)
    printf '%s\n' MODULES=list COMPRESS=zstd COMPRESSLEVEL=1 BUSYBOX=n >/etc/initramfs-tools/conf.d/vm
    printf '%s\n' "${drivers[@]}" >/etc/initramfs-tools/modules
    mkinitramfs -o /build/initrd.img "$kernel"
    ;;
*)
    echo "No such kind of initramfs: $kind"
    exit 2
    ;;
esac
unmkinitramfs /build/initrd.img /build/image
