#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The shim as a program: the libraries it links, its system calls, its failure on bad arguments; and it must
# not touch a key that it was not started for.
. "$(dirname "$0")/lib.sh"

readonly shim=$build/src/request-key-shim/request-key-shim
readonly pair="nvme-tls-psk:$HOST $SUBSYSTEM"
sanitized() {
    grep -q __asan_init "$shim"
}

# --- as it is linked

if sanitized || ! command -v readelf >/dev/null; then
    skip "the linked libraries" "a sanitizer's, or no readelf"
else
    needed=$(readelf -dW "$shim" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | tr '\n' ' ')
    like "nothing but libc is loaded" "$needed" '^(libc\.so\.[0-9.]+ )?$'
    # Relative ones do not count, because they need no look-up; a static libc has a thousand of them.
    relocations=$(readelf -rW "$shim" | grep -E '^[0-9a-f]{8,}' | grep -vc '_RELATIVE ')
    diag "$relocations relocations, needs: ${needed:-nothing}"
    check "few relocations" test "$relocations" -le 60
    like "position-independent" "$(readelf -hW "$shim")" 'Type: +DYN'
    like "relocations are read-only at once" "$(readelf -lWd "$shim")" 'GNU_RELRO.*(BIND_NOW|FLAGS_1.* NOW)'
    like "no stack is executable" "$(readelf -lW "$shim" | grep GNU_STACK)" ' RW +0x'
    is "no segment is writable and executable" "$(readelf -lW "$shim" | grep -c ' RWE ')" 0
    is "no run path" "$(readelf -dW "$shim" | grep -c 'RPATH\|RUNPATH')" 0
    is "no text relocations" "$(readelf -dW "$shim" | grep -c TEXTREL)" 0
fi

# calls ARGUMENT...: its system calls, one a line, without those of the loader.
calls() {
    strace -o "$tmp/strace" "$shim" "$@" 2>/dev/null
    sed '1,/^munmap\|^alarm/d' "$tmp/strace"
}
key=$(keyctl add user "keyd-test $$" payload @u)
if sanitized || ! strace -o "$tmp/strace" true 2>/dev/null; then
    skip "system calls of the shim" "a sanitizer's, or no strace"
else
    for words in "" "x" "4711" "$key" "$key 0 user $pair" "$key 65534 user $pair"; do
        # shellcheck disable=SC2086 # words
        calls $words >"$tmp/calls"
        count=$(wc -l <"$tmp/strace")
        diag "\"${words:0:30}\": $count system calls, $(wc -l <"$tmp/calls") of its own"
        check "\"${words:0:30}\": few system calls" test "$count" -lt 60
        is "\"${words:0:30}\": no memory is allocated, nothing is started" "$(grep -cE '^(brk|mmap|clone|fork|vfork|execve)' "$tmp/calls")" 0
        is "\"${words:0:30}\": no connection for a key that is not under construction" "$(grep -c "connect(" "$tmp/calls")" 0
    done
fi

# --- bad arguments: it fails, long before the end of its time, and says nothing here

long=$(printf 'x%.0s' {1..4097})
# fails TEXT ARGUMENT...
fails() {
    local text=$1 begin
    shift
    begin=$SECONDS
    run timeout 20 "$shim" "$@"
    { [ "$status" -eq 1 ] && [ -z "$out$err" ] && [ $((SECONDS - begin)) -le 6 ]; }
    result $? "$text" || diag "status $status, $out$err"
}
for n in {0..7}; do
    words=("$key" 0 user "$pair" "version=1" x y)
    fails "$n arguments" "${words[@]:0:n}"
done
for bad in "" 0 -1 +1 " 1" "1 " 0x1 1e3 x 2147483648 4294967297 18446744073709551617 "$long"; do
    fails "key \"${bad:0:20}\"" "$bad" 0 user "$pair"
    fails "uid \"${bad:0:20}\"" "$key" "$bad" user "$pair"
done
fails "no type" "$key" 0 "" "$pair"
fails "a type of 32 bytes" "$key" 0 "$(printf 'x%.0s' {1..32})" "$pair"
fails "a type of 4097 bytes" "$key" 0 "$long" "$pair"
fails "no description" "$key" 0 user ""
fails "a description of 4096 bytes" "$key" 0 user "${long:1}"
fails "a description of 100000 bytes" "$key" 0 user "$(printf 'x%.0s' {1..100000})"
fails "a callout of 256 bytes" "$key" 0 user "$pair" "${long:0:256}"
fails "a callout of 100000 bytes" "$key" 0 user "$pair" "$(printf 'x%.0s' {1..100000})"
# Without argv[0], as only a program in C can start it.
fails "no argv[0]" "$key"
run "$python" -c '
import ctypes, os, sys
libc = ctypes.CDLL(None)
if os.fork() == 0:
    libc.execve(sys.argv[1].encode(), (ctypes.c_char_p * 1)(None), None)
    os._exit(99)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))' "$shim"
is "no argument at all" "$status$out$err" 1
exec 8>&1
(exec 0<&- 1>&- 2>&- && exec "$shim" "$key" 0 user "$pair")
is "without open descriptors it fails" $? 1

# --- a key that is not under construction

describe() {
    echo "$(keyctl pipe "$1") $(keyctl rdescribe "$1") $(grep "^$(printf '%08x' "$1")" /proc/keys | tr -s ' ' | cut -d ' ' -f 4)"
}
before=$(describe "$key")
for words in "0 user $pair" "65534 user $pair" "x user $pair" "0 user" ""; do
    # shellcheck disable=SC2086 # words
    fails "a key that is there, \"${words:0:12}\"" "$key" $words
done
is "the key is as it was" "$(describe "$key")" "$before"
other=$(keyctl newring "keyd-test-ring $$" @u)
fails "a keyring" "$other" 0 user "$pair"
keyctl revoke "$key"
fails "a key that was revoked" "$key" 0 user "$pair"
like "a revoked key stays revoked" "$(keyctl pipe "$key" 2>&1)" "revoked"
fails "a key that is not there" 2147483647 0 user "$pair"
finish
