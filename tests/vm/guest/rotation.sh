#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/vm/rotation: a host or a target, which does what the test outside has it do. A command comes as the file "do" in
# $HOST; its output goes to "out", its errors to "err", and in the end its status to "status".

. /opt/vm/lib.sh
. /opt/vm/wire.sh

# --- both

# The record of the pair in that state.
in_state() { nvme-keyctl list --json=short | jq -r --arg s "$1" '.keys[] | select(.state == $s) | .id' | head -n 1 | grep .; }
state_of() { nvme-keyctl list --json=short | jq -re --arg id "$1" '.keys[] | select(.id == $id) | .state'; }
is_active() { [ "$(state_of "$1")" = active ]; }
has_daemon() { [ "$(unit_property nvme-keyd.service MainPID)" -gt 0 ]; }
kill_daemon() { wait_until 60 has_daemon && kill -KILL "$(unit_property nvme-keyd.service MainPID)"; }

# --- the target. Its administrator prints the PSK, for the one of the host.

first_key() {
    nvme-keyctl generate --role=target --hostnqn="$HOSTNQN" --subsysnqn="$sub" --identity-version=1 --print-key | tail -n 1
}
# rotate_target OPTION...
rotate_target() {
    local answer print=--print-key

    [[ " $* " != *" --same-psk "* ]] || print=
    answer=$(nvme-keyctl rotate "$(in_state active)" "$@" ${print:+"$print"}) && [ -n "$answer" ] || return
    [ -z "$print" ] || tail -n 1 <<<"$answer"
}
# Ends all connections, as a reboot of a storage controller does. The port listens again before the host tries.
port_reset() { wire_unlisten 1 && sleep 1 && wire_listen 1; }
listens() { [ -e "$NVMET/ports/1/subsystems/$sub" ]; }

# --- the host

# connect_path N: by port 4420 for 1, 4421 for 2. Each queue has a handshake of its own.
connect_path() {
    timeout 90 nvme connect -t tcp -a 10.9.0.1 -s $((4419 + $1)) -n "$sub" --hostnqn="$HOSTNQN" --hostid="$HOSTID" \
        --keep-alive-tmo=30 --reconnect-delay=2 --ctrl-loss-tmo=-1 --nr-io-queues=1 --tls
}
connect_target() {
    modprobe nvme-tcp && connect_path 1 && wait_until 60 bdev_of "$sub"
}
reset_controller() { echo 1 >"/sys/class/nvme/$(ctrl_of "$sub")/reset_controller"; }
is_live() { ctrl_live "$(ctrl_of "$sub")"; }
gone() { ! ctrl_of "$sub"; }
# A reset ends before the controller is live again, and may report that to its writer.
resets() { reset_controller && wait_until 120 is_live; }
# tlshd 1.0 does not say that a key was refused, so the kernel would try again for ever; now only that many seconds.
try_for() { echo "$1" >"/sys/class/nvme/$(ctrl_of "$sub")/ctrl_loss_tmo"; }

# What the record of a key has in .nvme
serials_of() {
    nvme-keyctl list --json=short |
        jq -re --arg id "$1" '.keys[] | select(.id == $id) | .identities[] | select(.serial) | .serial' | sort -n
}
# settled ID: .nvme has the identities of this key, and no other R key.
settled() {
    is_active "$1" && [ "$(serials_of "$1")" = "$(ringls | awk '$3 ~ /^NVMe.R/ { print $1 }' | sort -n)" ]
}
# all_use ID: every controller is live, with this key.
all_use() {
    local serials c key

    serials=$(serials_of "$1") || return
    for c in $(ctrls_of "$sub"); do
        ctrl_live "$c" && key=$(cat "/sys/class/nvme/$c/tls_key") && [ -n "$key" ] || return
        grep -qx "$((16#$key))" <<<"$serials" || return
    done
    [ -n "${key-}" ]
}

# rotate_key ID OPTION...: as an administrator of the host does it. A new PSK is on standard input, and has its hash.
rotate_key() {
    local id=$1 option options=()

    for option in "${@:2}"; do
        case $option in
        --generate | --hmac=*) ;;
        *) options+=("$option") ;;
        esac
    done
    nvme-keyctl rotate "$id" "${options[@]}"
}
# has_switched ID: another key than this one is active.
has_switched() {
    local now

    now=$(in_state active) && [ "$now" != "$1" ]
}
# rotate_and_kill ID OPTION...: its daemon is killed meanwhile. What got no answer is completed.
rotate_and_kill() {
    local pending psk

    psk=$(cat)
    rotate_key "$@" <<<"$psk" >/dev/null 2>&1 &
    sleep 0.$((RANDOM % 4))
    kill_daemon || return
    wait "$!"
    if pending=$(in_state pending); then
        nvme-keyctl activate "$pending"
    elif ! has_switched "$1"; then
        rotate_key "$@" <<<"$psk"
    fi
}

# rotate_host TEXT COMMAND OPTION...: the whole rotation of the host, by one of the commands above
rotate_host() {
    local text=$1 old start

    old=$(in_state active) || return
    start=$(now_ms)
    check "$text: the host rotates" "$2" "$old" "${@:3}" || return
    end_rotation "$text" "$old" "$start"
}
# end_rotation TEXT ID-BEFORE START: waits for the switch, moves the controllers, and sees that the load goes on.
end_rotation() {
    local text=$1 new start=$3 switched read written

    check "$text: the host switches" wait_until 240 has_switched "$2" || return
    new=$(in_state active)
    check "$text: .nvme of the host has the new key alone" wait_until 60 settled "$new" || return
    switched=$(now_ms)
    check "$text: move" eval "wait_until 120 is_live && nvme-keyctl move $sub" || return
    check "$text: every controller is live, with the new key" wait_until 120 all_use "$new" || return
    diag "$text: $((switched - start)) ms until the host had switched, $(($(now_ms) - switched)) ms to move"
    read -r read written < <(sectors)
    check "$text: the load goes on" wait_until 120 load_past "$read" "$written"
}

