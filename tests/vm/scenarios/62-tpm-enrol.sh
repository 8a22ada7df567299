# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: alone
# tpm: yes
# needs: nvme-keyd
# suite: store
# shows: a new store is sealed to the TPM, which opens it at the next boot before anything connects
# timeout: 240

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:tpm

case $VM_PHASE in
1)
    check "there is a TPM" test -c /dev/tpmrm0 || bail "no TPM"
    check "nvme-keyctl add" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)"
    check "the store has a slot for the TPM" grep -qw tpm2 <(header_slots)
    check "the store has a slot of systemd-creds" grep -qw systemd-creds <(header_slots)
    is "the TPM's is bound to PCR 7" "$(header_slot tpm2 | jq -c .pcrs)" "[7]"
    check "restart the service" systemctl restart nvme-keyd.service
    is "the TPM opens it" "$(store_slot)" tpm2
    ring_list | cut -d' ' -f2- >"$VM_STATE/keys"
    reboot_into 2
    ;;
2)
    is "the same identity and bytes after a restart" "$(ring_list | cut -d' ' -f2-)" "$(cat "$VM_STATE/keys")"
    is "the preload unit did it" "$(unit_property nvme-keyd-preload.service Result)" success
    read -r _ done_at < <(preload_times)
    started=$(unit_property tlshd.service ExecMainStartTimestampMonotonic)
    diag "nvme-keyd-preload done at $done_at us, tlshd.service started at $started us"
    check "the preload unit ran before tlshd" test 0 -lt "$done_at" -a "$done_at" -lt "$started"
    is "the TPM has opened the store" "$(store_slot)" tpm2
    check "a target with TLS" target_up "$sub"
    defer target_down
    check "connect" connect_tls "$sub"
    defer "disconnect $sub"
    check "data comes back" data_check "$(bdev_of "$sub")"
    ;;
esac
