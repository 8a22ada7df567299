# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: upcall
# livepatch: yes
# kernel: both
# needs: nvme-keyd
# suite: upcall
# shows: with an empty .nvme the kernel asks, and each first connect succeeds, with nvme-keyd running and stopped
# timeout: 400

. /opt/vm/lib.sh

n=${VM_CONNECTS:-15}
sub=nqn.2026-11.org.example:connects

# Connects with nothing in .nvme, by a key that is in it afterwards, and prints what went wrong.
connect_asks() {
    local start serial

    forget_keys || {
        echo ".nvme is not empty"
        return 1
    }
    start=$(now_ms)
    connect_tls "$sub" || {
        echo "connect failed"
        return 1
    }
    echo $(($(now_ms) - start)) >>"$tmp/times"
    serial=$(tls_key_of "$sub")
    disconnect "$sub"
    [ "$serial" != "$last" ] || {
        echo "the key of the connect before"
        return 1
    }
    # .nvme was empty, so its keys were published after that
    [ -n "$(key_identity "$serial")" ] || {
        echo "key $serial was not published"
        return 1
    }
    last=$serial
}
daemon_idle() {
    # a unit may be started five times in ten seconds
    systemctl stop nvme-keyd.service && systemctl reset-failed nvme-keyd.service
    [ "$(systemctl is-active nvme-keyd.service nvme-keyd-request.socket | tr '\n' ' ')" = "inactive active " ]
}

# connects TEXT PREPARATION
connects() {
    local good=0 i

    : >"$tmp/times"
    for ((i = 1; i <= n; i++)); do
        if "$2" >"$tmp/connect.out" 2>&1 && connect_asks >"$tmp/connect.out" 2>&1; then
            good=$((good + 1))
        else
            diag "$1, connect $i: $(tr '\n' ' ' <"$tmp/connect.out")"
        fi
    done
    check "$1: $good of $n connects succeeded" test "$good" = "$n"
    diag "$1: $(sort -n "$tmp/times" | awk '{ t[NR] = $1 } END { printf "%d ms, median %d ms, %d ms", t[1], t[int((NR + 1) / 2)], t[NR] }')"
}

check "a target with TLS" target_up "$sub" || bail "no target"
defer target_down
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove $id"
check "the livepatch is in use" patch_load || bail "no livepatch"
defer "disconnect $sub; patch_unload"

last=
# the first one loads nvme_tcp
check "the very first" connect_asks
connects warm true
connects cold daemon_idle
