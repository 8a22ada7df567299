#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The requests that request_key(2) may make, their answers, the time these last, and misses.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/upcall.sh"

readonly other=nqn.2026-11.org.example:other
printf '[Upcall]\nNegativeTimeoutSec=4\n' >>"$conf"
daemon_start
id=$(add one a --role=target)
mapfile -t names < <(ring_names)
is "two identities are published" "${#names[@]}" 2
readonly pair="nvme-tls-psk:$HOST $SUBSYSTEM"

# --- one key by its identity

for name in "${names[@]}"; do
    request user "$name"
    is "identity of version ${name:4:1}: the right bytes" "$result $answer" "OK $(ring_hex "$name")"
    is "identity of version ${name:4:1}: for ever" "$expiry" perm
done
keyctl clear "$(ring)"
gets "without digest: search again" EAGAIN "NVMe1R01 $HOST $SUBSYSTEM"
like "without digest: for two seconds" "$expiry" '^([012]s|expd)$'
is "without digest: the ring has them" "$(ring_names | wc -l)" 2
request user "${names[1]}" "version=0 hash=sha384 x"
is "callout words are not for an identity" "$result $answer" "OK $(ring_hex "${names[1]}")"

# --- all keys of a pair

# serials [KEY]: those that nvme-keyctl prints, the first version first.
serials() {
    ctl show "${1:-$id}" --json=short | json '" ".join(str(i["serial"]) for i in o["key"]["identities"])'
}
# answers TEXT SERIALS CALLOUT
answers() {
    request user "$pair" "$3"
    is "$1" "$result $(text "$answer")" "OK $2"
}

answers "pair: the serials" "$(serials)" ""
like "pair: for 5 seconds" "$expiry" '^[2-5]s$'
keyctl clear "$(ring)"
request user "$pair"
like "pair: published again" "$(text "$answer")" '^[0-9]+ [0-9]+$'
is "pair: the same identities are in the ring" "$(ring_names | tr '\n' '|')" "$(printf '%s|' "${names[@]}")"

lines() {
    printf '%s\n' "$@" | sort | tr '\n' ' '
}
new=$(psk two 2 | ctl rotate "$id" --force --json=short | json 'o["key"]["id"]') || bail "rotate"
read -r new0 new1 <<<"$(serials "$new")"
old0=$(ring_serials "${names[0]}") old1=$(ring_serials "${names[1]}")
all=$(lines "$old0" "$old1" "$new0" "$new1")
# sorted CALLOUT: the serials of the answer, the lowest first.
sorted() {
    request user "$pair" "$1"
    text "$answer" | tr ' ' '\n' | sort | tr '\n' ' '
}
is "callout: there are four keys" "$(wc -w <<<"$all")" 4
is "callout: all" "$(sorted "")" "$all"
is "callout: a version" "$(sorted version=0)" "$(lines "$old0" "$new0")"
is "callout: the other version" "$(sorted version=1)" "$(lines "$old1" "$new1")"
is "callout: a hash" "$(sorted hash=sha256)" "$(lines "$old0" "$old1")"
is "callout: the other hash" "$(sorted hash=sha384)" "$(lines "$new0" "$new1")"
is "callout: both" "$(sorted "version=1 hash=sha384")" "$(lines "$new1")"
is "callout: in the other order, with blanks" "$(sorted "  hash=sha384   version=1 ")" "$(lines "$new1")"
for words in keyring=1 x versio version0 " " = VERSION=0 nversion=0 "a=b c=d e" "hash256 versions=0"; do
    is "callout: \"$words\" is ignored" "$(sorted "$words")" "$all"
done
is "callout: among others" "$(sorted "x=y version=0 z hash=sha384 q")" "$(lines "$new0")"
for words in version version= version=2 version=01 hash hash=md5 hash=sha3840 "version=1 hash=x"; do
    gets "callout: \"$words\" is refused" EINVAL "$pair" "$words"
done
for name in "${names[@]}"; do
    request user "$name"
    is "version ${name:4:1} of a key that retires: the right bytes" "$result $answer" "OK $(ring_hex "$name")"
done

# --- misses

gone=$(add four gone --role=target)
ctl remove --force "$gone" 2>/dev/null || ctl remove "$gone"
gets "a key that was removed" ENOKEY "nvme-tls-psk:$HOST nqn.2026-11.org.example:gone"

gets "unknown pair" ENOKEY "nvme-tls-psk:$HOST $other"
like "a miss is remembered as configured" "$expiry" '^[1234]s$'
check "a miss is logged" log_has "The kernel asked for a PSK that is not here: nvme-tls-psk:$HOST $other\$"
is "a miss is logged once" "$(grep -c "not here: nvme-tls-psk:$HOST $other" "$log")" 1
gets "unknown identity" ENOKEY "NVMe0R01 $HOST $other"
gets "no pair" ENOKEY "nvme-tls-psk:"
gets "no identity" ENOKEY "NVMe"
gets "a generated key of the kernel" ENOKEY "NVMe1G01 $HOST $SUBSYSTEM x"
gets "control characters" ENOKEY $'NVMe\e[31m\n'
is "control characters are not logged" "$(grep -c $'\e' "$log")" 0
gets "the longest description" ENOKEY "NVMe$(printf 'x%.0s' {1..4091})"
check "the longest description: by the daemon" log_has "not here: NVMexxx"
request user "$pair" "$(printf 'x%.0s' {1..4095})"
like "the longest callout" "$result" '^(OK|EINVAL)$'
gets "the daemon lives" OK "${names[1]}"

# Within one session, where a miss is remembered.
readonly later=nqn.2026-11.org.example:later
# shellcheck disable=SC2016 # expands inside
out=$(keyctl session - bash -c '
    ask() {
        keyctl request2 user "$0" "" @s >/dev/null 2>&1 && echo found || echo missed
    }
    ask && ask && "$@" >/dev/null && sleep 5.1 && ask' "nvme-tls-psk:$HOST $later" \
    "$build/nvme-keyctl" --socket="$varlink" add --hostnqn="$HOST" --subsysnqn="$later" <<<"$(psk three)" 2>/dev/null)
is "a key that comes after a miss is found when that is forgotten" "$out" $'missed\nmissed\nfound'
is "until then the daemon is asked for it once" "$(grep -c "not here: nvme-tls-psk:$HOST $later" "$log")" 1

# --- at once

# of DESCRIPTION: how many of the answers are what the ring has.
of() {
    grep -c " OK .* $(ring_hex "$1")$" "$tmp/answers"
}
latest=$(ring_names | grep '^NVMe1R02')
for _ in {1..100}; do
    printf 'user\t%s\n' "${names[1]}" "$latest"
done | requester --lines --together >"$tmp/answers"
is "200 requests at once: all are answered" "$(grep -c ' OK ' "$tmp/answers")" 200
is "200 requests at once: with their own bytes" "$(of "${names[1]}") $(of "$latest")" "100 100"
finish
