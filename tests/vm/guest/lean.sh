#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The init of a scenario with "boot: lean": the stock kernel and initrd, but no systemd, so that a start takes seconds.
# Each start runs the scenario; a run that requests a power cut does not return.

set -u

export PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8
. /opt/vm/common.sh

# Init must not end.
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
    not_ok "the guest restarted by itself"
fi
# The guest now ends without a power cut, and is not started again.
rm -f "$HOST/power-cut"
report_kernel_log dmesg
echo "end $name"
echo "done"
