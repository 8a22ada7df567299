# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: boot
# needs: nvme-keyd
# suite: boot
# long: yes
# shows: a boot goes on while no slot opens the store; the keys are published once a slot does
# timeout: 240

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:store-locked
host_key=/var/lib/systemd/credential.secret

has_keys() { [ "$(ring_list | cut -d' ' -f2-)" = "$(cat "$VM_STATE/keys")" ]; }

case $VM_PHASE in
1)
    check "nvme-keyctl add" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)"
    is "the host key opens the store" "$(header_slot systemd-creds | jq -r .withKey)" host
    check "a recovery key" nvme-keyctl slot add recovery
    tail -n 1 "$tmp/check.out" >"$VM_STATE/recovery"
    ring_list | cut -d' ' -f2- >"$VM_STATE/keys"
    mv "$host_key" "$VM_STATE/"
    reboot_into 2
    ;;
2)
    defer "systemctl restart nvme-keyd.service"
    defer "chattr -i $host_key; mv $VM_STATE/credential.secret $host_key"
    check "the boot goes on" boot_went_on
    is "one unit has failed" "$(failed_units)" nvme-keyd-preload.service
    check "nothing waits: $(preload_ms) ms" preload_within 90
    check "the store is not open" wait_until 60 store_is unavailable
    is "no key is published" "$(ring_count)" 0
    check_fails "nvme-keyctl sync says so" nvme-keyctl sync
    # the service has tried again by then
    sleep 15
    complains_once "the journal has it once" "$MESSAGE_STORE_UNAVAILABLE"

    check "the recovery key opens it" nvme-keyctl slot unlock <"$VM_STATE/recovery"
    check "the keys are published" wait_until 10 has_keys

    # The same again, but the cause goes away without a notice to the service.
    forget_keys
    systemctl restart nvme-keyd.service
    check "the store is locked again" wait_until 60 store_is unavailable
    is "no key is published" "$(ring_count)" 0
    chattr -i "$host_key" 2>/dev/null
    cp "$VM_STATE/credential.secret" "$host_key"
    check "with the host key back the keys are published" wait_until 90 has_keys
    is "the slot of systemd-creds opened the store" "$(store_slot)" systemd-creds
    ;;
esac
