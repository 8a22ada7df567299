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
