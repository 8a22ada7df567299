# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# The measurements, on any machine. A script that sources this has tests/tap.sh, a directory $tmp,
# the programs of this directory in $programs, the daemon's in $daemon_program, the request socket in
# $request, and defines
#
#     daemon_pid          prints the process of the running daemon
#     store_digest        prints a digest of the store
#     cold full|empty     leaves the daemon not running and its socket ready, with a store or without
#     cold_end            undoes that; the daemon does not run
#     open_store          runs open-store on the store of "cold full"
#
# shellcheck disable=SC2154 # from there
#
# Absolute times depend on the machine and its other load; only ratios within one run are judged.

readonly BENCH_LIMIT=1.5
readonly BENCH_TRIES=6
# A leak of 26 bytes a miss.
readonly BENCH_GROWTH_KIB=256
# Other tests on this machine may have keys too.
readonly BENCH_KEYS_SLACK=50

bench_pairs=${BENCH_PAIRS:-300}
bench_many=${BENCH_MANY:-1000}
bench_rounds=${BENCH_ROUNDS:-11}
bench_misses=${BENCH_MISSES:-$([ -n "${QUICK-}" ] && echo 1000 || echo 10000)}

# request REQUESTS PROCESSES LIST: leaves what request-many prints in $tmp/figures.
request() {
    timeout 1800 "$programs/request-many" --requests="$1" --processes="$2" "$3" >"$tmp/figures" 2>&1
}

# figure GROUP FIELD
figure() {
    sed -n "s/^$1 .*\b$2=\([0-9]*\).*/\1/p" "$tmp/figures"
}

# all_right GROUP N: so many, each with the right answer.
all_right() {
    [ "$(figure "$1" n)/$(figure "$1" ok)" = "$2/$2" ] && [ "$(figure "$1" lost)" = 0 ]
}

show_figures() {
    local line
    while IFS= read -r line; do
        diag "$line"
    done <"$tmp/figures"
}

# fastest: of numbers on standard input, because other load on the machine only adds to them.
fastest() {
    sort -n | head -n 1
}

# microseconds COMMAND...: how long it took.
microseconds() {
    local start=$EPOCHREALTIME end
    "$@" >/dev/null || return
    end=$EPOCHREALTIME
    echo $((${end/[.,]/} - ${start/[.,]/}))
}

# within_limit TEXT VALUE YARDSTICK: shows the ratio; succeeds where it is good enough.
within_limit() {
    local ratio
    ratio=$(awk -v a="$2" -v b="$3" 'BEGIN { if (a > 0 && b > 0) printf "%.2f", a / b; else print 9999 }')
    diag "$1: $2 us / $3 us = $ratio"
    awk -v r="$ratio" -v l="$BENCH_LIMIT" 'BEGIN { exit !(r <= l) }'
}

# best_of_tries FUNCTION ARGUMENT...: until one try is good enough. Other load on the machine makes a ratio
# larger, not smaller, because more processes take part in an upcall of the daemon and wait for their turn.
best_of_tries() {
    local try
    for ((try = 0; try < BENCH_TRIES; try++)); do
        ! "$@" || return 0
    done
    return 1
}

# --- warm

try_warm() {
    request $((2 * bench_pairs)) 1 "$1"
    show_figures
    all_right shim "$bench_pairs" && all_right constant "$bench_pairs" || bench_wrong=1
    # The fastest tenth, which other load on the machine has not delayed.
    within_limit "warm" "$(figure shim p10)" "$(figure constant p10)"
}

# bench_warm LIST: a line of group "shim" and one of group "constant", asked for in turn.
bench_warm() {
    bench_wrong=0
    request 40 1 "$1"
    best_of_tries try_warm "$1"
    result $? "warm: an upcall takes at most $BENCH_LIMIT times as long as one answered by a constant"
    check "warm: all answers are right" test "$bench_wrong" -eq 0
}

# --- cold

# wrong WHAT: marks the run as wrong, and says in what.
wrong() {
    diag "wrong: $1"
    bench_wrong=1
}

# request_one N LIST: prints the median, if all are right.
request_one() {
    request "$1" 1 "$2"
    all_right one "$1" || return 1
    figure one median
}

