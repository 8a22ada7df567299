# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# The functions that all integration tests use. A test is called with the build directory and prints TAP.
# It runs in a user namespace of its own, where root has other keyrings than outside: the stand-in keyring
# belongs to this test, no key of this machine is touched, and tests may run side by side.
set -uo pipefail
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1

readonly HOST=nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555
readonly SUBSYSTEM=nqn.2026-11.org.example:a
build=$(realpath "${1:?usage: $0 BUILD}")
source=$(realpath "$(dirname "$0")/../..")
# The interpreter itself: a wrapper may be out of reach for other users.
python=$(python3 -c 'import sys; print(sys.executable)')
readonly build source python
export NVME_KEYD_FLEET_PROGRAM=$build/src/nvme-keyctl-fleet/nvme-keyctl-fleet

. "$(dirname "${BASH_SOURCE[0]}")/../tap.sh"

# becomes TEXT EXPECTED COMMAND...: what the command prints, at once or within ten seconds.
becomes() {
    local text=$1 expected=$2 got end=$((SECONDS + 10))
    shift 2
    until
        got=$("$@")
        [ "$got" = "$expected" ] || [ "$SECONDS" -gt "$end" ]
    do
        sleep 0.2
    done
    is "$text" "$got" "$expected"
}

# --- the place

# enter ARGUMENT...: runs the test again, with its arguments, in the namespace.
enter() {
    local gate pid
    [ -z "${KEYD_TEST_INSIDE-}" ] || return 0
    [ "$(id -u)" -eq 0 ] || skip_all "needs root"
    unshare --user true 2>/dev/null || skip_all "needs user namespaces"
    keyctl show @u >/dev/null 2>&1 || skip_all "needs keyctl(1) and keyrings"
    local id=${KEYD_TEST_ID-} map="0 0 4294967295"
    local -a as=()
    # With KEYD_TEST_ID another user of this machine is root in the namespace, because its key quota is small.
    if [ -n "$id" ]; then
        as=(setpriv --reuid="$id" --regid="$id" --clear-groups)
        map="0 $id 1"
        "${as[@]}" test -r "$0" -a -x "$1/nvme-keyd" || skip_all "another user cannot read the build directory"
    fi
    gate=$(mktemp -u)
    mkfifo -m 600 "$gate"
    [ -z "$id" ] || chown "$id" "$gate"
    # Before the maps are written the process runs as the overflow user and loses all capabilities by
    # an exec; the exec after that restores them. The session keyring links the user keyring, as the
    # session keyring of a login does. If the caller ignores a signal, as nohup(1) does, the processes
    # that the test kills must not ignore it, too.
    # shellcheck disable=SC2016 # expands inside
    KEYD_TEST_INSIDE=1 "${as[@]}" env --default-signal unshare --user bash -c '
        read -r _ <"$1" && rm "$1" && shift &&
            exec keyctl session - bash -c "keyctl link @u @s && exec bash \"\$@\"" bash "$@" 2> >(grep -v "^Joined session" >&2)' \
        bash "$gate" "$0" "$@" &
    pid=$!
    until [ "$(readlink "/proc/$pid/ns/user")" != "$(readlink /proc/self/ns/user)" ]; do
        sleep 0.01
    done
    echo "$map" >"/proc/$pid/uid_map"
    echo "$map" >"/proc/$pid/gid_map"
    echo >"$gate"
    trap 'kill "$pid"' INT TERM
    wait "$pid"
    hand_over $?
}
enter "$@"

tmp=$(mktemp -d /tmp/keyd-test.XXXXXX)
readonly tmp
varlink=$tmp/varlink request=$tmp/request
readonly conf=$tmp/keyd.conf log=$tmp/log
state=$tmp/state
mkdir -m 700 "$state"
# What a test takes out of the keyring stays out, except in test-guard.sh.
printf '[Keyring]\nGuard=no\nStandIn=yes\n' >"$conf"

daemon= # process id, first of the activator, then of the daemon itself
as=()   # a command that starts it: setpriv(1) with a group, say

