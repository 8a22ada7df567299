#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The life of the daemon under a service manager: a call starts it, it reports that it is ready,
# reloads, answers the watchdog, ends when idle, and the next call starts it again. The idle time
# cannot be below 30 s, so several daemons wait for it side by side.
. "$(dirname "$0")/lib.sh"

# --- starts that are refused

refused "no sockets" 1 "^nvme-keyd: No sockets were passed: start nvme-keyd.socket instead" \
    env -u LISTEN_FDS -u LISTEN_PID "$build/nvme-keyd" -c "$conf"
refused "sockets of another process" 1 "No sockets were passed" \
    env LISTEN_FDS=1 LISTEN_PID=1 "$build/nvme-keyd" -c "$conf"
refused "an unexpected argument" 1 'unexpected argument "x"' "$build/nvme-keyd" x
refused "an unknown option" 1 "option" "$build/nvme-keyd" --nonsense
run "$build/nvme-keyd" --version
like "--version" "$status$out" '^0nvme-keyd [0-9]'
run "$build/nvme-keyd" --help
like "--help" "$status$out" '^0nvme-keyd \[OPTIONS\]'

# --- --check reports every mistake in a configuration, and starts nothing

mkdir -p "$tmp/bad.conf.d/30-directory.conf"
printf '[Manager]\nIdleExitSec=29\nRetireSec=1h\nnonsense\n[Keyring]\nStandIn=yes\nGuard=no\n' >"$tmp/bad.conf"
printf '[Upcall]\nNegativeTimeoutSec=\n' >"$tmp/bad.conf.d/20-a.conf"
problems="$tmp/bad.conf:2: IdleExitSec= in [Manager] cannot be \"29\": give a time of 30s or more, or 0 or infinity to stay
$tmp/bad.conf:4: not an option: give OPTION=VALUE, [SECTION], or a comment after \"#\"
$tmp/bad.conf.d/20-a.conf:2: NegativeTimeoutSec= in [Upcall] cannot be \"\": give a time from 1s to 1h
$tmp/bad.conf.d/30-directory.conf: cannot be read, ignored: is a directory"
run "$build/nvme-keyd" --check --config="$tmp/bad.conf"
is "--check: every mistake is reported, and the status is 3" "$status$out$err" "3$problems"
run "$build/nvme-keyd" --check --config="$conf"
is "--check: a good configuration is reported, and the status is 0" "$status$out$err" "0$conf: configuration is fine"
printf '[Manager]\nRetireSecs=1h\n' >"$tmp/unknown.conf"
run "$build/nvme-keyd" --check --config="$tmp/unknown.conf"
is "--check: an unknown option is reported, and the status is 0" "$status$out$err" "0$tmp/unknown.conf:2: unknown option RetireSecs= in section [Manager], ignored
$tmp/unknown.conf: configuration is fine, except for unknown options"
refused "--check: a named file must exist" 3 "^nvme-keyd: $tmp/nowhere.conf does not exist" \
    "$build/nvme-keyd" --check --config="$tmp/nowhere.conf"

# --- service managers, each in a directory of its own

pids=()
stop_all() {
    local pid
    for pid in "${pids[@]}"; do
        kill "$pid" && wait "$pid"
    done 2>/dev/null
    pids=()
}
defer stop_all

# manage NAME [VARIABLE=VALUE...]: the configuration is $tmp/NAME/conf.
manage() {
    local name=$1
    shift
    mkdir -p "$tmp/$name/state" && chmod 700 "$tmp/$name/state"
    [ -f "$tmp/$name/conf" ] || cp "$conf" "$tmp/$name/conf"
    printf '%s\n' "STATE_DIRECTORY=$tmp/$name/state" "PATH=$PATH" "$@" >"$tmp/$name/environment"
    python3 "$source/tests/integration/activator.py" "$tmp/$name" \
        "$build/nvme-keyd" -c "$tmp/$name/conf" >"$tmp/$name/events" &
    pids+=($!)
    wait_for 60 grep -qs ready "$tmp/$name/events" || bail "activator.py"
}

# event NAME REGEX: how often it happened.
event() {
    grep -cE "^[0-9.]+ $2" "$tmp/$1/events"
}

# happens NAME COUNT REGEX
happens() {
    # shellcheck disable=SC2317 # called by name
    is_so() { [ "$(event "$1" "$3")" -ge "$2" ]; }
    wait_for 60 is_so "$@"
}

