# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: alone
# tpm: yes
# needs: nvme-keyd
# suite: boot
# long: yes
# shows: the initramfs of Debian, without systemd, publishes the keys, and its tlshd serves the running system

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:initramfs
noted=/run/initramfs/vm
tree=/run/initramfs/nvme-keyd-tlshd

# Notes the content of .nvme before the real root is mounted, by klibc's programs.
note_keys() {
    local script=/etc/initramfs-tools/scripts/local-bottom/vm

    mkdir -p "${script%/*}"
    printf '%s\n' '#!/bin/sh' '[ "$1" != prereqs ] || exit 0' "mkdir $noted" "cat /proc/keys >$noted/keys" >"$script"
    chmod 755 "$script"
}
# Searches for the PSK, as text or as the bytes that the kernel has.
plaintext_in() {
    local bytes

    bytes=$(sed 's/../\\x&/g' "$VM_STATE/hex")
    LC_ALL=C grep -raqF -f "$VM_STATE/text" "$@" || LC_ALL=C grep -raqP -e "$bytes" "$@"
}
no_plaintext_in() { [ -d "$1" ] && ! plaintext_in "$1"; }

# SERIAL-IN-HEX of a key, as it was noted
noted_serials() { awk '$8 == "psk" { print $1 }' $noted/keys; }
noted_owners() { awk '$8 == "psk" { print $6 ":" $7 }' $noted/keys | sort -u; }
now_serials() { awk '$8 == "psk" { print $1 }' /proc/keys; }
daemons() { pgrep -f '^@tlshd'; }
files_elsewhere() { find "/proc/$1"/{fd,exe,cwd,root} -type l -printf '%l\n' | grep '^/' | grep -vE "^($tree(/|$)|/dev/(null|kmsg)$)"; }
device_of() { stat -c '%Hd:%Ld' "$1" | awk -F: '{ printf "%02x:%02x\n", $1, $2 }'; }
mapped_devices() { awk '$6 ~ /^\// { print $4 }' "/proc/$1/maps" | sort -u; }

case $VM_PHASE in
1)
    psk=$(new_psk)
    id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$psk") || bail "nvme-keyctl add"
    modprobe nvme-keyring
    is "the store has a slot of the TPM" "$(header_slots | grep -ow tpm2)" tpm2
    key_hex "$(record_identity "$id")" >"$VM_STATE/hex"
    cut -d: -f3 <<<"$psk" >"$VM_STATE/text"
    check "a place for the image" host_mount || bail "no directory of the host"
    note_keys
    mkdir -p /etc/nvme-keyd
    echo NVME_KEYD=yes >/etc/nvme-keyd/initramfs.conf
    # the image has its handshake daemon although it connects nothing
    echo "# nothing" >/etc/nvme-keyd/connect.conf
    host_request initrd initramfs-tools
    reboot_into 2
    ;;
2)
    host_mount || bail "no directory of the host"
    diag "$(stat -c %s "$HOST/initrd.img") bytes, of which nvme-keyd's part unpacked is:" \
        "$(cd "$HOST/image" && du -shc var/lib/nvme-keyd usr/lib/nvme-keyd usr/sbin/tlshd usr/lib/*/lib{crypto,gnutls,tss2}* 2>/dev/null | tail -n 1)"
    is "an image without a warning" "$(grep nvme-keyd "$HOST/initrd.log")" ""
    is "the image is for root only" "$(stat -c %a "$HOST/initrd.img")" 600
    check "the sealed store is in it" test -e "$HOST/image/var/lib/nvme-keyd/store"
    check "no plaintext in it" no_plaintext_in "$HOST/image"
    check "the search finds what is there" plaintext_in "$VM_STATE/text"

    diag "$(journalctl --boot --quiet --output=short-monotonic --dmesg --grep=nvme-keyd)"
    is "the TPM opened the store in the initramfs" \
        "$(dmesg | grep -c 'nvme-keyd: Keyring reconciled: 0 keys kept, 1 added, 0 removed')" 1
    is "the key was there before the real root" "$(noted_serials | wc -l)" 1
    is "the key has the mark of the service" "$(noted_owners)" "0:$(getent group nvme-keyd | cut -d: -f3)"
    is "the real root has run its preload" "$(unit_property nvme-keyd-preload.service Result)" success
    is "the real root has the same key" "$(now_serials)" "$(noted_serials)"
    nvme-keyctl sync >"$tmp/sync"
    is "sync keeps that key" "$(now_serials)" "$(noted_serials)"

    pid=$(daemons)
    is "one handshake daemon" "$(wc -w <<<"$pid")" 1
    is "nvme-keyd-tlshd.service has taken it over" "$(unit_property nvme-keyd-tlshd.service MainPID)" "$pid"
    is "nvme-keyd-tlshd.service has the keyring" "$(nvme-keyctl status --json=short | jq -r '.tlshd | "\(.unit) \(.state)"')" "nvme-keyd-tlshd.service ready"
    is "tlshd.service of the real root is not started" "$(unit_property tlshd.service ActiveState)" inactive
    is "the handshake daemon has its tree as root" "$(readlink "/proc/$pid/root")" "$tree"
    is "the handshake daemon maps files of its tree only" "$(mapped_devices "$pid")" "$(device_of $tree)"
    is "the handshake daemon has no other file open" "$(files_elsewhere "$pid")" ""
    diag "tree: $(du -sk $tree | cut -f 1) KiB, $(findmnt --noheadings --output OPTIONS $tree)"

    target_up "$sub" || bail "target"
    check "nvme connect --tls" connect_tls "$sub"
    is "the connection uses that key" "$(printf '%x' "$(tls_key_of "$sub")")" "$(now_serials | sed 's/^0*//')"
    disconnect "$sub" >/dev/null
    kill -KILL "$pid"
    check "a killed handshake daemon is started again" wait_until 20 eval '[ -n "$(daemons)" ]'
    check "the restarted handshake daemon serves" connect_tls "$sub"
    is "tlshd.service of the real root is still not started" "$(unit_property tlshd.service ActiveState)" inactive
    ;;
esac
