# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An initramfs of a guest, made on the host from the guest's disk: in the guest, where everything is emulated, it takes ten
# minutes.

initramfs_kinds=(dracut initramfs-tools)

# initramfs_make KIND DISK KERNEL DIR: of the machine whose disk that is and which is off, for the kernel of that version.
# DIR has initrd.img then, what is in it (image/), and what was said (initrd.log).
initramfs_make() {
    local kind=$1 disk=$2 kernel=$3 dir=$4

    rm -rf "$dir/image"
    in_chroot "$disk" "$vm_dir/host" "$dir" bash /src/in-chroot-initramfs.sh "$kind" "$kernel" \
        >"$dir/initrd.log" 2>&1 </dev/null
}
