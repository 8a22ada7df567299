# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# The functions that all tests of the upcall use, sourced after lib.sh. They use request_key(2), and
# /sbin/request-key and the shim of this build, as the kernel starts them. A machine has one of each, so
# these tests wait for one another, and leave the machine as it was even when they are killed.
# shellcheck disable=SC2154,SC2120 # of lib.sh, and for scripts that source this
readonly rules=/etc/request-key.d run_dir=/run/nvme-keyd
readonly rule=$rules/keyd-test-$$.conf
readonly shim=$build/src/request-key-shim/request-key-shim
request=$run_dir/request

take_turn

# Outlives a SIGKILL, and keeps our turn until all is in order.
leftovers=("$request" "$run_dir/refused")
[ -e /dev/log ] || leftovers+=(/dev/log)
[ -d "$run_dir" ] || made_run_dir=$run_dir
# shellcheck disable=SC2016 # expands inside
setsid bash -c '
    tail --pid="$1" -s 0.1 -f /dev/null
    rm -rf "$3" "$4"/*keyd-test-"$1"*.conf "${@:5}"
    [ -z "$2" ] || rmdir "$2"' \
    bash $$ "${made_run_dir-}" "$tmp" "$rules" "${leftovers[@]}" </dev/null >/dev/null 2>&1 &
guard=$!

restore() {
    kill -- "-$guard" 2>/dev/null
    rm -f "$rules"/*keyd-test-$$*.conf "${leftovers[@]}"
    [ -z "${made_run_dir-}" ] || rmdir "$made_run_dir"
}
defer restore
[ -d "$run_dir" ] || mkdir -m 755 "$run_dir"

# product_rules: the rules as they are installed, with the shim of this build.
product_rules() {
    sed "s|@HELPERDIR@|${shim%/*}|" "$source/request-key.d/nvme-keyd.conf.in"
}

# install_rules [FILE]: the same, and `user` keys stand in for those of type `psk`.
install_rules() {
    product_rules | sed '/^create\tpsk\t/ { p; s/psk/user/ }' >"${1:-$rule}"
}

# in_background SCRIPT ARGUMENT...: starts it, waits until it is ready; it is process $started.
in_background() {
    local output=$tmp/${1%.py}.out
    : >"$output"
    "$interpreter" "$tmp/$1" "${@:2}" >"$output" 2>>"$log" &
    started=$!
    # shellcheck disable=SC2064 # now
    defer "kill $started 2>/dev/null"
    wait_for 60 grep -q '^ready$' "$output" || bail "$*"
}

# end PROCESS SOCKET
end() {
    kill "$1"
    wait "$1" 2>/dev/null
    rm -f "$2"
}

# --- requests

# The scripts that any user may start and read.
interpreter=$(PATH=/usr/bin:/bin command -v python3 || echo "$python")
readonly interpreter
chmod 711 "$tmp"
for script in requester fake-keyd dev-log; do
    install -m 644 "$source/tests/integration/upcall-$script.py" "$tmp/$script.py"
done
as=() # the user of the requests: a command, or options of the script after it

requester() {
    "${as[@]}" "$interpreter" "$tmp/requester.py" "$@" 2>>"$log"
}

# request TYPE DESCRIPTION [CALLOUT]: sets result ("OK", or the name of the error), took (milliseconds),
# flags and expiry as in /proc/keys, held (payloads in keyrings of the requester) and answer, in hex.
request() {
    result='' took='' flags='' expiry='' held='' answer=''
    read -r took result flags expiry held answer < <(requester "$@")
}

# text HEX
text() {
    printf '%b' "$(sed 's/../\\x&/g' <<<"$1")"
}

# Milliseconds. A shim has 8 s: a request that took less than AT_ONCE has not waited for the end of that
# time, and one that took less than LATEST has not hung. The rest is for machines that are slow or busy.
readonly AT_ONCE=6000 LATEST=45000

# gets TEXT RESULT DESCRIPTION [CALLOUT]: of a request for a `user` key, not later than the shim's end.
gets() {
    request user "$3" "${4-}"
    [ "$result" = "$2" ] && [ "$took" -lt "$LATEST" ]
    result $? "$1" || diag "got: $result after $took ms, expected: $2"
}

# between TEXT MINIMUM MAXIMUM: what the last request took.
between() {
    [ "$took" -ge "$2" ] && [ "$took" -le "$3" ]
    result $? "$1" || diag "took $took ms, expected $2 to $3"
}

# log_has REGEX: the daemon's log has such a line.
log_has() {
    grep -qE -- "$1" "$log"
}

# Serials of the ring whose description is this.
ring_serials() {
    local serial
    for serial in $(keyctl rlist "$(ring)"); do
        [ "$(keyctl rdescribe "$serial" | cut -d ';' -f 5-)" != "$1" ] || echo "$serial"
    done
}

# The payload in the ring under a description, in hex.
ring_hex() {
    keyctl pipe "$(ring_serials "$1")" | od -An -v -tx1 | tr -d ' \n'
}

# Shims that work for a description, which only this test may use.
shims() {
    pgrep -fc "^request-key-shim [0-9]+ [0-9]+ user .*$1"
}

# The kernel may use another root than this test does, so a probe shows whether it reads our rule.
printf 'create\tuser\tkeyd-probe-%d\t*\t/bin/keyctl reject %%k 1 rejected 0\n' $$ >"$rule"
request user "keyd-probe-$$"
[ "$result" = EKEYREJECTED ] || skip_all "the kernel starts no request-key(8) here, or with other rules ($result)"
install_rules