# area DEVICE ROUND FIO-OPTIONS...: a round writes an area of the disk twice and reads it back each time, a checksum and a
# seed in each block. Rounds alternate between two areas, so one of them is always complete. The pauses between writes
# leave an emulated processor time for the rest.
area() {
    fio --name=area --filename="$1" --offset=$((($2 % 2) * 16))M --size=1M --bs=16k --direct=1 --rw=randwrite \
        --ioengine=psync --verify=crc32c --verify_fatal=1 --verify_state_save=0 --randseed=$((1000 + $2)) "${@:3}"
}
load() {
    local dev n

    dev=$(bdev_of "$sub")
    n=$(rounds)
    while [ ! -e "$HOST/stop-load" ]; do
        n=$((n + 1))
        area "$dev" "$n" --loops=2 --do_verify=1 --rate_iops=40 >"$tmp/fio" 2>&1 || {
            echo "round $n:" && cat "$tmp/fio"
        } >>"$HOST/load-errors"
        echo "$n" >"$HOST/rounds"
    done
}
# The last round that was complete is still there.
last_round_is_there() { area "$(bdev_of "$sub")" "$(rounds)" --verify_only; }
start_load() {
    [ -e "$HOST/load-errors" ] || : >"$HOST/load-errors"
    rm -f "$HOST/stop-load"
    load </dev/null >/dev/null 2>&1 &
    echo $! >/run/load.pid
}
# At the end of the round.
stop_load() {
    touch "$HOST/stop-load"
    while kill -0 "$(cat /run/load.pid)" 2>/dev/null; do sleep 0.2; done
}
rounds() { cat "$HOST/rounds" 2>/dev/null || echo 0; }
# Sectors that were read and written, both of which a load that goes on adds to.
sectors() { awk '{ print $3, $7 }' "/sys/block/$(basename "$(bdev_of "$sub")")/stat"; }
# load_past READ WRITTEN: by a quarter of a megabyte each
load_past() {
    local read written

    read -r read written < <(sectors) && [ $((read - $1)) -gt 512 ] && [ $((written - $2)) -gt 512 ]
}

# The lookups of a connect, in the order of the kernel, without a pause. Whatever else has work comes first.
start_watch() {
    nice -n 19 ringwatch "NVMe1R02 $HOSTNQN $sub" "NVMe1R01 $HOSTNQN $sub" "NVMe0R02 $HOSTNQN $sub" "NVMe0R01 $HOSTNQN $sub" \
        >>"$HOST/watch" 2>&1 </dev/null &
    echo $! >/run/watch.pid
}
# Ends it if it runs.
stop_watch() {
    [ -e /run/watch.pid ] || return 0
    kill "$(cat /run/watch.pid)"
    while kill -0 "$(cat /run/watch.pid)" 2>/dev/null; do sleep 0.1; done
    rm /run/watch.pid
    tail -n 1 "$HOST/watch"
}

# The second of two paths is down: the rotation takes the one that is left, and move leaves that one alone.
rotate_last_path() {
    local text=$1 old first=$2 key

    old=$(in_state active)
    key=$(cat "/sys/class/nvme/$first/tls_key")
    check "$text: the host rotates" rotate_key "$old" || return
    check "$text: the host switches" wait_until 60 has_switched "$old"
    nvme-keyctl move "$sub" --timeout=3s >"$tmp/move" 2>&1
    is "$text: move does not take the last path" "$?" 12 || diag "$(cat "$tmp/move")"
    check "$text: it is live, with the key that it had" test "$(cat "/sys/class/nvme/$first/"{state,tls_key} | xargs)" = "live $key"
}
# guard_loop TIMES: another program clears .nvme, again and again.
guard_loop() {
    local id i start

    id=$(in_state active)
    keyctl link "$(nvme_ring)" @s
    for ((i = 1; i <= $1; i++)); do
        start=$(now_ms)
        check "clear $i: keyctl clear" keyctl clear "$(nvme_ring)"
        check "clear $i: the key is back" wait_until 60 has_key_in_ring || return
        diag "clear $i: back after at most $(($(now_ms) - start)) ms"
        check "clear $i: a reset" resets || return
    done
    check "the controller uses the key that was put back" wait_until 60 all_use "$id"
}
# Without a question to the service, which would make it look.
has_key_in_ring() { ringls | grep -q "NVMe.R.. $HOSTNQN $sub"; }

# --- commands

host_mount || bail "no directory of the host"
load_modules nvme-keyring virtio_net
wait_until 60 test -e /sys/class/net/eth0
case $(kernel_param end) in
target) wire_up 10.9.0.1 ;;
host) wire_up 10.9.0.2 ;;
esac
systemctl start nvme-keyd-preload.service
# A command from before a power cut is over.
rm -f "$HOST/do"
exec {never}<> <(:)
echo "up"
while [ ! -e "$HOST/stop" ]; do
    if [ -e "$HOST/do" ]; then
        (eval "$(cat "$HOST/do")") >"$HOST/out" 2>"$HOST/err" </dev/null
        echo $? >"$HOST/status.new"
        rm "$HOST/do"
        mv "$HOST/status.new" "$HOST/status"
    fi
    # a pause without another process
    read -rt 0.1 -u "$never"
done
report_kernel_log dmesg
echo "done"
