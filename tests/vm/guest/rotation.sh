#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/vm/rotation: a host or a target, which does what the test outside has it do. A command comes as a file do-N in
# $HOST; its output goes to do-N.out, its errors to do-N.err, and its status to do-N.status.

. /opt/vm/lib.sh

sub=$(kernel_param subnqn)
port=$NVMET/ports/1 dir=$NVMET/subsystems/$sub

# --- the target

# The second disk, so that its data survive this guest. The keys come before the port: a host that is too early is
# refused for good.
serve() {
    modprobe nvmet-tcp || return
    mkdir "$port" "$dir" "$dir/namespaces/1" || return
    echo 10.9.0.1 >"$port/addr_traddr"
    echo ipv4 >"$port/addr_adrfam"
    echo tcp >"$port/addr_trtype"
    echo 4420 >"$port/addr_trsvcid"
    echo tls1.3 >"$port/addr_tsas"
    echo 1 >"$dir/attr_allow_any_host"
    # the same one after each start, so that the host knows its disk
    echo 6f1f3c0a-52c4-4b0b-9d1c-3a5d7e0c9b24 >"$dir/namespaces/1/device_uuid"
    echo nvme-keyd-vm-0002 >"$dir/attr_serial"
    echo /dev/vdb >"$dir/namespaces/1/device_path"
    echo 1 >"$dir/namespaces/1/enable" || return
    ln -s "$dir" "$port/subsystems/$sub"
}
# Ends all connections, as a reboot of a storage controller does. The port listens again before the host tries.
port_reset() { rm "$port/subsystems/$sub" && sleep 1 && ln -s "$dir" "$port/subsystems/$sub"; }

# --- the host

connect_target() {
    modprobe nvme-tcp || return
    timeout 90 nvme connect -t tcp -a 10.9.0.1 -s 4420 -n "$sub" --hostnqn="$HOSTNQN" --hostid="$HOSTID" \
        --keep-alive-tmo=30 --reconnect-delay=2 --ctrl-loss-tmo=-1 --tls || return
    wait_until 60 bdev_of "$sub"
}
reset_controller() { echo 1 >"/sys/class/nvme/$(ctrl_of "$sub")/reset_controller"; }
is_live() { ctrl_live "$(ctrl_of "$sub")"; }
uses() { [ "$(tls_key_of "$sub")" = "$1" ]; }
gone() { ! ctrl_of "$sub"; }
# tlshd 1.0 does not say that a key was refused, so the kernel tries again: for so many seconds.
try_for() { echo "$1" >"/sys/class/nvme/$(ctrl_of "$sub")/ctrl_loss_tmo"; }

# The record of the pair in that state.
in_state() { nvme-keyctl list --json=short | jq -r --arg s "$1" '.keys[] | select(.state == $s) | .id' | head -n 1 | grep .; }
state_of() { nvme-keyctl list --json=short | jq -re --arg id "$1" '.keys[] | select(.id == $id) | .state'; }
is_active() { [ "$(state_of "$1")" = active ]; }
# What the record of a key has in .nvme: SERIAL IDENTITY
serials_of() {
    nvme-keyctl list --json=short |
        jq -re --arg id "$1" '.keys[] | select(.id == $id) | .identities[] | select(.serial) | .serial' | sort -n
}
# settled ID: .nvme has the identities of this key, and no other R key.
settled() {
    is_active "$1" && [ "$(serials_of "$1")" = "$(ringls | awk '$3 ~ /^NVMe.R/ { print $1 }' | sort -n)" ]
}

# area DEVICE ROUND FIO-OPTIONS...: a round writes an area of the disk five times and reads it back each time, a checksum
# and a seed in each block. Rounds alternate between two areas, so one of them is always complete.
area() {
    fio --name=area --filename="$1" --offset=$((($2 % 2) * 16))M --size=8M --bs=16k --direct=1 --rw=randwrite \
        --ioengine=psync --verify=crc32c --verify_fatal=1 --verify_state_save=0 --randseed=$((1000 + $2)) "${@:3}"
}
load() {
    local dev n

    dev=$(bdev_of "$sub")
    n=$(cat "$HOST/rounds" 2>/dev/null || echo 0)
    while [ ! -e "$HOST/stop-load" ]; do
        n=$((n + 1))
        area "$dev" "$n" --loops=5 --do_verify=1 >"$tmp/fio" 2>&1 || {
            echo "round $n:" && cat "$tmp/fio"
        } >>"$HOST/load-errors"
        echo "$n" >"$HOST/rounds"
    done
}
# The last round that was complete is still there.
last_round_is_there() { area "$(bdev_of "$sub")" "$(cat "$HOST/rounds")" --verify_only; }
start_load() {
    [ -e "$HOST/load-errors" ] || : >"$HOST/load-errors"
    rm -f "$HOST/stop-load"
    load </dev/null >/dev/null 2>&1 &
    echo $! >/run/load.pid
}
stop_load() {
    touch "$HOST/stop-load"
    while kill -0 "$(cat /run/load.pid)" 2>/dev/null; do sleep 0.2; done
}
rounds() { cat "$HOST/rounds" 2>/dev/null || echo 0; }
# Sectors that were read and written, both of which a load that goes on adds to.
sectors() { awk '{ print $3, $7 }' "/sys/block/$(basename "$(bdev_of "$sub")")/stat"; }
# load_past READ WRITTEN: by a megabyte each
load_past() {
    local read written

    read -r read written < <(sectors) && [ $((read - $1)) -gt 2048 ] && [ $((written - $2)) -gt 2048 ]
}

# The lookups of a connect, in the order of the kernel, without a pause.
start_watch() {
    ringwatch "NVMe1R02 $HOSTNQN $sub" "NVMe1R01 $HOSTNQN $sub" "NVMe0R02 $HOSTNQN $sub" "NVMe0R01 $HOSTNQN $sub" \
        >>"$HOST/watch" 2>&1 </dev/null &
    echo $! >/run/watch.pid
}
stop_watch() {
    kill "$(cat /run/watch.pid)"
    while kill -0 "$(cat /run/watch.pid)" 2>/dev/null; do sleep 0.1; done
    tail -n 1 "$HOST/watch"
}

kill_daemon() { kill -KILL "$(unit_property nvme-keyd.service MainPID)"; }
# Those of a path (nvme0c0n1) are sent again.
errors_in_log() {
    dmesg | grep -E 'I/O error|Removing controller|no valid PSK|lost async page write' |
        grep -vE 'I/O error, dev nvme[0-9]+c[0-9]+n[0-9]+,'
}

# --- commands

host_mount || bail "no directory of the host"
modprobe nvme-keyring
case $(kernel_param end) in
target) ip addr add 10.9.0.1/24 dev eth0 ;;
host) ip addr add 10.9.0.2/24 dev eth0 ;;
esac
ip link set eth0 up
systemctl start nvme-keyd-preload.service
# Commands from before a power cut are over.
for f in "$HOST"/do-*; do [[ $f == *.* ]] || [ -e "$f.status" ] || mv "$f" "$f.cut" 2>/dev/null; done
echo "up"
while [ ! -e "$HOST/stop" ]; do
    for f in "$HOST"/do-*; do
        [[ $f != *.* ]] && [ -e "$f" ] && [ ! -e "$f.status" ] || continue
        (eval "$(cat "$f")") >"$f.out" 2>"$f.err" </dev/null
        echo $? >"$f.new"
        mv "$f.new" "$f.status"
    done
    sleep 0.2
done
report_kernel_log dmesg
echo "done"
