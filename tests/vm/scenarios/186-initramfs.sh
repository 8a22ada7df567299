# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: alone
# tpm: yes
# needs: nvme-keyd
# suite: boot
# long: yes
# shows: an initramfs of dracut goes on without the TPM that opens its store; one without a store has the handed-in PSKs
# timeout: 300

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:initramfs-bad
given=nqn.2026-11.org.example:given
sealed=nqn.2026-11.org.example:sealed
initrd_conf=/etc/dracut.conf.d/nvme-keyd.conf
preload=nvme-keyd-preload.service

# The time at which the real root took over, in microseconds.
switched() { systemctl show --property=UserspaceTimestampMonotonic --value; }
# in_initramfs MESSAGE-ID: how often nvme-keyd logged one text with it before that; each slot has its own text
in_initramfs() {
    journalctl --sync
    journalctl --boot --quiet --output=json --identifier=nvme-keyd MESSAGE_ID="$1" |
        jq -s --arg end "$(switched)" 'map(select((.__MONOTONIC_TIMESTAMP | tonumber) < ($end | tonumber)))
                        | group_by(.MESSAGE) | map(length) | max // 0'
}
published_in_initramfs() {
    local done_at

    read -r _ done_at < <(preload_times)
    [ "$done_at" -lt "$(switched)" ]
}
looked_at() { grep -cF " $1 " $LOOKED; }
keys_are() { [ "$(ring_list | cut -d' ' -f2-)" = "$(cat "$VM_STATE/$1")" ]; }

case $VM_PHASE in
1)
    check "nvme-keyctl add" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)"
    is "the TPM opens the store, and the host key" "$(header_slots)" "tpm2 systemd-creds"
    ring_list | cut -d' ' -f2- >"$VM_STATE/keys"
    systemd-creds encrypt --with-key=tpm2 --name=nvme-keyd.psk.sealed - "$VM_STATE/sealed" <<<"$sealed $(new_psk)"
    # also without a store
    echo 'nvme_keyd_store="yes"' >"$initrd_conf"
    look_in_initramfs
    host_request initrd dracut || bail "no way to the host"
    reboot_into 2
    ;;
2)
    check "the initramfs has published the key" published_in_initramfs
    check "the key is published" keys_are keys
    is "no unit has failed" "$(failed_units)" ""
    host_request tpm-remove
    reboot_into 3
    ;;
3)
    check "without the TPM the boot goes on" boot_went_on
    is "the initramfs has said once why it has no key" "$(in_initramfs "$MESSAGE_STORE_UNAVAILABLE")" 1
    check "it did not wait: $(preload_ms) ms" preload_within 90
    check "the real root has it by its host key" wait_until 60 keys_are keys
    is "the real root logs once that the TPM's slot failed" "$(keyd_complaints | grep -c "^$MESSAGE_SLOTS_FAILED ")" 1
    is "its unit is fine" "$(unit_property $preload Result)" success

    mv /var/lib/nvme-keyd "$VM_STATE/store"
    psk=$(new_psk)
    host_request tpm-return
    host_request initrd dracut
    host_request credentials "smbios nvme-keyd.psk.given=$(base64 -w0 <<<"$given $psk")
stub nvme-keyd.psk.sealed=$(base64 -w0 "$VM_STATE/sealed")"
    reboot_into 4
    ;;
4)
    host_mount || bail "no directory of the host"
    check "the image is a new one, and has no store" \
        test -e "$HOST/image/etc/request-key.d/nvme-keyd.conf" -a ! -e "$HOST/image/var/lib/nvme-keyd/store"
    check "its initramfs has published keys" published_in_initramfs
    is "the initramfs has the key from the hypervisor" "$(looked_at "$given")" 1
    is "the initramfs has the key of a sealed credential, as systemd-stub adds it" "$(looked_at "$sealed")" 1
    is "the initramfs has no other key" "$(wc -l <$LOOKED)" 2
    is "the real root has both credentials" \
        "$(nvme-keyctl list --json=short | jq -r '.keys[] | "\(.subsystemNQN) \(.credential)"' | sort)" \
        "$given nvme-keyd.psk.given
$sealed nvme-keyd.psk.sealed"
    is "the kernel has both keys" "$(ring_count)" 2

    systemctl stop nvme-keyd.socket nvme-keyd-request.socket nvme-keyd.service
    rm -rf /var/lib/nvme-keyd $initrd_conf
    stop_looking
    mv "$VM_STATE/store" /var/lib/nvme-keyd
    # a start of QEMU without the credential
    host_request tpm-return
    reboot_into 5
    ;;
5)
    check "with the store back its key is published" wait_until 60 keys_are keys
    ;;
esac