# The parts, each in the same round as the whole: a start is taken from a connection to the socket until a
# daemon without a store is in its loop, so it has the activation, the exec, the libraries and the configuration;
# the process that unseals the store's KEK is an exec of the same program; the store is opened, and a record of it,
# by a program of its own, which finds nothing loaded either; and a warm upcall of the daemon that has just been
# started. What the whole has beyond them is the daemon's.
try_cold() {
    local name=$1 list=$2 round start helper open warm
    rm -f "$tmp"/part.* "$tmp/opened"
    for ((round = 0; round < bench_rounds; round++)); do
        cold empty && "$programs/wake" "$request" >>"$tmp/part.start" || wrong "a start without a store"
        cold_end
        microseconds "$daemon_program" --version >>"$tmp/part.helper"
        cold full && request_one 1 "$list" >>"$tmp/part.cold" && request_one 9 "$list" >>"$tmp/part.warm" ||
            wrong "a cold or a warm request: $(grep ' ok=' "$tmp/figures")"
        cold_end
        open_store >>"$tmp/opened" || wrong "the store, opened by open-store"
    done
    cut -d ' ' -f 1 "$tmp/opened" >"$tmp/part.open"
    [ "$(grep -c " $name\$" "$tmp/opened")" -eq "$bench_rounds" ] || wrong "the slot"
    start=$(fastest <"$tmp/part.start") helper=$(fastest <"$tmp/part.helper")
    open=$(fastest <"$tmp/part.open") warm=$(fastest <"$tmp/part.warm")
    diag "cold, $name: start $start + helper $helper + open $open + warm $warm us"
    within_limit "cold, $name" "$(fastest <"$tmp/part.cold")" $((start + helper + open + warm))
}

# bench_cold NAME LIST: of a store that a slot of type NAME opens. LIST is one line of group "one".
bench_cold() {
    bench_wrong=0
    best_of_tries try_cold "$@"
    result $? "cold, $1: an upcall takes at most $BENCH_LIMIT times as long as its parts"
    check "cold, $1: all answers are right, and by that slot" test "$bench_wrong" -eq 0
}

# --- many, and misses

# footprint: what must not grow, as "RSS ANONYMOUS DESCRIPTORS", the first two in KiB.
footprint() {
    local pid
    pid=$(daemon_pid)
    echo "$(awk '/^(VmRSS|RssAnon):/ { printf "%s ", $2 }' "/proc/$pid/status")$(find "/proc/$pid/fd" -mindepth 1 | wc -l)"
}

# Keys of uid 0 in the kernel.
key_count() {
    awk '$1 == "0:" { split($3, n, "/"); print n[1] }' /proc/key-users
}

# The kernel frees a key a little after its last link is gone.
settled_key_count() {
    local before now
    now=$(key_count)
    while
        before=$now
        sleep 1
        now=$(key_count)
        [ "$now" -lt "$before" ]
    do :; done
    echo "$now"
}

# keys_are_back COUNT
keys_are_back() {
    [ "$(key_count)" -le $(($1 + BENCH_KEYS_SLACK)) ]
}

wait_for_keys() {
    local end=$((SECONDS + 60))
    until keys_are_back "$1" || [ "$SECONDS" -ge "$end" ]; do
        sleep 0.5
    done
}

# is_flat BEFORE AFTER
is_flat() {
    local before after
    read -ra before <<<"$1"
    read -ra after <<<"$2"
    [ $((after[0] - before[0])) -le "$BENCH_GROWTH_KIB" ] && [ $((after[1] - before[1])) -le "$BENCH_GROWTH_KIB" ] &&
        [ "${after[2]}" -le "${before[2]}" ]
}

# More requests at once than ever before take memory that is used again; a leak grows with each try.
try_flood() {
    local group=$1 list=$2 n=$3 processes=$4 before after
    before=$(footprint)
    request "$n" "$processes" "$list"
    after=$(footprint)
    show_figures
    diag "memory, anonymous memory in KiB, descriptors: $before, then $after"
    all_right "$group" "$n" || bench_wrong=1
    is_flat "$before" "$after"
}

# bench_flood NAME GROUP LIST N PROCESSES
bench_flood() {
    local name=$1 group=$2 list=$3 n=$4 processes=$5 pid keys digest
    pid=$(daemon_pid) bench_wrong=0
    request 200 "$processes" "$list"
    keys=$(settled_key_count) digest=$(store_digest)
    best_of_tries try_flood "$group" "$list" "$n" "$processes"
    result $? "$name: the daemon does not grow"
    check "$name: none is lost, each answer is right" test "$bench_wrong" -eq 0
    check "$name: it is the same daemon" test "$(daemon_pid)" = "$pid"
    check "$name: the store is as it was" test "$(store_digest)" = "$digest"
    wait_for_keys "$keys"
    diag "$name: keys in the kernel: $keys, then $(key_count)"
    check "$name: the kernel's keys do not grow" keys_are_back "$keys"
}

bench_many() {
    bench_flood "$bench_many upcalls from 64 processes" many "$1" "$bench_many" 64
}

bench_misses() {
    bench_flood "$bench_misses misses" miss "$1" "$bench_misses" 16
}
