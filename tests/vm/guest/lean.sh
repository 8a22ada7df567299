#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The init of a scenario with "boot: lean": the stock kernel and initrd, but no systemd, so that a start takes seconds.
# Each start runs the scenario; from one that has the host cut the power it does not come back.

set -u

export PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8
. /opt/vm/common.sh

# Whatever happens, init must not end.
trap 'sync; systemctl poweroff --force --force; sleep infinity' EXIT

stty -F /dev/ttyS1 raw -echo
exec </dev/null >/dev/ttyS1 2>/dev/ttyS2
mkdir -p /dev/shm
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
host_mount

name=$(kernel_param scenarios)
timeout=$(header "$name" timeout)
VM_POWER_CUTS=$(kernel_param power_cuts)
export VM_POWER_CUTS

# The host counts its cuts, so a start too many is a panic.
echo start >>"$HOST/starts"
starts=$(wc -l <"$HOST/starts")
cuts=0
[ ! -e "$HOST/cuts" ] || cuts=$(wc -l <"$HOST/cuts")

[ "$starts" != 1 ] || echo "begin $name"
if [ "$starts" = $((cuts + 1)) ]; then
    status=0
    timeout --kill-after=10 "${timeout:-120}" keyctl session - bash "$here/scenarios/$name.sh" || status=$?
    report_status "$status" "${timeout:-120}"
else
    echo "not ok - the guest restarted by itself"
fi
# The end comes by itself now, and there is no other start.
rm -f "$HOST/power-cut"
report_kernel_log dmesg
echo "end $name"
echo "done"
