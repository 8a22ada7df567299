# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: boot-tpm
# tpm: yes
# needs: nvme-keyd
# suite: boot
# long: yes
# shows: a boot waits for a TPM that takes 20 s, no longer than documented, and then has the keys
# timeout: 240

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:tpm-slow
drop_in=/etc/systemd/system/nvme-keyd.service.d

case $VM_PHASE in
1)
    check "nvme-keyctl add" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)"
    check "only the TPM opens the store" only_tpm
    ring_list | cut -d' ' -f2- >"$VM_STATE/keys"
    mkdir -p "$drop_in"
    printf '%s\n' '[Service]' 'Environment="NVME_KEYD_TCTI=cmd:exec python3 /opt/vm/slow-tpm.py"' >"$drop_in/vm-slow-tpm.conf"
    reboot_into 2
    ;;
2)
    defer "rm -r $drop_in; systemctl daemon-reload; systemctl restart nvme-keyd.service"
    check "the boot goes on" boot_went_on
    is "no unit has failed" "$(failed_units)" ""
    check_fails "the keys took their time: $(preload_ms) ms" preload_within 20
    check "the keys took no longer than documented" preload_within 60
    is "the keys are published" "$(ring_list | cut -d' ' -f2-)" "$(cat "$VM_STATE/keys")"
    read -r _ done_at < <(preload_times)
    started=$(unit_property tlshd.service ExecMainStartTimestampMonotonic)
    check "the preload unit ran before tlshd" test 0 -lt "$done_at" -a "$done_at" -lt "$started"
    complains_once "the journal has it once" "$MESSAGE_STORE_SLOW"
    is "the TPM has opened the store" "$(store_slot)" tpm2
    ;;
esac
