# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: alone
# needs: nvme-keyd
# shows: keys are published before anything connects, and survive a power cut
# timeout: 240

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:boot
cut=nqn.2026-11.org.example:cut

case $VM_PHASE in
1)
    check "nvme-keyctl add" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)"
    ring_list | cut -d' ' -f2- >"$VM_STATE/keys"
    reboot_into 2
    ;;
2)
    is "the same identity and bytes after a restart" "$(ring_list | cut -d' ' -f2-)" "$(cat "$VM_STATE/keys")"
    is "the preload unit did it" "$(unit_property nvme-keyd-preload.service Result)" success
    read -r _ done_at < <(preload_times)
    units=(tlshd.service nvmf-autoconnect.service)
    # nvme-cli 3 has it
    ! systemctl is-enabled --quiet nvme-discoverd.service || units+=(nvme-discoverd.service)
    for unit in "${units[@]}"; do
        started=$(unit_property "$unit" ExecMainStartTimestampMonotonic)
        diag "nvme-keyd-preload done at $done_at us, $unit started at $started us"
        check "the preload unit ran before $unit" test 0 -lt "$done_at" -a "$done_at" -lt "$started"
    done
    # An initrd that dracut made for any machine loads it.
    ! command -v mkinitramfs >/dev/null || check "nvme_tcp is not loaded yet" test ! -e /sys/module/nvme_tcp
    target_up "$sub"
    defer target_down
    check "the first connect works" connect_tls "$sub"
    disconnect "$sub" >/dev/null

    next_phase 3
    # A line about it might not make it through the serial port.
    nvme-keyctl add --subsysnqn="$cut" <<<"$(new_psk)" >/dev/null || bail "nvme-keyctl add"
    power_cut
    ;;
3)
    check "the old record" record_of "$sub"
    check "the record of the last moment" record_of "$cut"
    is "both have their keys" "$(ring_count)" 2
    ;;
esac
