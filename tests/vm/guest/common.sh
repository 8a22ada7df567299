# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Shared by init.sh, lean.sh and the scenarios: the parameters of the host, and the reports to it.

here=/opt/vm
. /opt/vm/tap.sh

# A directory of the machine that runs the guest. A write that has returned survives a power cut.
HOST=/run/vm-host
host_mount() {
    ! mountpoint -q "$HOST" || return 0
    mkdir -p "$HOST"
    load_modules 9p 9pnet_virtio && mount -t 9p -o trans=virtio,version=9p2000.L host "$HOST"
}

# True if the guest has a request that the host carries out between two starts.
host_is_asked() {
    local request

    for request in tpm-replace tpm-remove tpm-return credentials initrd; do
        [ ! -e "$HOST/$request" ] || return 0
    done
    return 1
}

# A kernel without modules has all of it built in.
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
    124 | 137) not_ok "still running after $2 s" ;;
    *) not_ok "script ended with status $1" ;;
    esac
}

# report_kernel_log COMMAND...: a result by the warnings in its output
report_kernel_log() {
    local found

    found=$("$@" | grep -E 'BUG:|Oops|WARNING: CPU|blocked for more than|soft lockup')
    if [ -z "$found" ]; then
        ok "no kernel warnings"
    else
        not_ok "no kernel warnings"
        diag "$found"
    fi
}
