# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: alone
# needs: nvme-keyd
# suite: boot
# shows: a PSK from the hypervisor connects a machine without a store, and a key-encryption key opens a store
# timeout: 300

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:stateless
by_fw_cfg=nqn.2026-11.org.example:fw-cfg
stored=nqn.2026-11.org.example:stored
kept=$VM_STATE/store
broken=/etc/credstore.encrypted/nvme-keyd.psk.broken
sealed=/etc/credstore.encrypted/nvme-keyd.psk
host_key=/var/lib/systemd/credential.secret

# The unit is ordered before everything that connects.
check_order() {
    local done_at started

    is "the preload unit did it" "$(unit_property nvme-keyd-preload.service Result)" success
    read -r _ done_at < <(preload_times)
    started=$(unit_property tlshd.service ExecMainStartTimestampMonotonic)
    diag "nvme-keyd-preload done at $done_at us, tlshd.service started at $started us"
    check "the preload unit ran before tlshd" test 0 -lt "$done_at" -a "$done_at" -lt "$started"
}
check_connect() {
    check "a target with TLS" target_up "$1"
    defer target_down
    check "the first connect" connect_tls "$1"
    defer "disconnect $1"
    check "data comes back" data_check "$(bdev_of "$1")"
}
# Whether nvme-keyd-preload.service would run here, were this an initramfs of dracut without a store.
runs_in_initramfs() {
    local conditions

    mapfile -t conditions < <(sed -n '/nvme-keyd.store$/d; /^Condition/p' /usr/lib/dracut/modules.d/50nvme-keyd/preload.conf)
    [ "${#conditions[@]}" -gt 0 ] && systemd-analyze condition "${conditions[@]}"
}
# credential_of SUBSYSTEM: the source of its key
credential_of() { nvme-keyctl list --json=short | jq -r ".keys[] | select(.subsystemNQN == \"$1\").credential"; }
psk_part() { cut -d : -f 3 "$VM_STATE/psk"; }

case $VM_PHASE in
1)
    modprobe nvme-keyring
    check "a store" nvme-keyctl add --subsysnqn="$stored" <<<"$(new_psk)"
    header_slot systemd-creds | jq -r .credential |
        systemd-creds decrypt --name=nvme-keyd.kek - "$VM_STATE/kek" || bail "the key of its slot"
    ring_list | cut -d' ' -f2- >"$VM_STATE/keys"
    check_fails "in an initramfs nothing would be published" runs_in_initramfs
    systemctl stop nvme-keyd.socket nvme-keyd-request.socket nvme-keyd.service
    mv /var/lib/nvme-keyd "$kept"

    new_psk >"$VM_STATE/psk"
    printf '%s\n' "# from the hypervisor" "$sub $(cat "$VM_STATE/psk")" "of no use: $(cat "$VM_STATE/psk")" >"$tmp/text"
    host_request credentials "smbios nvme-keyd.psk.disk1=$(base64 -w0 "$tmp/text")
fw_cfg nvme-keyd.psk.disk2=$(base64 -w0 <<<"$by_fw_cfg $(new_psk)")"
    reboot_into 2
    ;;
2)
    check_order
    check "a credential was fetched" test -e /run/credentials/nvme-keyd-credentials.service/nvme-keyd.psk.disk1
    is "there is no store" "$(nvme-keyctl status --json=short | jq -r .store.state)" absent
    is "the keys are there, and where they are from" \
        "$(nvme-keyctl list --json=short | jq -r '.keys[] | "\(.subsystemNQN) \(.hostNQN) \(.credential)"' | sort)" \
        "$by_fw_cfg $HOSTNQN nvme-keyd.psk.disk2
