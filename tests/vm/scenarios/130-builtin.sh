# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: alone
# kernel: builtin
# needs: nvme-keyd
# suite: builtin
# shows: without any module event the keys are published before tlshd and before the first connect; the kernel tells the guard of changes
# timeout: 1200

. /opt/vm/lib.sh

boots=${VM_BOOTS:-3}
sub=nqn.2026-11.org.example:builtin
events=/run/vm-module-events
units=(nvme-keyd-preload.service nvme-keyd.service nvme-keyd.socket nvme-keyd-request.socket)

# A unit may reach its time limit on a slow machine, which is no failure here.
broken_units() {
    local unit

    for unit in $(failed_units); do
        [ "$(unit_property "$unit" Result)" = timeout ] || echo "$unit"
    done
}
no_module_event() {
    udevadm settle
    is "$1: no module has had an event, not at the coldplug of udev either" "$(cat $events 2>/dev/null)" ""
}

a_boot() {
    local text=$1 done_at started

    no_module_event "$text"
    is "$text: the key is in .nvme" "$(ring_list | cut -d' ' -f2-)" "$(cat "$VM_STATE/keys")" || bail "$text: no key"
    done_at=$(unit_property nvme-keyd-preload.service ExecMainExitTimestampMonotonic)
    started=$(unit_property tlshd.service ExecMainStartTimestampMonotonic)
    check "$text: by the preload unit, before tlshd ($done_at us, $started us)" test 0 -lt "$done_at" -a "$done_at" -lt "$started"

    check "$text: a target with TLS" target_up "$sub"
    check "$text: the first connect works" connect_tls "$sub" || bail "$text: no connection"
    is "$text: by that key" "$(tls_key_of "$sub")" "$(ring_list | cut -d' ' -f1)"
    check "$text: data comes back" data_check "$(bdev_of "$sub")"
    disconnect "$sub" >/dev/null
    is "$text: no unit has failed" "$(broken_units)" ""
}

# Only this kernel has CONFIG_KEY_NOTIFICATIONS. The look of the timer comes every fourth second here.
guard_is_notified() {
    local ring start i
    ring=$(nvme_ring)
    is "the kernel tells the guard of changes" "$(nvme-keyctl status --json=short | jq .guard.notified)" true
    keyctl link "$ring" @s
    for i in 1 2 3; do
        start=$(now_ms)
        keyctl clear "$ring"
        check "cleared, round $i: the key is back" wait_until 30 eval '[ "$(ring_count)" -gt 0 ]'
        diag "after at most $(($(now_ms) - start)) ms"
    done
}

case $VM_PHASE in
1)
    check "the kernel has no modules" test ! -e /proc/modules -a -d /sys/module/nvme_tcp || bail "another kernel"
    check ".nvme is there all the same" nvme_ring
    is "no unit has failed" "$(broken_units)" ""
    check "nvme-keyctl add" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)" || bail "no key"
    ring_list | cut -d' ' -f2- >"$VM_STATE/keys"
    guard_is_notified
    # records the events of modules
    cat >/etc/udev/rules.d/10-vm.rules <<EOT
SUBSYSTEM=="module", RUN+="/bin/sh -c 'echo \$env{ACTION} %k >>$events'"
EOT
    reboot_into boot-1
    ;;
boot-*)
    n=${VM_PHASE#boot-}
    a_boot "boot $n of $boots"
    [ "$n" -ge "$boots" ] || reboot_into "boot-$((n + 1))"

    # Without nvme-keyd: a file, and the udev rule of nvme-cli.
    ring=$(nvme_ring)
    keyctl link "$ring" @s
    check "the key in /etc/nvme/tls-keys" nvme tls-key --export --keyfile=/etc/nvme/tls-keys
    check "the file has a key" grep -c '^NVMe' /etc/nvme/tls-keys
    check "the rule is for it" grep -q 'SUBSYSTEM=="module".*tls-keys' /usr/lib/udev/rules.d/70-nvmf-keys.rules
    systemctl mask "${units[@]}" 2>/dev/null
    reboot_into control
    ;;
control)
    defer "disconnect $sub; systemctl unmask ${units[*]}; rm /etc/nvme/tls-keys"
    defer "target_down; rm /etc/udev/rules.d/10-vm.rules"
    no_module_event "control"
    is "control: with the rule alone .nvme is empty" "$(ring_count)" 0
    check "control: a target with TLS" target_up "$sub"
    check_fails "control: and the first connect fails" connect_tls "$sub"
    check "control: the command of the rule succeeds" nvme tls-key --import --keyfile=/etc/nvme/tls-keys
    check "control: then the connect succeeds, so only the key was missing" connect_tls "$sub"
    ;;
esac
