# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: alone
# kernel: builtin
# needs: nvme-keyd
# suite: builtin
# shows: without a module event ever keys are there before tlshd, for the first connect and for a target of before
# timeout: 1200

. /opt/vm/lib.sh

boots=${VM_BOOTS:-3}
sub=nqn.2026-11.org.example:builtin
events=/run/vm-module-events
units=(nvme-keyd-preload.service nvme-keyd.service nvme-keyd.socket nvme-keyd-request.socket)

failed_units() { systemctl list-units --failed --plain --no-legend | awk '{ print $1 }' | sort | xargs; }
started() { unit_property "$1" "ExecMain${2}TimestampMonotonic"; }
# before TEXT MONOTONIC MONOTONIC
before() { check "$1 ($2 us, $3 us)" test 0 -lt "$2" -a "$2" -le "$3"; }
# accepted IDENTITY HEX: a handshake with the target, as a host with that key does it
accepted() {
        timeout 60 openssl s_client -connect 127.0.0.1:4420 -tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256 \
                -psk_identity "$1" -psk "$2" </dev/null 2>&1 | tee "$tmp/handshake" | grep -q '^Reused, TLSv1.3'
}
no_module_event() {
        udevadm settle
        is "$1: no module has had an event, not at the coldplug of udev either" "$(cat $events 2>/dev/null)" ""
}

# A target whose port is open before there are keys, and a witness of the events of modules.
prepare_boots() {
        cat >/etc/systemd/system/vm-target.service <<EOT
[Unit]
DefaultDependencies=no
Requires=sys-kernel-config.mount
After=sys-kernel-config.mount
Before=nvme-keyd-preload.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/bash -c '. /opt/vm/lib.sh && target_up $sub'
[Install]
WantedBy=sysinit.target
EOT
        systemctl enable vm-target.service
        cat >/etc/udev/rules.d/10-vm.rules <<EOT
SUBSYSTEM=="module", RUN+="/bin/sh -c 'echo \$env{ACTION} %k >>$events'"
EOT
}

a_boot() {
        local text=$1 identity hex

        no_module_event "$text"
        is "$text: the key is in .nvme" "$(ring_list | cut -d' ' -f2-)" "$(cat "$VM_STATE/keys")" || bail "$text: no key"
        is "$text: the preload unit did it" "$(unit_property nvme-keyd-preload.service Result)" success
        before "$text: the target's port is open before that" "$(started vm-target.service Exit)" \
                "$(started nvme-keyd-preload.service Start)"
        before "$text: the key is there before tlshd" "$(started nvme-keyd-preload.service Exit)" \
                "$(started tlshd.service Start)"

        check "$text: the first connect works" connect_tls "$sub" || bail "$text: no connection"
        is "$text: by that key" "$(tls_key_of "$sub")" "$(ring_list | cut -d' ' -f1)"
        check "$text: data comes back" data_check "$(bdev_of "$sub")"
        disconnect "$sub" >/dev/null

        hex=$(ring_list | cut -d' ' -f2)
        identity=$(ring_list | cut -d' ' -f3-)
        check "$text: the target accepts who has the key" accepted "$identity" "$hex"
        check_fails "$text: and nobody else" accepted "$identity" "$(openssl rand -hex 32)"
        is "$text: no unit has failed" "$(failed_units)" ""
}

case $VM_PHASE in
1)
        check "the kernel has no modules" test ! -e /proc/modules -a -d /sys/module/nvme_tcp || bail "another kernel"
        check ".nvme is there all the same" nvme_ring
        is "no unit has failed" "$(failed_units)" ""
        check "nvme-keyctl add" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)" || bail "no key"
        ring_list | cut -d' ' -f2- >"$VM_STATE/keys"
        prepare_boots 2>/dev/null
        reboot_into boot-1
        ;;
boot-*)
        n=${VM_PHASE#boot-}
        a_boot "boot $n of $boots"
        [ "$n" -ge "$boots" ] || reboot_into "boot-$((n + 1))"

        # What there is without us: a file, and the udev rule of nvme-cli.
        ring=$(nvme_ring)
        keyctl link "$ring" @s
        check "the key in /etc/nvme/tls-keys" nvme tls-key --export --keyfile=/etc/nvme/tls-keys
        check "it is one" grep -c '^NVMe' /etc/nvme/tls-keys
        check "the rule is for it" grep -q 'SUBSYSTEM=="module".*tls-keys' /usr/lib/udev/rules.d/70-nvmf-keys.rules
        systemctl mask "${units[@]}" 2>/dev/null
        reboot_into control
        ;;
control)
        defer "disconnect $sub; systemctl unmask ${units[*]}; rm /etc/nvme/tls-keys"
        defer "systemctl disable vm-target.service; rm /etc/udev/rules.d/10-vm.rules"
        no_module_event "control"
        is "control: with the rule alone .nvme is empty" "$(ring_count)" 0
        check_fails "control: and the first connect fails" connect_tls "$sub"
        check "control: what the rule would have run" nvme tls-key --import --keyfile=/etc/nvme/tls-keys
        check "control: makes it work, so a key is all that was missing" connect_tls "$sub"
        ;;
esac
