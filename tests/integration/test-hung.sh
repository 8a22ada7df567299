#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# nvme-keyctl and its completion while the service does not answer: it accepts and stays silent,
# its queue is full, or it is not there. Each wait ends, and says what it waited for.
. "$(dirname "$0")/lib.sh"

python3 -c '
import socket, sys, time
mute, full = (socket.socket(socket.AF_UNIX) for _ in range(2))
mute.bind(sys.argv[1] + "/mute")
full.bind(sys.argv[1] + "/full")
full.listen(0)
waiting = []
try:
    while True:
        waiting.append(socket.socket(socket.AF_UNIX))
        waiting[-1].setblocking(False)
        waiting[-1].connect(sys.argv[1] + "/full")
except BlockingIOError:
    pass
mute.listen(16)
print("ready", flush=True)
time.sleep(600)' "$tmp" >"$tmp/ready" &
fake=$!
defer "kill $fake && wait $fake 2>/dev/null"
wait_for 30 test -s "$tmp/ready" || bail "the fake service"

# ask NAME SOCKET WORD...: leaves status, output and the time it took in files of that name.
ask() {
    local name=$1 socket=$2 start=${EPOCHREALTIME/./}
    shift 2
    timeout 60 "$build/nvme-keyctl" --socket="$tmp/$socket" "$@" >"$tmp/$name.out" 2>"$tmp/$name.err" </dev/null
    echo $? >"$tmp/$name.status"
    echo $(((${EPOCHREALTIME/./} - start) / 1000)) >"$tmp/$name.ms"
}

# Side by side, since each of them waits.
waits=()
for socket in mute full; do
    ask "status.$socket" "$socket" status &
    waits+=($!)
    ask "json.$socket" "$socket" status --json=short &
    waits+=($!)
    ask "sync.$socket" "$socket" sync --timeout=7s &
    waits+=($!)
    ask "quiet.$socket" "$socket" sync --timeout=7s --no-legend &
    waits+=($!)
    # These two would go on for minutes.
    "$build/nvme-keyctl" --socket="$tmp/$socket" list >/dev/null 2>"$tmp/list.$socket.err" &
    defer "kill $! && wait $! 2>/dev/null"
done
wait "${waits[@]}"

gave_up="nvme-keyctl: nvme-keyd has not answered within N s: see systemctl status nvme-keyd.service"
slow="nvme-keyctl: waiting for nvme-keyd, see systemctl status nvme-keyd.service"
# said NAME SECONDS: its exit status, and what it said.
said() {
    cat "$tmp/$1.status" "$tmp/$1.out" && sed "s/within $2 s/within N s/" "$tmp/$1.err"
}
for socket in mute full; do
    is "$socket: status gives up, with one line" "$(said "status.$socket" 5)" "7
$gave_up"
    is "$socket: with --json= too" "$(said "json.$socket" 5)" "7
$gave_up"
    is "$socket: another verb says what it waits for" "$(said "sync.$socket" 7)" "7
$slow
$gave_up"
    is "$socket: but not to a program" "$(said "quiet.$socket" 7)" "7
$gave_up"
    is "$socket: and goes on waiting" "$(<"$tmp/list.$socket.err")" "$slow"
    [ "$(<"$tmp/status.$socket.ms")" -lt "$(<"$tmp/sync.$socket.ms")" ]
    result $? "$socket: status is the first to give up" || diag "$(<"$tmp/status.$socket.ms") $(<"$tmp/sync.$socket.ms")"
done
refused "a timeout that is none" 2 "--timeout= needs a time" ctl status --timeout=soon
refused "a timeout without end" 2 "--timeout= needs a time" ctl status --timeout=infinity

# --- no process listens

refused "no socket" 7 "nvme-keyd.socket" ctl status
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$varlink"
refused "a socket on which no process listens" 7 "Connection refused.*systemctl status nvme-keyd.socket" ctl status
if [ ! -e /run/nvme-keyd/org.nvmekeyd.Manager ]; then
    # without GROUP...: the machine's own socket, with the lines of /etc/group that are given.
    with_groups() {
        printf '%s\n' "${@:2}" >"$tmp/group"
        # shellcheck disable=SC2016 # expands inside
        unshare --mount bash -c 'mount --bind "$1" /etc/group && shift && exec "$@"' bash "$tmp/group" "$build/nvme-keyctl" "$1"
    }
    refused "no group" 7 "the group nvme-keyd is missing.*systemd-sysusers.*restart nvme-keyd.socket" with_groups status root:x:0:
    refused "a group, and no socket" 7 "systemctl status nvme-keyd.socket" with_groups status root:x:0: nvme-keyd:x:12345:
else
    skip "no group" "this machine has the socket"
fi

# --- completion

mkdir "$tmp/bin"
# Stand-ins: a systemctl that answers as the test says, and a nvme-keyctl that notes each call.
printf '#!/bin/sh\nexec test -e "%s/active"\n' "$tmp" >"$tmp/bin/systemctl"
printf '#!/bin/sh\necho >>"%s/called"\nexec "%s/nvme-keyctl" --socket="%s" "$@"\n' "$tmp" "$build" "$tmp/mute" >"$tmp/bin/nvme-keyctl"
chmod +x "$tmp/bin/"*
# complete_line LINE: prints the completions.
complete_line() {
    # shellcheck disable=SC2016 # expands inside
    PATH=$tmp/bin:$PATH timeout 60 bash -c '. "$1"; COMP_LINE=$2 COMP_POINT=${#2}; _nvme_keyctl; echo "${COMPREPLY[*]}"' \
        bash "$source/shell-completion/bash/nvme-keyctl" "$1" 2>&1
}
for line in "nvme-keyctl show " "nvme-keyctl slot remove " "nvme-keyctl add --subsysnqn="; do
    rm -f "$tmp/active" "$tmp/called"
    is "completion of \"$line\": nothing where the service does not run" "$(complete_line "$line")" ""
    check "completion of \"$line\": and nothing is started" test ! -e "$tmp/called"
    touch "$tmp/active"
    start=${EPOCHREALTIME/./}
    is "completion of \"$line\": nothing where it does not answer" "$(complete_line "$line")" ""
    took=$(((${EPOCHREALTIME/./} - start) / 1000))
    check "completion of \"$line\": it was asked" test -e "$tmp/called"
    [ $((took * 2)) -lt "$(<"$tmp/status.mute.ms")" ]
    result $? "completion of \"$line\": does not wait for long" || diag "$took ms"
done
printf '#!/bin/sh\nprintf "%%s\\n" "0123456789abcdef active host - h s 1 f"\n' >"$tmp/bin/nvme-keyctl"
is "completion: ids of keys" "$(complete_line "nvme-keyctl show 0")" 0123456789abcdef

finish
