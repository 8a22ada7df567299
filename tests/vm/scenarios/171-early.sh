# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: boot
# needs: nvme-keyd
# suite: boot
# long: yes
# shows: a udev event connects before local mounts, with /var on the root or a mount below a read-only root:
#   nothing waits in vain for long, and what starts before /var is there does start
# timeout: 400

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:early
store=/var/lib/nvme-keyd
# as the rules of nvme-cli name them
tcp='nvmf-connect@--device\x3dnone\t--transport\x3dtcp\t--traddr\x3d127.0.0.1.service'
fc='nvmf-connect@--device\x3dnone\t--transport\x3dfc\t--traddr\x3dnn-0x1:pn-0x2.service'
drop_in=/etc/systemd/system/nvmf-connect@.service.d

# connects_at_boot [SECONDS]: makes both write the content of the keyring instead of connecting
connects_at_boot() {
    mkdir -p "$drop_in"
    # shellcheck disable=SC2016 # for systemd and a shell
    printf '%s\n' '[Service]' ExecStart= 'ExecStart=/bin/sh -c '"'"'case "$$0" in *tcp*) n=tcp ;; *) n=fc ;; esac; /opt/vm/bin/ringls >/run/vm-early.$$n'"'"' %i' \
        ${1:+ExecStartPre= "ExecStartPre=-+$(sed -n 's/^ExecStartPre=-+\(.*wait-for-keys\) .*/\1/p' /usr/lib/systemd/system/nvmf-connect@.service.d/10-nvme-keyd.conf) %i $1"} \
        >"$drop_in/vm.conf"
    systemctl daemon-reload
    systemctl add-wants sysinit.target "$tcp" "$fc"
}
connects_no_more() {
    rm -rf "$drop_in" /etc/systemd/system/sysinit.target.wants/nvmf-connect@*
    systemctl daemon-reload
}
transport_of() { case $1 in *tcp*) echo TCP ;; *) echo FC ;; esac }
began() { unit_property "$1" ExecMainStartTimestampMonotonic; }
active() { unit_property "$1" ActiveEnterTimestampMonotonic; }
# in_order TEXT TIME TIME: both times are known, and the first is earlier
in_order() { check "$1 ($2, $3)" test 0 -lt "${2:-0}" -a "${2:-0}" -lt "${3:-0}"; }
keys_are_there() { [ "$(ring_count)" -gt 0 ]; }
# check_boot WHAT: the checks that hold wherever the store is
check_boot() {
    check "$1: the boot goes on" boot_went_on
    for unit in "$tcp" "$fc"; do
        in_order "$1: $(transport_of "$unit") begins before local mounts" "$(began "$unit")" "$(active local-fs.target)"
    done
    check "$1: keys are published in the end" wait_until 60 keys_are_there
    journalctl --sync
    is "$1: no ordering cycle" "$(journalctl --boot --quiet --grep='ordering cycle' --output=cat)" ""
}

# Makes /var a local mount with its old content; until it is mounted the root is as read-only as an image.
separate_var() {
    # shellcheck disable=SC2016 # for the unit
    boot_unit vm-root.service sysinit.target '
                mkdir -p /run/vm-var/upper /run/vm-var/work
                rm -rf /var/tmp
                mount -o remount,bind,ro /
                ! mkdir /var/tmp 2>/run/vm-var/refused' \
        DefaultDependencies=no After=systemd-remount-fs.service \
        'Before=local-fs-pre.target nvme-keyd.socket nvme-keyd-preload.service'
    echo 'overlay /var overlay x-systemd.requires=vm-root.service,lowerdir=/var,upperdir=/run/vm-var/upper,workdir=/run/vm-var/work' >>/etc/fstab
}
# The next boot has the /var of the root again, and needs the state of this test there.
one_var() {
    boot_unit_gone vm-root.service
    cp "$VM_STATE/fstab" /etc/fstab
    mkdir "$tmp/root"
    mount --bind / "$tmp/root"
    # All else is there from before; without a write since then both are the same.
    cp "$VM_STATE/running" "$tmp/root$VM_STATE/"
    mount --bind "$tmp/root$VM_STATE" "$VM_STATE"
    umount "$tmp/root"
}

case $VM_PHASE in
1)
    check "nvme-keyctl add" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)"
    ring_list | cut -d' ' -f2- >"$VM_STATE/keys"
    cp /etc/fstab "$VM_STATE/"
    connects_at_boot
    separate_var
    reboot_into 2
    ;;
2)
    mount -o remount,bind,rw /
    check "separate: /var is a mount" mountpoint -q /var
    check "separate: before it was there, nothing could be made in /var" grep -q 'Read-only' /run/vm-var/refused
    check_boot "separate"
    in_order "separate: TCP does not wait for that for ever" "$(began "$tcp")" "$(active var.mount)"
    in_order "separate: FC does not wait at all" "$(began "$fc")" "$(began "$tcp")"
    read -r loading _ < <(preload_times)
    in_order "separate: the preload begins before that" "$loading" "$(active var.mount)"
    is "separate: no unit of ours lacks a place for its sandbox" \
        "$(journalctl --boot --quiet --output=cat --grep='^nvme-keyd.*status=226/')" ""
    is "separate: the keys are those of the store" "$(ring_list | cut -d' ' -f2-)" "$(cat "$VM_STATE/keys")"

    connects_no_more
    # emulated, the service takes its time
    connects_at_boot 120
    one_var
    reboot_into 3
    ;;
3)
    defer connects_no_more
    check_boot "one file system"
    is "one file system: TCP finds the keys" "$(cut -d' ' -f2- /run/vm-early.tcp)" "$(cat "$VM_STATE/keys")"
    read -r _ loaded < <(preload_times)
    in_order "one file system: FC does not wait for them" "$(began "$fc")" "$loaded"
    is "one file system: no unit has failed" "$(failed_units)" ""
    ;;
esac