$sub $HOSTNQN nvme-keyd.psk.disk1"
    is "both keys are in the keyring" "$(ring_count)" 2
    check "the ignored line is reported by its number" test 1 = "$(journalctl --boot --quiet --output=cat \
        MESSAGE_ID=4c3bd2f6a0e74a1f8f65b0d1c1f7a9e2 | grep -c 'nvme-keyd\.psk\.disk1, line 3: ')"
    check "in an initramfs the keys would be published as well" runs_in_initramfs
    check_connect "$sub"
    check_connect "$by_fw_cfg"
    check "no store was made" test ! -e /var/lib/nvme-keyd/store

    # Until systemd 258 this fails the unit that asks for it.
    serials=$(ring_list | cut -d' ' -f1)
    mkdir -p "${broken%/*}"
    systemd-creds encrypt --with-key=host --name=another - "$broken" <"$VM_STATE/psk"
    systemctl restart nvme-keyd-credentials.service
    diag "nvme-keyd-credentials.service: $(unit_property nvme-keyd-credentials.service Result)"
    check "a credential that cannot be unsealed does not stop the service" systemctl restart nvme-keyd.service
    is "such a credential takes no key away" "$(ring_list | cut -d' ' -f1)" "$serials"
    rm "$broken"
    check "fetched again" systemctl restart nvme-keyd-credentials.service nvme-keyd.service
    is "the keys are known again" "$(nvme-keyctl list --json=short | jq -r '.keys[].identities[].serial' | sort)" "$(sort <<<"$serials")"

    # As the manual page has it, with the key that all of them have here.
    mkdir -p "${sealed%/*}"
    systemd-creds encrypt --with-key=host --name=nvme-keyd.psk - "$sealed" <<<"nqn.2026-11.org.example:sealed $(new_psk)"
    systemctl restart nvme-keyd-credentials.service nvme-keyd.service
    is "a sealed credential is unsealed" "$(credential_of nqn.2026-11.org.example:sealed)" nvme-keyd.psk
    is "status mentions no sealed credential" "$(nvme-keyctl status | grep -c 'still sealed')" 0
    # Under another machine id systemd would delete the host key to unseal it.
    digest=$(sha256sum <"$host_key")
    echo 00112233445566778899aabbccddeeff >"$tmp/other-id"
    mount --bind "$tmp/other-id" /etc/machine-id
    check_fails "under another machine id it is not unsealed" systemctl restart nvme-keyd-credentials.service
    is "nvme-keyd-host-key.service refuses the machine id" "$(unit_property nvme-keyd-host-key.service Result)" exit-code
    check "the service is started all the same" systemctl restart nvme-keyd.service
    umount /etc/machine-id
    is "the host key is as before" "$(sha256sum <"$host_key")" "$digest"
    check "with the old machine id it is unsealed again" systemctl restart nvme-keyd-credentials.service nvme-keyd.service
    is "the key of the unsealed credential is there" "$(credential_of nqn.2026-11.org.example:sealed)" nvme-keyd.psk
    rm "$sealed"

    journalctl --sync
    is "no message about a host key that was there" "$(journalctl --boot --quiet --output=cat | grep -c 'credentials host key set up')" 0
    check "the PSK is nowhere in the journal" test 0 = "$(journalctl --quiet --output=export | grep -acF "$(psk_part)")"
    check "the PSK is not in the kernel's log" test 0 = "$(dmesg | grep -cF "$(psk_part)")"
    # The credentials of this boot, and the host key that sealed the store.
    rm -rf /var/lib/nvme-keyd "$host_key"
    mv "$kept" /var/lib/nvme-keyd
    host_request credentials "smbios nvme-keyd.kek=$(base64 -w0 "$VM_STATE/kek")"
    reboot_into 3
    ;;
3)
    check_order
    is "the key from the hypervisor opens the store" "$(store_slot)" systemd-creds
    check "systemd-creds cannot open it without that key" test -z "$(header_slot systemd-creds | jq -r .credential |
        systemd-creds decrypt --name=nvme-keyd.kek - - 2>/dev/null | tr -d '\0')"
    is "its key is published" "$(ring_list | cut -d' ' -f2-)" "$(cat "$VM_STATE/keys")"
    check "no key of a credential" test -z "$(nvme-keyctl list --json=short | jq -r '.keys[].credential // empty')"
    check_connect "$stored"
    ;;
esac