# leave STATUS: shows the log after a failure, because only the log says why a test ended too early.
leave() {
    [ "$1" -eq 0 ] || [ ! -f "$log" ] || diag "$(tail -n 20 "$log")"
    daemon_stop
    tpm_stop 2>/dev/null
    tap_exit "$1"
}
trap 'leave $?' EXIT
defer 'rm -rf "$tmp"'

# --- the daemon

# wait_for SECONDS COMMAND...
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -le "$end" ] || return 1
        sleep 0.02
    done
}

# daemon_listen [OPTION...]: passes the options to systemd-socket-activate. The daemon starts with the first
# connection to $varlink. There are two activators, because one makes sockets of one type only.
daemon_listen() {
    local each=(-E "STATE_DIRECTORY=$state" -E "NVME_KEYD_LOG_LEVEL=${log_level:-info}" "$@")
    rm -f "$varlink" "$request"
    "${as[@]}" systemd-socket-activate --fdname=varlink -l "$varlink" "${each[@]}" \
        systemd-socket-activate --seqpacket --fdname=varlink:request -l "$request" "${each[@]}" \
        "$build/nvme-keyd" -c "$conf" 2>>"$log" &
    daemon=$!
    wait_for 60 is_listening "$varlink" || bail "systemd-socket-activate"
}

# is_listening SOCKET: a socket has its name before it accepts connections; the flag 00010000 says that
# it does.
is_listening() {
    grep -qE "^([^ ]+ ){3}00010000 .* $1\$" /proc/net/unix
}

is_daemon() {
    [ "$(readlink "/proc/$daemon/exe")" = "$build/nvme-keyd" ]
}

# Status does not wait for a store that takes its time to open, as it does on a slow machine.
is_settled() {
    ctl status --timeout=2min >"$tmp/status" 2>>"$log" || bail "the daemon does not start"
    ! grep -q 'Store: opening' "$tmp/status"
}

# daemon_start [OPTION...]: waits until the daemon has opened the store, or knows that it cannot.
daemon_start() {
    daemon_listen "$@"
    wait_for 120 is_settled || bail "the store is opened for ever"
    is_daemon || bail "process $daemon is not the daemon"
}

# Its exit status is left in daemon_status.
daemon_stop() {
    [ -n "$daemon" ] || return 0
    kill -CONT "$daemon" 2>/dev/null
    kill "$daemon" 2>/dev/null
    wait "$daemon" 2>/dev/null
    daemon_status=$?
    daemon=
}

daemon_restart() {
    daemon_stop
    daemon_start "$@"
}

ctl() {
    "$build/nvme-keyctl" --socket="$varlink" "$@"
}

# Waits until the daemon is idle: a child that is killed while it uses a TPM without a resource manager
# leaves its sessions there.
daemon_rest() {
    wait_for 120 is_settled
    wait_for 120 has_no_child
}

has_no_child() {
    ! ps --ppid "$daemon" -o stat= | grep -qv '^Z'
}

# --- a TPM (swtpm)

readonly TPM=$tmp/tpm # its socket
tpm=                  # its process

# tpm_start: starts the TPM with the state that it had, if any.
tpm_start() {
    mkdir -p "$TPM-state"
    swtpm socket --tpm2 --tpmstate "dir=$TPM-state" --ctrl "type=unixio,path=$TPM.ctrl" \
        --server "type=unixio,path=$TPM" --flags not-need-init,startup-clear &>/dev/null &
    tpm=$!
    wait_for 60 is_listening "$TPM" || bail "swtpm"
}

tpm_stop() {
    [ -n "$tpm" ] || return 0
    kill "$tpm"
    kill -CONT "$tpm"
    wait "$tpm"
    tpm=
    rm -f "$TPM"
}

# tpm_replace: the next tpm_start makes another TPM.
tpm_replace() {
    tpm_stop
    rm -rf "$TPM-state"
}

# --- the upcall: a machine has one

