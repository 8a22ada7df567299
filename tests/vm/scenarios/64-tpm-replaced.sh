# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: alone
# tpm: yes
# needs: nvme-keyd
# suite: store
# long: yes
# shows: a new TPM opens the store of the old one only after a recovery key has opened it once
# timeout: 240

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:replaced

case $VM_PHASE in
1)
    check "nvme-keyctl add" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)"
    # By itself systemd-creds may choose another key than the TPM's.
    check "systemd-creds uses the TPM too" \
        nvme-keyctl slot reseal "$(header_slot systemd-creds | jq -r .id)" --with-key=host+tpm2
    systemctl restart nvme-keyd.service
    is "the TPM opens the store" "$(store_slot)" tpm2
    check "a recovery key" nvme-keyctl slot add recovery
    tail -n 1 "$tmp/check.out" >"$VM_STATE/recovery"
    ring_list | cut -d' ' -f2- >"$VM_STATE/keys"
    host_request tpm-replace || bail "no way to the host"
    reboot_into 2
    ;;
2)
    check "there is a TPM" test -c /dev/tpmrm0
    check "the store does not open" wait_until 60 store_is unavailable
    nvme-keyctl status >"$tmp/status"
    check "the status says that it is another TPM" grep -q 'another TPM' "$tmp/status"
    check "and that systemd-creds does not open it either" grep -q systemd-creds: "$tmp/status"
    journalctl --sync
    journalctl -b -o cat MESSAGE_ID="$MESSAGE_STORE_UNAVAILABLE" >"$tmp/journal"
    check "the journal says so" grep -q 'another TPM' "$tmp/journal"
    diag "$(head -n 1 "$tmp/journal")"
    is "no key is published" "$(ring_count)" 0

    check "the recovery key opens it" nvme-keyctl slot unlock <"$VM_STATE/recovery"
    is "the keys are published" "$(ring_list | cut -d' ' -f2-)" "$(cat "$VM_STATE/keys")"
    check "nvme-keyctl slot reseal" nvme-keyctl slot reseal --new-tpm
    reboot_into 3
    ;;
3)
    is "the keys are published without help" "$(ring_list | cut -d' ' -f2-)" "$(cat "$VM_STATE/keys")"
    is "the new TPM has opened the store" "$(store_slot)" tpm2
    is "the slots" "$(header_slots)" "tpm2 systemd-creds recovery"
    is "systemd-creds uses the new TPM" "$(header_slot systemd-creds | jq -r .withKey)" host+tpm2
    ;;
esac
