# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: alone
# tpm: yes
# needs: nvme-keyd
# suite: upcall
# long: yes
# shows: the initramfs answers request_key(2) as the real root does, before switch-root, and from a store that the TPM opens
# timeout: 300

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:initrd
nobody=nqn.2026-11.org.example:nobody
results=/run/vm-initrd

# A unit in the initramfs, which ends before switch-root, makes the requests (guest/initrd-requests.sh).
make_initrd() {
    local root=$tmp/include units

    units=$root/etc/systemd/system
    mkdir -p "$units/initrd.target.wants" "$root/opt/vm"
    cp /opt/vm/initrd-requests.sh "$root/opt/vm/"
    printf '%s\n' "identity='$1'" "pair='$HOSTNQN $sub'" "nobody='$HOSTNQN $nobody'" >"$root/opt/vm/initrd-requests.conf"
    printf '%s\n' '[Unit]' DefaultDependencies=no After=nvme-keyd-preload.service \
        'Before=initrd.target initrd-parse-etc.service' Conflicts=initrd-switch-root.target \
        '[Service]' Type=oneshot 'ExecStart=/bin/bash /opt/vm/initrd-requests.sh' \
        >"$units/vm-requests.service"
    ln -s ../vm-requests.service "$units/initrd.target.wants/"
    # As little as possible: under emulation an ordinary one takes more than two minutes.
    dracut --force --hostonly --no-hostonly-default-device --no-compress --install sed \
        --modules 'nvme-keyd bash base dracut-systemd udev-rules' --add-drivers 'virtio_blk virtio_pci ext4' \
        --include "$root" / "$HOST/initrd.img" "$(uname -r)"
}
# answer_of NAME [FIELD]: payload or error, milliseconds
answer_of() { sed -n "s/^$1|//p" "$results/results" | cut -d'|' -f "${2:-1}"; }
in_time() { [ "$(answer_of "$1" 2)" -lt 60000 ]; }

case $VM_PHASE in
1)
    id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
    modprobe nvme-keyring
    is "the store has a slot of the TPM" "$(header_slots | grep -ow tpm2)" tpm2
    identity=$(record_identity "$id")
    key_hex "$identity" >"$VM_STATE/hex"
    echo "$id" >"$VM_STATE/id"
    check "a place for the image" host_mount || bail "no directory of the host"
    start=$(now_ms)
    check "dracut" make_initrd "$identity" || bail "no image"
    diag "dracut: $(($(now_ms) - start)) ms, $(stat -c %s "$HOST/initrd.img") bytes"
    # the store in it
    systemctl stop nvme-keyd.service 2>/dev/null
    host_request initrd
    reboot_into 2
    ;;
2)
    [ -e "$results/results" ] || bail "nothing has asked: $(ls -R $results 2>&1)"
    sed 's/^/# initramfs: /' "$results/results"
    diag "$(journalctl --boot --quiet --output=short-monotonic --identifier=request-key-shim | tail -n 5)"
    is "psk: the right bytes" "$(answer_of psk)" ":hex:$(cat "$VM_STATE/hex")"
    is "psk, nvme-keyd was not running: the right bytes" "$(answer_of psk-cold)" ":hex:$(cat "$VM_STATE/hex")"
    is "user: a serial" "$(answer_of user | grep -cxE '[0-9]+')" 1
    is "user: the key is in .nvme" "$(answer_of user)" "$(key_serial "$(record_identity "$(cat "$VM_STATE/id")")")"
    check "unknown, psk: ENOKEY" grep -q 'Required key not available' <(answer_of psk-unknown)
    check "unknown, user: ENOKEY" grep -q 'Required key not available' <(answer_of user-unknown)
    check "no answer: ENOKEY" grep -q 'Required key not available' <(answer_of nobody)
    for request in psk psk-cold user psk-unknown user-unknown nobody; do
        check "$request: in less than 14 s ($(answer_of "$request" 2) ms)" in_time "$request"
    done
    is "the real root has the key, once" "$(ring_count)" 1
    ;;
esac