# take_turn: waits for other tests that have request-key(8) start a shim of theirs, and keeps the turn
# until this process ends. Only the test that has the turn uses the machine's files, so files that are
# there already were left by a test that was killed with all its processes.
take_turn() {
    local dir=/etc/request-key.d socket=/run/nvme-keyd/request
    [ -x /sbin/request-key ] && [ -d "$dir" ] || skip_all "no request-key(8)"
    exec {turn}<"$dir"
    flock -w 1500 "$turn" || bail "another test of the upcall does not end"
    rm -f "$dir"/*keyd-test-[0-9]*.conf "$dir/00-keyd-bench.conf"
    ! is_listening "$socket" || skip_all "a daemon of this machine has $socket"
    if [ -e "$socket" ]; then
        rm -f "$socket"
        rmdir --ignore-fail-on-non-empty "${socket%/*}"
    fi
    # Elsewhere it is a symbolic link, or a program listens on it.
    if [ -S /dev/log ] && [ ! -L /dev/log ] && ! grep -q ' /dev/log$' /proc/net/unix; then
        rm -f /dev/log
    fi
    ! grep -qs request-key-shim "$dir"/* || skip_all "$dir has rules for the shim already"
}

# --- the effects of commands

# run COMMAND...: sets status, out and err.
run() {
    "$@" >"$tmp/out" 2>"$tmp/err"
    status=$?
    # A slow machine adds these lines.
    sed -i '/^nvme-keyctl: waiting for nvme-keyd/d' "$tmp/err"
    out=$(<"$tmp/out")
    err=$(<"$tmp/err")
}

# A digest of every name and every byte in the store.
store_digest() {
    (cd "$state" && find . -print0 | sort -z && find . -type f -print0 | sort -z | xargs -r0 sha256sum) |
        sha256sum
}

# edit_store WHAT [ARGUMENT...]: see edit-store.py
edit_store() { python3 "$source/tests/integration/edit-store.py" "$state/store" "$@"; }

# refused TEXT STATUS REGEX COMMAND...: it says one line, prints nothing, and the store is as before.
refused() {
    local text=$1 expected=$2 regex=$3 before lines
    shift 3
    before=$(store_digest)
    run "$@" </dev/null
    judge_refusal "$text" "$expected" "$regex" "$before"
}

# The same with a line on standard input.
refused_with() {
    local text=$1 expected=$2 regex=$3 input=$4 before
    shift 4
    before=$(store_digest)
    run "$@" <<<"$input"
    judge_refusal "$text" "$expected" "$regex" "$before"
}

judge_refusal() {
    local lines
    lines=$(wc -l <"$tmp/err")
    [ "$status" -eq "$2" ] && [ "$lines" -eq 1 ] && [ -z "$out" ] && [[ $err =~ $3 ]] &&
        [ "$(store_digest)" = "$4" ]
    result $? "$1" || diag "status: $status, expected $2" "stderr: $err" "stdout: $out" "expected: $3"
}

# psk SEED [HASH]: a configured PSK of the interchange format, always the same for a seed.
psk() {
    python3 - "$1" "${2:-1}" <<'PY'
import base64, hashlib, sys, zlib
seed, hash_id = sys.argv[1], int(sys.argv[2])
key = hashlib.sha384(seed.encode()).digest()[:48 if hash_id == 2 else 32]
text = base64.b64encode(key + zlib.crc32(key).to_bytes(4, "little")).decode()
print(f"NVMeTLSkey-1:{hash_id:02d}:{text}:")
PY
}

# add SEED NAME [OPTION...]: adds a key for the subsystem nqn.2026-11.org.example:NAME, prints its id.
add() {
    local seed=$1 name=$2
    shift 2
    psk "$seed" | ctl add --hostnqn="$HOST" --subsysnqn="nqn.2026-11.org.example:$name" "$@"
}

# Reads JSON on standard input: json PYTHON-EXPRESSION over o.
json() {
    python3 -c 'import json, sys; o = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"
}

# The stand-in keyring.
ring() {
    keyctl search @u keyring nvme-keyd-stand-in
}

# Descriptions of its keys, sorted.
ring_names() {
    local serial
    for serial in $(keyctl rlist "$(ring)" 2>/dev/null); do
        keyctl rdescribe "$serial" 2>/dev/null | cut -d ';' -f 5-
    done | sort
}