# at NAME REGEX: when it happened last, in milliseconds.
at() {
    grep -E "^[0-9.]+ $2" "$tmp/$1/events" | tail -n 1 | cut -d ' ' -f 1 | tr -d .
}

main_pid() {
    grep -E "^[0-9.]+ start" "$tmp/$1/events" | tail -n 1 | cut -d ' ' -f 3
}

# cpu PROCESS [HAD]: user and system time, in hundredths of a second; HAD if the process is gone.
cpu() {
    local times
    if read -r -a times <"/proc/$1/stat"; then
        echo $((times[13] + times[14]))
    else
        echo "${2-0}"
    fi 2>/dev/null
}

ask() {
    local name=$1
    shift
    "$build/nvme-keyctl" --socket="$tmp/$name/varlink" "$@"
}

add_to() {
    psk "$2" | ask "$1" add --hostnqn="$HOST" --subsysnqn="nqn.2026-11.org.example:$1" "${@:3}"
}

manage a WATCHDOG_USEC=1000000
is "not started before a call" "$(event a start)" 0
id=$(add_to a one)
like "started by a call" "$id" '^[0-9a-f]{16}$'
check "READY=1" happens a 1 "notify [0-9]+ READY=1"
check "STATUS= counts the keys" happens a 1 "notify [0-9]+ STATUS=1 keys"
first=$(main_pid a)

# --- reload

printf '[Keyring]\nStandIn=no\n' >"$tmp/a/conf"
kill -HUP "$first"
check "reload: RELOADING=1" happens a 1 "notify [0-9]+ RELOADING=1"
like "reload: with the time" "$(grep MONOTONIC_USEC= "$tmp/a/events")" 'MONOTONIC_USEC=[0-9]+$'
check "reload: READY=1 again" happens a 2 "notify [0-9]+ READY=1"
is "reload: the new configuration" "$(ask a status --json=short | json 'o["keyring"]["name"]')" .nvme
printf '[Keyring]\nStandIn=perhaps\n' >"$tmp/a/conf"
kill -HUP "$first"
check "reload, bad: READY=1 all the same" happens a 3 "notify [0-9]+ READY=1"
like "reload, bad: it says why" "$(<"$tmp/a/log")" "$tmp/a/conf:2: StandIn= in \[Keyring\] cannot be \"perhaps\""
like "reload, bad: and that it is not loaded" "$(<"$tmp/a/log")" "configuration has mistakes, so the previous one stays in force"
is "reload, bad: so does status" "$(ask a status --json=short | json '"{inForce} {problems}".format(**o["configuration"])')" \
    "False ['$tmp/a/conf:2: StandIn= in [Keyring] cannot be \"perhaps\": give yes or no']"
like "reload, bad: in words too" "$(ask a status)" "Configuration: not reloaded, so the previous one stays in force:
 +: $tmp/a/conf:2: StandIn= "
is "reload, bad: the old configuration" "$(ask a status --json=short | json 'o["keyring"]["name"]')" .nvme
cp "$conf" "$tmp/a/conf"
kill -HUP "$first"
check "reload, repaired: READY=1 again" happens a 4 "notify [0-9]+ READY=1"
is "reload, repaired: no problem is left" "$(ask a status --json=short | json 'o["configuration"]')" "{'problems': [], 'inForce': True}"
check "reload, repaired: status does not mention the configuration" test -z "$(ask a status | grep Configuration)"
is "reload: the key is published" "$(ask a status --json=short | json 'o["published"]')" 1
is "reload: the same process" "$(main_pid a)" "$first"

# --- a start with mistakes in the configuration

