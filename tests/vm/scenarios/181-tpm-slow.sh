# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: boot-tpm
# tpm: yes
# needs: nvme-keyd
# suite: boot
# shows: a boot waits for a TPM that takes 20 s, no longer than documented, and has the keys then
# timeout: 240

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:tpm-slow

case $VM_PHASE in
1)
        check "nvme-keyctl add" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)"
        check "only the TPM opens the store" only_tpm
        ring_list | cut -d' ' -f2- >"$VM_STATE/keys"
        boot_unit vm-tpm-stop.service sysinit.target \
                "host_request tpm-stop 20 && wait_until 20 test ! -e $HOST/tpm-stop" \
                DefaultDependencies=no 'After=systemd-remount-fs.service systemd-modules-load.service' \
                'Before=nvme-keyd.service nvme-keyd-preload.service'
        reboot_into 2
        ;;
2)
        defer "boot_unit_gone vm-tpm-stop.service"
        check "the boot goes on" boot_went_on
        is "no unit has failed" "$(failed_units)" ""
        check "the keys took their time: $(preload_ms) ms" eval '! preload_within 10'
        check "and no longer than documented" preload_within 180
        is "they are there" "$(ring_list | cut -d' ' -f2-)" "$(cat "$VM_STATE/keys")"
        read -r _ done_at < <(preload_times)
        started=$(unit_property tlshd.service ExecMainStartTimestampMonotonic)
        check "before tlshd" test 0 -lt "$done_at" -a "$done_at" -lt "$started"
        complains_once "the journal has it once" "$MESSAGE_STORE_SLOW"
        is "the TPM has opened the store" "$(store_slot)" tpm2
        ;;
esac
