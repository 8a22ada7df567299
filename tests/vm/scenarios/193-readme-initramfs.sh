# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: alone
# tpm: yes
# needs: debs
# suite: packages
# shows: the chapter of README.md for an initramfs, word by word, with the installed Debian packages: both images have the key
# timeout: 2400

. /opt/vm/lib.sh
. /opt/vm/readme.sh

sub=nqn.2026-11.org.example:initramfs

check "install" dpkg --install /opt/debs/nvme-keyd_*.deb || bail "nvme-keyd is not installed"
modprobe nvme-keyring
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
check "the TPM has a slot" header_slot tpm2
# An emulated guest takes ten minutes for an image of all modules.
echo 'compress="cat"' >/etc/dracut.conf.d/vm.conf
printf '%s\n' MODULES=list COMPRESS=zstd COMPRESSLEVEL=1 BUSYBOX=n >/etc/initramfs-tools/conf.d/vm

mapfile -t blocks < <(readme_blocks "In an initramfs")
is "the chapter has a block for each program that makes images" "${#blocks[@]}" 2
# The image of the machine is that of the running kernel, and of no other. The guest's /boot is empty.
rm -f /var/lib/initramfs-tools/*
for block in "${blocks[@]}"; do
    rm -f /boot/*
    : >"/boot/initrd.img-$(uname -r)"
    start=$(now_ms)
    readme_run "$block" || continue
    diag "$(($(now_ms) - start)) ms"
    image=$(find /boot -type f -name 'initr*' -size +100k)
    mkdir "$tmp/image"
    check "there is an image" unmkinitramfs "$image" "$tmp/image"
    find "$tmp/image" -path '*/nvme-keyd/*' -printf '%P\n' >"$tmp/list"
    check "it has the service" grep -q 'usr/lib/nvme-keyd/nvme-keyd$' "$tmp/list"
    check "it has the key" grep -rq "^{\"id\":\"$id\"" "$tmp/image" --include=store
    rm -r "$tmp/image"
done
