# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: alone
# needs: nvme-keyd
# shows: after a rotation, move brings two paths to the new key, one after the other, without an I/O error
# timeout: 300

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:move

check "a target with TLS" target_up "$sub" || bail "no target"
defer target_down
second_port() {
    mkdir "$NVMET/ports/2" || return
    echo 127.0.0.1 >"$NVMET/ports/2/addr_traddr"
    echo ipv4 >"$NVMET/ports/2/addr_adrfam"
    echo tcp >"$NVMET/ports/2/addr_trtype"
    echo 4421 >"$NVMET/ports/2/addr_trsvcid"
    echo tls1.3 >"$NVMET/ports/2/addr_tsas"
    ln -s "$NVMET/subsystems/$sub" "$NVMET/ports/2/subsystems/$sub"
}
check "a second port" second_port || bail "no second port"
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove $id"
check "connect" connect_tls "$sub" || bail "no connection"
defer "disconnect $sub"
check "connect by the second port" connect_tls "$sub" -s 4421 || bail "no second path"

# keys: what nvme-keyctl says about them, such as "active active "
keys() { nvme-keyctl controllers --json=short | jq -r --arg s "$sub" '.controllers[] | select(.subsystemNQN == $s) | .key' | tr '\n' ' '; }
mapfile -t ctrl < <(ctrls_of "$sub")
is "two paths" "${#ctrl[@]}" 2
is "one namespace for both" "$(find /sys/class/nvme-subsystem/*/ -maxdepth 1 -name 'nvme*n1' | wc -l)" 1
is "both use the active key" "$(keys)" "active active "
like "the address of the second path" "$(nvme-keyctl controllers)" "trsvcid=4421"
dev=$(bdev_of "$sub")
old=$(cat "/sys/class/nvme/${ctrl[0]}/tls_key")
mark=$(journal_mark)

io_begin "$dev"
touch "$tmp/paths"
watch_paths "$sub" >"$tmp/watch" &
watch=$!

new_id=$(nvme-keyctl rotate "$id" <<<"$(new_psk)" 2>"$tmp/rotate.err") || {
    diag "$(cat "$tmp/rotate.err")"
    bail "nvme-keyctl rotate"
}
defer "nvme-keyctl remove $new_id"
check "the new key is published" wait_until 60 record_serial "$new_id"
new=$(printf '%08x' "$(record_serial "$new_id")")
like "both use an old key" "$(keys)" '^(older |retiring ){2}$'
like "status says so" "$(nvme-keyctl status)" '2 on an old key: run nvme-keyctl move'
diag "$(nvme-keyctl controllers)"
# Their keys are in no ring any more; newer kernels have let them go.
is "their serial is the old one" "$(nvme-keyctl controllers --json=short | jq -r --arg s "$sub" '[.controllers[] | select(.subsystemNQN == $s) | .serial] | unique[]')" "$((16#$old))"

# The hosts of the target: the same connections, from the other end.
hosts() { nvme-keyctl controllers --target --json=short | jq -r --arg s "$sub" '.hosts[] | select(.subsystemNQN == $s) | .serial' | sort -u; }
# The kernels of Debian show none; so at least see that the sandbox would not hide them.
in_sandbox() { nsenter --mount --target "$(unit_property nvme-keyd.service MainPID)" "$@"; }
nvme-keyctl status >/dev/null
check "its sandbox has debugfs" in_sandbox test -d /sys/kernel/debug/bdi
knows_hosts() { compgen -G "/sys/kernel/debug/nvmet/$sub/ctrl*/tls_key"; }
if knows_hosts >/dev/null; then
    is "the target's hosts use the old key" "$(hosts)" "$((16#$old))"
else
    nvme-keyctl controllers --target >/dev/null 2>"$tmp/hosts.err"
    is "the kernel does not show the keys of the target's hosts" "$?" 1
    diag "$(cat "$tmp/hosts.err")"
fi

check "move --dry-run" nvme-keyctl move "$sub" --dry-run
is "it resets nothing" "$(cat "/sys/class/nvme/${ctrl[0]}/tls_key" "/sys/class/nvme/${ctrl[1]}/tls_key" | sort -u)" "$old"
start=$(now_ms)
nvme-keyctl move "$sub" >"$tmp/move" 2>&1
is "move" "$?" 0
diag "move: $(($(now_ms) - start)) ms" "$(cat "$tmp/move")"
is "both use the new key" "$(cat "/sys/class/nvme/${ctrl[0]}/tls_key" "/sys/class/nvme/${ctrl[1]}/tls_key" | sort -u)" "$new"
is "nvme-keyctl says so" "$(keys)" "active active "
! knows_hosts >/dev/null || is "the target's hosts use the new key" "$(hosts)" "$((16#$new))"
check "a second move has nothing to do" grep -q "No controller uses an old key" <(nvme-keyctl move "$sub")

rounds=$(cat "$tmp/io.rounds")
more_io() { [ "$(cat "$tmp/io.rounds")" -gt $((rounds + 1)) ]; }
check "I/O goes on" wait_until 60 more_io
io_end
rm "$tmp/paths"
wait "$watch"
is "no failed read or write" "$(cat "$tmp/io.errors")" ""
diag "I/O rounds: $(cat "$tmp/io.rounds")" "observer: $(cat "$tmp/watch")"
like "a path was live at every moment, and the observer has seen the resets" "$(cat "$tmp/watch")" \
    '^looks [1-9][0-9]* misses 0 outages [1-9][0-9]*$'
# A reset ends requests of its path (nvme0c0n1) with an error, and they are repeated.
is "no I/O error in the kernel log" \
    "$(journal_since "$mark" -k | grep -iE 'I/O error|no valid PSK|Removing' | grep -vE 'nvme[0-9]+c[0-9]+n[0-9]+')" ""

# The last path is not taken.
second=${ctrl[1]}
check "disable the second port" rm "$NVMET/ports/2/subsystems/$sub"
is_down() { [ "$(cat "/sys/class/nvme/$second/state" 2>/dev/null)" != live ]; }
echo 1 >"/sys/class/nvme/$second/reset_controller" 2>/dev/null
if wait_until 60 is_down && [ -e "/sys/class/nvme/$second" ]; then
    new_id2=$(nvme-keyctl rotate "$new_id" <<<"$(new_psk)") || bail "nvme-keyctl rotate"
    defer "nvme-keyctl remove $new_id2"
    nvme-keyctl move "$sub" --timeout=3s >"$tmp/move" 2>&1
    is "the last path is not reset" "$?" 12
    diag "$(cat "$tmp/move")"
    check "it is still live" ctrl_live "${ctrl[0]}"
    is "with the key that it had" "$(cat "/sys/class/nvme/${ctrl[0]}/tls_key")" "$new"
else
    skip "the last path is not reset" "the second path is gone"
fi
