# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What init.sh, lean.sh and the scenarios share: what the host has asked for, and how it is told the end of a scenario.

here=/opt/vm

# A directory of the machine that runs the guest. What is in it by the time a write returns, no power cut takes away.
HOST=/run/vm-host
host_mount() {
    ! mountpoint -q "$HOST" || return 0
    mkdir -p "$HOST"
    load_modules 9p 9pnet_virtio && mount -t 9p -o trans=virtio,version=9p2000.L host "$HOST"
}

# For something that is done between two starts.
host_is_asked() {
    local request

    for request in tpm-replace tpm-remove tpm-return credentials initrd; do
        [ ! -e "$HOST/$request" ] || return 0
    done
    return 1
}

# A kernel without modules has what it has from the start.
load_modules() { [ ! -e /proc/modules ] || modprobe -a "$@"; }

kernel_param() {
    tr ' ' '\n' </proc/cmdline | sed -n "s/^nvme_keyd_vm\\.$1=//p"
}

header() {
    sed -n "s/^# $2: *//p" "$here/scenarios/$1.sh" | head -n 1
}

# report_status STATUS SECONDS
report_status() {
    case $1 in
    0) ;;
    1) ;; # a failed check, which has its own line
    124 | 137) echo "not ok - still running after $2 s" ;;
    *) echo "not ok - script ended with status $1" ;;
    esac
}

# report_kernel_log COMMAND...: of what the command prints
report_kernel_log() {
    local found

    found=$("$@" | grep -E 'BUG:|Oops|WARNING: CPU|blocked for more than|soft lockup')
    if [ -z "$found" ]; then
        echo "ok - no kernel warnings"
    else
        echo "not ok - no kernel warnings"
        echo "$found"
    fi
}
