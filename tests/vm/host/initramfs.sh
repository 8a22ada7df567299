# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Makes the initramfs of a guest on the host, from the disk of the guest: in an emulated guest it takes ten minutes.

initramfs_kinds=(dracut initramfs-tools)

# initramfs_make KIND DISK KERNEL DIR: makes one of the machine of that disk, which is off, for a version of the kernel.
# DIR then has initrd.img, its content (image/), and the log (initrd.log).
initramfs_make() {
    local kind=$1 disk=$2 kernel=$3 dir=$4

    rm -rf "$dir/image"
    in_chroot "$disk" "$vm_dir/host" "$dir" bash /src/in-chroot-initramfs.sh "$kind" "$kernel" \
        >"$dir/initrd.log" 2>&1 </dev/null
}
