# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: fresh
# needs: nvme-keyd
# suite: boot
# shows: the keys come before all programs that connect, in the order of units and in a boot: nvme-cli 2 and 3, nvme-stas, tlshd
# timeout: 400

. /opt/vm/lib.sh

preload=nvme-keyd-preload.service
ours="nvme-keyd.socket nvme-keyd-request.socket nvme-keyd.service $preload"
connectors="tlshd.service nvmf-autoconnect.service nvmf-connect-nbft.service"
# Local mounts wait for this unit, so it waits for /var itself, for a while (171-early).
early='nvmf-connect@--transport\x3dtcp.service'
others="nvme-discoverd.service stafd.service stacd.service"
copies=/run/systemd/system

lists() { tr ' ' '\n' <<<"$1" | grep -qxF "$2"; }
# ordered WORDS UNIT...: the units are ordered, by the properties of both
ordered() {
    local what=$1 unit after
    shift

    for unit in "$@"; do
        after=$(unit_property "$unit" After)
        check "$what: $unit comes after the keys" lists "$after" "$preload"
        [ "$unit" = tlshd.service ] ||
            check "$what: $unit comes after tlshd" lists "$after" tlshd.service
        # The whole tree, two spaces for each level; it takes seconds in an emulated guest.
        [ "$unit" != nvmf-autoconnect.service ] || check "$what: $unit is listed so" grep -qxF "  $preload" \
            <(systemctl list-dependencies --after --plain "$unit")
    done
}
verify() { [ -z "$(systemd-analyze verify --man=no "$@" 2>&1 | tee /dev/stderr)" ]; }

# may_start UNIT LINE...: lets a unit start whose program and requirements are not here
may_start() {
    local dir=$copies/$1.d
    shift

    mkdir -p "$dir"
    printf '%s\n' '[Unit]' ConditionPathExists= ConditionDirectoryNotEmpty= AssertPathExists= "$@" >"$dir/zz-vm.conf"
}
started() { unit_property "$1" ExecMainStartTimestampMonotonic; }
# keys_first WHAT UNIT...: all of them are started at once with the preload, which takes two seconds
keys_first() {
    local what=$1 unit done_at
    shift

    systemctl daemon-reload
    # shellcheck disable=SC2086 # words
    systemctl stop "$preload" "$@" 2>/dev/null
    # the preload last, so that it is not first by chance
    systemctl start "$@" "$preload" 2>&1 | sed 's/^/# /'
    done_at=$(unit_property "$preload" ExecMainExitTimestampMonotonic)
    for unit in "$@"; do
        check "$what: $unit starts when the keys are there" test "$done_at" -le "$(started "$unit")"
    done
}

# --- this boot

# shellcheck disable=SC2086 # words
check "systemd-analyze verify has nothing to say of our units" verify $ours
check "the boot goes on" boot_went_on
is "no unit of ours has failed" "$(failed_units | grep -E 'nvme-keyd|tlshd|modules-load')" ""
journalctl --sync
is "no ordering cycle at boot" "$(journalctl --boot --quiet --grep='ordering cycle' --output=cat)" ""
# The cost of nvme-keyd: the time from the unit before it to tlshd, which is all on the critical chain of
# tlshd. systemd-analyze critical-chain prints nothing while this scenario, a part of the boot, runs.
chain() {
    local unit from to

    for unit in systemd-modules-load.service nvme-keyd.socket nvme-keyd.service $preload tlshd.service; do
        from=$(unit_property "$unit" InactiveExitTimestampMonotonic)
        to=$(unit_property "$unit" ActiveEnterTimestampMonotonic)
        [ "$unit" != $preload ] || read -r from to < <(preload_times)
        diag "critical chain: $unit @$((from / 1000)) ms +$(((to - from) / 1000)) ms"
    done
}
chain
systemd-analyze blame --no-pager 2>/dev/null | grep -E 'nvme-keyd|tlshd|modules-load' | sed 's/^/# blame: /'

# --- as systemd sees it

# shellcheck disable=SC2086
ordered "nvme-cli 2" $connectors
not_held_back() { ! lists "$(unit_property "$early" After)" "$preload" && ! lists "$(unit_property "$early" After)" tlshd.service; }
check "nvme-cli 2: a connection that local mounts wait for does not wait for the keys" not_held_back
check "remote-fs-pre.target comes after the keys" lists "$(unit_property remote-fs-pre.target After)" "$preload"
check "a mount of the network comes after that" lists "$(unit_property "$preload" Before)" remote-fs-pre.target
check "the keys come with the boot" lists "$(unit_property sysinit.target Wants)" "$preload"

mkdir -p "$copies"
cp /opt/units/* "$copies/"
defer "systemctl daemon-reload; systemctl stop 'nvmf-connect@*' nvmf-autoconnect.service nvmf-connect-nbft.service $others"
defer "(cd /opt/units && for u in *; do rm -rf $copies/\$u $copies/\$u.d; done); rm -rf $copies/nvmf-connect@*.d $copies/{tlshd,nvme-keyd-preload}.service.d"
systemctl daemon-reload
is "these are the units of the other versions" "$(unit_property nvmf-autoconnect.service FragmentPath)" \
    "$copies/nvmf-autoconnect.service"
# shellcheck disable=SC2086
ordered "nvme-cli 3 and nvme-stas" $connectors $others
check "nvme-cli 3: a connection that local mounts wait for does not wait for the keys" not_held_back
# shellcheck disable=SC2086
check "systemd-analyze verify, with those" verify $ours

# --- as it does it

oneshot=('[Service]' Type=oneshot RemainAfterExit=yes ExecStart= ExecStart=/bin/true)
for unit in nvmf-autoconnect.service nvmf-connect-nbft.service "$early" $others; do
    may_start "$unit" "${oneshot[@]}"
done
may_start "$preload" '[Service]' ExecStartPre=/bin/sleep\ 2
# shellcheck disable=SC2086
keys_first "nvme-cli 3 and nvme-stas" $connectors "$early" $others
(cd /opt/units && for u in *; do rm -f "$copies/$u"; done)
# shellcheck disable=SC2086
keys_first "nvme-cli 2" $connectors "$early"
journalctl --sync
is "no ordering cycle" "$(journalctl --boot --quiet --grep='ordering cycle' --output=cat)" ""
