#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# What an upcall costs on this machine, with key type `user` for `psk`; see README.md.
. "$(dirname "$0")/../tap.sh"
[ -n "${KEYD_TEST_INSIDE-}" ] || ninja -C "${1:?usage: $0 BUILD}" bench >/dev/null ||
    bail "the programs of the benchmark cannot be built"
. "$(dirname "$0")/../integration/lib.sh"
. "$(dirname "$0")/bench.sh"

readonly rule=/etc/request-key.d/00-keyd-bench.conf
readonly shim=$build/src/request-key-shim/request-key-shim
readonly programs=$build/tests/bench daemon_program=$build/nvme-keyd
readonly run_dir=/run/nvme-keyd
request=$run_dir/request

take_turn

if [ ! -d "$run_dir" ]; then
    mkdir -m 755 "$run_dir"
    defer "rmdir '$run_dir'"
fi
defer "rm -f '$request'"
defer "rm -f '$rule'"
# With the arguments that the installed rules have.
arguments=$(sed -n 's/^create.*request-key-shim //p' "$source/request-key.d/nvme-keyd.conf.in" | head -n 1)
printf 'create\tuser\t%s\t*\t%s\n' "NVMe*" "$shim $arguments" "nvme-tls-psk:*" "$shim $arguments" \
    "bench-constant:*" "$programs/constant-helper %k" >"$rule"

hex() {
    od -An -v -tx1 | tr -d ' \n'
}

# ring_lines GROUP: what is in the ring, for request-many.
ring_lines() {
    local serial
    for serial in $(keyctl rlist "$(ring)"); do
        echo "$1 user $(keyctl pipe "$serial" | hex) $(keyctl rdescribe "$serial" | cut -d ';' -f 5-)"
    done
}

daemon_pid() {
    echo "$daemon"
}

# --- warm, many, misses

daemon_start
for name in a b c d e f g h; do
    add "seed of $name" "$name" --identity-version=0,1 >/dev/null 2>>"$log" || bail "add"
done
ring_lines many >"$tmp/many"
is "sixteen identities" "$(wc -l <"$tmp/many")" 16
{
    sed 's/^many/shim/;q' "$tmp/many"
    echo "constant user $(printf constant-constant-constant-const | hex) bench-constant:#"
} >"$tmp/warm"
# 126 is ENOKEY.
cat >"$tmp/misses" <<LIST
miss user -126 NVMe0R01 $HOST nqn.2026-11.org.example:nobody-#
miss user -126 nvme-tls-psk:$HOST nqn.2026-11.org.example:nobody-#
LIST

bench_warm "$tmp/warm"
bench_many "$tmp/many"
bench_misses "$tmp/misses"
daemon_stop

# --- cold, once for each type of slot

slot_environment=()

# One socket of one type: the request is what wakes it.
cold() {
    local directory=$tmp/nothing
    [ "$1" = empty ] || directory=$state
    rm -f "$request"
    keyctl clear "$(ring)"
    systemd-socket-activate --seqpacket --fdname=request -l "$request" -E "STATE_DIRECTORY=$directory" \
        "${slot_environment[@]/#/-E}" "$build/nvme-keyd" -c "$conf" 2>>"$log" &
    daemon=$!
    wait_for 60 is_listening "$request"
}

cold_end() {
    daemon_stop
}

open_store() {
    env "${slot_environment[@]}" "$programs/open-store" "$state"
}

# bench_slot TYPE VARIABLE=VALUE...: of a store that this type of slot opens.
bench_slot() {
    local type=$1
    shift
    slot_environment=("$@")
    state=$tmp/state.$type
    mkdir -m 700 "$state"
    keyctl clear "$(ring)"
    request=$tmp/request daemon_start "${slot_environment[@]/#/-E}"
    add "seed of cold" cold >/dev/null 2>>"$log" || bail "add"
    ring_lines one >"$tmp/cold"
    daemon_stop
    bench_cold "$type" "$tmp/cold"
}

mkdir -m 700 "$tmp/nothing"
bench_slot systemd-creds "NVME_KEYD_CREDS_SOCKET=$tmp/none" "NVME_KEYD_TCTI=device:/nonexistent"
if command -v swtpm >/dev/null; then
    tpm_start
    bench_slot tpm2 "NVME_KEYD_CREDS_SOCKET=$tmp/none" "NVME_KEYD_TCTI=swtpm:path=$TPM"
else
    skip "cold, tpm2" "needs swtpm"
fi
finish