manage b
mkdir -p "$tmp/b/conf.d"
cp "$tmp/bad.conf" "$tmp/b/conf"
cp -r "$tmp/bad.conf.d/." "$tmp/b/conf.d/"
problems=${problems//"$tmp/bad.conf"/"$tmp/b/conf"}
like "a start with mistakes: it serves all the same" "$(timeout 60 "$build/nvme-keyctl" --socket="$tmp/b/varlink" generate --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:b)" '^[0-9a-f]{16}$'
is "a start with mistakes: once" "$(event b start)" 1
is "a start with mistakes: each is in the log" "$(grep -F "$tmp/b/conf" "$tmp/b/log")" "nvme-keyd: ${problems//$'\n'/$'\nnvme-keyd: '}"
is "a start with mistakes: status has each" \
    "$(ask b status --json=short | json '"{} {}".format(o["configuration"]["inForce"], "\n".join(o["configuration"]["problems"]))')" "True $problems"
like "a start with mistakes: in words too" "$(ask b status)" "Configuration: loaded, except for these lines:
 +: $tmp/b/conf:2: "
is "a start with mistakes: the correct lines are in force" "$(ask b status --json=short | json 'o["keyring"]["name"]')" nvme-keyd-stand-in

# --- watchdog, end, start

check "the watchdog is fed" happens a 3 "notify [0-9]+ WATCHDOG=1"
kill -TERM "$first"
check "SIGTERM: ends with 0" happens a 1 "exit $first 0"
is "SIGTERM: STOPPING=1" "$(event a "notify $first STOPPING=1")" 1
is "the next call starts it" "$(ask a list --json=short | json 'o["keys"][0]["id"]')" "$id"
check "the next call starts another process" test "$(main_pid a)" != "$first"
second=$(main_pid a)
kill -INT "$second"
check "SIGINT: ends with 0" happens a 1 "exit $second 0"
ask a list >/dev/null
third=$(main_pid a)
kill -KILL "$third"
check "SIGKILL: is dead" happens a 1 "exit $third -9"
is "SIGKILL: the next process has the same key" "$(ask a list --json=short | json 'o["keys"][0]["id"]')" "$id"

# --- idle

short() {
    mkdir -p "$tmp/$1"
    printf '[Manager]\nIdleExitSec=30\nRetireSec=%s\n[Keyring]\nGuard=no\nStandIn=%s\n' "$2" "$3" >"$tmp/$1/conf"
}

# idle: nothing happens. held: a client is connected. waiting: a deadline is pending. due: a deadline
# passes, but not before the test has looked at the ring. absent: a deadline passes, and there is no keyring. demand: keys on demand.
short idle 1d yes
short held 1d yes
short waiting 1d yes
short due 20s yes
short absent 3s no
short demand 1d yes
sed -i '1a Provision=on-demand\nOnDemandForce=yes' "$tmp/demand/conf"
for name in idle held waiting due absent demand; do
    manage "$name"
done
for name in waiting due absent; do
    old=$(add_to "$name" one --role=target 2>/dev/null)
    ask "$name" rotate "$old" --generate >/dev/null 2>&1
done
due=$(ask due list --json=short | json '[k["identities"][1]["identity"] for k in o["keys"] if k["state"] == "retiring"][0]')
check "retiring: is in the ring" grep -qxF "$due" <(ring_names)
ask held list >/dev/null
ask demand list >/dev/null
python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
time.sleep(3600)' "$tmp/held/varlink" &
pids+=($!)
idle_id=$(add_to idle one)
check "idle: its last key" happens idle 1 "notify [0-9]+ STATUS=1 keys"
idle_since=$(at idle "notify [0-9]+ STATUS=1 keys")
absent=$(main_pid absent)
absent_used=$(cpu "$absent")
sleep 32.5
is_gone() {
    ! ring_names | grep -qxF "$due" && [ "$(grep -c '^{"id":' "$tmp/due/state/store")" -eq 1 ]
}
check "retiring: is out of the ring and the store after its deadline, without a call" wait_for 60 is_gone

idle=$(main_pid idle)
check "idle: it exits" happens idle 1 "exit $idle 0"
is "idle: STOPPING=1" "$(event idle "notify $idle STOPPING=1")" 1
took=$(($(at idle "exit $idle") - idle_since))
{ [ "$took" -ge 28000 ] && [ "$took" -le 200000 ]; }
result $? "idle: after 30 s" || diag "$took ms"
is "idle: the next call starts it" "$(ask idle list --json=short | json 'o["keys"][0]["id"]')" "$idle_id"
is "a client is connected: it stays" "$(event held exit)" 0
is "keys are on demand: it stays, since a shutdown starts no other" "$(event demand exit)" 0
is "a deadline is pending: it stays" "$(event waiting exit)" 0
ask waiting list >/dev/null
is "a deadline is pending: the same process" "$(event waiting start)" 1

if keyctl search %:.nvme keyring .nvme >/dev/null 2>&1 || grep -q ' keyring *\.nvme: ' /proc/keys; then
    skip "no keyring and a deadline that has passed: the daemon rests" "this kernel has .nvme"
else
    # For 30 s it had nothing to do but to retire that key.
    used=$(($(cpu "$absent" "$absent_used") - absent_used))
    check "no keyring and a deadline that has passed: the daemon rests" test "$used" -lt 100 ||
        diag "$used hundredths of a second"
    is "no keyring and a deadline that has passed: it is logged once" \
        "$(grep -c "Nothing published" "$tmp/absent/log")" 1
fi

finish
