# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# needs: nvme-keyd
# shows: a key changes under a live connection without an I/O error
# timeout: 240

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:rotate

check "a target with TLS" target_up "$sub" || bail "no target"
defer target_down
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove $id"
check "connect" connect_tls "$sub" || bail "no connection"
defer "disconnect $sub"

ctrl=$(ctrl_of "$sub")
dev=$(bdev_of "$sub")
old_serial=$(tls_key_of "$sub")
old_identity=$(key_identity "$old_serial")
mark=$(journal_mark)

io_begin "$dev"
# The identity without its digest is what the kernel searches for.
ringwatch "${old_identity% *}" >"$tmp/watch" &
watch=$!
sleep 1

start=$(now_ms)
new_id=$(nvme-keyctl rotate "$id" <<<"$(new_psk)" 2>"$tmp/rotate.err") || {
    diag "$(cat "$tmp/rotate.err")"
    not_ok "nvme-keyctl rotate"
}
diag "rotate: $(($(now_ms) - start)) ms"
defer "nvme-keyctl remove $new_id"
check "the new key is published" wait_until 60 record_serial "$new_id"
new_serial=$(record_serial "$new_id")
check "the new key is another one" test "$new_serial" != "$old_serial"
old_is_gone() { [ -z "$(key_serial "$old_identity")" ]; }
check "the old key is no longer in .nvme" wait_until 60 old_is_gone

check "reset the controller" bash -c "echo 1 >/sys/class/nvme/$ctrl/reset_controller"
check "the controller comes back after the reset" wait_until 60 ctrl_live "$ctrl"
rounds=$(cat "$tmp/io.rounds")
more_io() { [ "$(cat "$tmp/io.rounds")" -gt $((rounds + 1)) ]; }
check "I/O goes on" wait_until 60 more_io

io_end
kill "$watch"
wait "$watch"
is "the same controller" "$(ctrl_of "$sub")" "$ctrl"
is "the same namespace" "$(bdev_of "$sub")" "$dev"
is "the connection uses the new key" "$(tls_key_of "$sub")" "$new_serial"
is "no failed read or write" "$(cat "$tmp/io.errors")" ""
diag "I/O rounds: $(cat "$tmp/io.rounds")"
is "no I/O error in the kernel log" "$(journal_since "$mark" -k | grep -iE 'I/O error|no valid PSK|Removing')" ""
diag "observer: $(cat "$tmp/watch")"
check "a key was there at every moment" grep -qE '^looks [1-9][0-9]* misses 0 ' "$tmp/watch"
