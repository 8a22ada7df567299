#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Runs the scenarios that the kernel command line names and powers the guest off.

set -u

. /opt/vm/common.sh
state=/var/lib/nvme-keyd-vm

# Powers off however the script ends. The disk is thrown away, so services need no orderly stop.
trap 'journalctl --sync; sync; systemctl poweroff --force --force' EXIT

stty -F /dev/ttyS1 raw -echo
exec >/dev/ttyS1
mkdir -p "$state"

# A guest of root-on-tls has a script of its own.
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

# A scenario that requests a restart (reboot_into in lib.sh) is run again, with that phase in VM_PHASE.
run_scenario() {
    local name=$1 phase=$2 status=0 start=$SECONDS timeout

    timeout=$(header "$name" timeout)
    echo "$name" >"$state/running"
    sync
    [ "$phase" != 1 ] || echo "begin $name"
    # In a session keyring of its own, so its links end with it.
    VM_PHASE=$phase VM_STATE=$state timeout --kill-after=10 "${timeout:-120}" \
        keyctl session - bash "$here/scenarios/$name.sh" 2> >(sed '/^Joined session keyring/d; s/^/stderr: /') || status=$?
    if [ -e "$state/phase" ]; then
        rm "$state/running"
        sync
        trap - EXIT
        # The host carries out requests while the power is off, and then switches it on again.
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

# Scenarios clean up after themselves; leftovers must not disturb the next one.
clean_slate_check() {
    timeout --kill-after=10 60 keyctl session - bash -c ". $here/lib.sh; clean_slate" >/dev/null 2>&1 ||
        not_ok "could not clean up after $1"
}

phase=1
current=
if [ -e "$state/phase" ]; then
    read -r current phase <"$state/phase"
    rm "$state/phase"
elif [ -e "$state/running" ]; then
    # The guest went down under a scenario and came up again: the kernel panicked.
    read -r crashed <"$state/running"
    not_ok "the guest restarted by itself"
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
