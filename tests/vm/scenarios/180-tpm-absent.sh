# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: boot-tpm
# tpm: yes
# needs: nvme-keyd
# suite: boot
# long: yes
# shows: a boot goes on without the TPM that opens the store; the next boot, with the TPM, has the keys
# timeout: 240

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:tpm-absent

case $VM_PHASE in
1)
    check "nvme-keyctl add" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)"
    check "only the TPM opens the store" only_tpm
    ring_list | cut -d' ' -f2- >"$VM_STATE/keys"
    host_request tpm-remove || bail "no way to the host"
    reboot_into 2
    ;;
2)
    check "there is no TPM" test ! -e /dev/tpmrm0
    check "the boot goes on" boot_went_on
    is "one unit has failed" "$(failed_units)" nvme-keyd-preload.service
    complains_once "the journal has it once" "$MESSAGE_STORE_UNAVAILABLE"
    check "nothing waits: $(preload_ms) ms" preload_within 90
    check "the store is not open" wait_until 60 store_is unavailable
    is "no key is published" "$(ring_count)" 0
    host_request tpm-return
    reboot_into 3
    ;;
3)
    check "there is a TPM" test -c /dev/tpmrm0
    is "the keys are there" "$(ring_list | cut -d' ' -f2-)" "$(cat "$VM_STATE/keys")"
    is "no unit has failed" "$(failed_units)" ""
    complains_once "the journal has nothing" ""
    ;;
esac
