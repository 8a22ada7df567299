# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/vm/root-on-tls: a function for each kind of initramfs makes an image of this machine, into the file it is given.

# As little as possible: under emulation an ordinary one takes more than two minutes.
initramfs_dracut() {
        dracut --force --hostonly --no-hostonly-default-device --no-hostonly-cmdline --no-compress --no-early-microcode \
                --modules 'nvme-keyd bash base dracut-systemd rootfs-block udev-rules systemd-networkd' \
                --add-drivers 'virtio_net virtio_pci ext4' "$1" "$(uname -r)"
}

# One that is not compressed, so that all of it can be searched.
initramfs_initramfs-tools() {
        printf '%s\n' MODULES=list COMPRESS=zstd BUSYBOX=n >/etc/initramfs-tools/conf.d/vm
        printf '%s\n' virtio_pci virtio_net ext4 >/etc/initramfs-tools/modules
        mkinitramfs -o "$tmp/compressed" && unmkinitramfs "$tmp/compressed" "$tmp/image" &&
                (cd "$tmp/image" && find . -print0 | cpio --quiet --null --format=newc --create) >"$1"
}
