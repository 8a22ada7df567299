#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Runs the scenarios that the kernel command line names and powers the guest off.

set -u

. /opt/vm/common.sh
state=/var/lib/nvme-keyd-vm

# The last word, whatever happens before. Nothing on the disk is kept, so there is nothing to stop in order.
trap 'journalctl --sync; sync; systemctl poweroff --force --force' EXIT

stty -F /dev/ttyS1 raw -echo
exec >/dev/ttyS1
mkdir -p "$state"

# A guest that is one of several has a script of its own.
role=$(kernel_param role)
if [ -n "$role" ]; then
    trap - EXIT
    keyctl session - bash "$here/$role.sh" 2> >(sed '/^Joined session keyring/d; s/^/stderr: /')
    systemctl poweroff
    sleep infinity
fi

VM_KEYS=$(kernel_param keys)
VM_CONNECTS=$(kernel_param connects)
VM_RELOADS=$(kernel_param reloads)
VM_BOOTS=$(kernel_param boots)
export VM_KEYS VM_CONNECTS VM_RELOADS VM_BOOTS

# A scenario that asks for a restart (reboot_into in lib.sh) is run again with VM_PHASE set to what it asked for.
run_scenario() {
    local name=$1 phase=$2 status=0 start=$SECONDS timeout

    timeout=$(header "$name" timeout)
    echo "$name" >"$state/running"
    sync
    [ "$phase" != 1 ] || echo "begin $name"
    # A session keyring of its own: what a scenario links there is gone with it.
    VM_PHASE=$phase VM_STATE=$state timeout --kill-after=10 "${timeout:-120}" \
        keyctl session - bash "$here/scenarios/$name.sh" 2> >(sed '/^Joined session keyring/d; s/^/stderr: /') || status=$?
    if [ -e "$state/phase" ]; then
        rm "$state/running"
        sync
        trap - EXIT
        # What the host has been asked for it does while the power is off, and switches on again.
        if host_is_asked; then systemctl poweroff; else systemctl reboot; fi
        sleep infinity
    fi
    report_status "$status" "${timeout:-120}"
    echo "$name: $((SECONDS - start)) s"
    clean_slate_check "$name"
    echo "end $name"
    rm "$state/running"
    echo "$name" >>"$state/finished"
}

# Scenarios clean up behind themselves; what they leave all the same must not fall on the next one.
clean_slate_check() {
    timeout --kill-after=10 60 keyctl session - bash -c ". $here/lib.sh; clean_slate" >/dev/null 2>&1 ||
        echo "not ok - could not clean up after $1"
}

phase=1
current=
if [ -e "$state/phase" ]; then
    read -r current phase <"$state/phase"
    rm "$state/phase"
elif [ -e "$state/running" ]; then
    # The guest went down under a scenario and came up again: the kernel panicked.
    read -r crashed <"$state/running"
    echo "not ok - the guest restarted by itself"
    echo "end $crashed"
    echo "$crashed" >>"$state/finished"
else
    echo "kernel $(uname -r), systemd $(systemctl --version | awk 'NR == 1 { print $2 }')," \
        "$(nvme version | head -n 1), up after $(cut -d. -f1 /proc/uptime) s"
fi

IFS=, read -r -a scenarios < <(kernel_param scenarios)
for s in "${scenarios[@]}"; do
    [ -e "$state/finished" ] && grep -qxF "$s" "$state/finished" && continue
    if [ "$s" = "$current" ]; then
        run_scenario "$s" "$phase"
    else
        run_scenario "$s" 1
    fi
done
report_kernel_log journalctl -k -o cat
echo "done"
