#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The shim with a daemon that answers badly or not at all, and with a syslog without a reader: the
# requester has an answer within 9 s, and no shim is left.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/upcall.sh"

# description MODE: one that no other test asks for.
description() {
    echo "nvme-tls-psk:mode:$1:$$"
}

# is_left: a shim of this test.
is_left() {
    [ "$(shims "mode:.*:$$")" -gt 0 ]
}
is_none_left() {
    ! is_left
}

# Elsewhere it belongs to another program.
if [ ! -e /dev/log ]; then
    in_background dev-log.py /dev/log
    dev_log=$started
fi
# is_logged NUMBER REGEX: that many lines.
is_logged() {
    [ "$(grep -cE "$2" "$tmp/dev-log.out")" -eq "$1" ]
}
# logs TEXT NUMBER REGEX
logs() {
    if [ -z "${dev_log-}" ]; then
        skip "$1" "/dev/log is not ours"
    else
        check "$1" wait_for 20 is_logged "$2" "$3" || diag "$(<"$tmp/dev-log.out")"
    fi
}

# --- answers

# The mode of the daemon, the result, its lifetime, and the least and most milliseconds that it takes.
readonly CASES="
good     OK     perm        0    $AT_ONCE
whole    OK     perm        0    $AT_ONCE
garbage  ENOKEY [01]s|expd 0    $AT_ONCE
byte     ENOKEY [01]s|expd 0    $AT_ONCE
head     ENOKEY [01]s|expd 0    $AT_ONCE
short    ENOKEY [01]s|expd 0    $AT_ONCE
long     ENOKEY [01]s|expd 0    $AT_ONCE
huge     ENOKEY [01]s|expd 0    $AT_ONCE
magic    ENOKEY [01]s|expd 0    $AT_ONCE
size     ENOKEY [01]s|expd 0    $AT_ONCE
sizemax  ENOKEY [01]s|expd 0    $AT_ONCE
none     ENOKEY [01]s|expd 0    $AT_ONCE
nokey    ENOKEY (2[0-9]|30)s 0    $AT_ONCE
forever  ENOKEY .*          0    $AT_ONCE
restart  ENOKEY [01]s|expd 0    $AT_ONCE
range    ENOKEY [01]s|expd 0    $AT_ONCE
negative ENOKEY [01]s|expd 0    $AT_ONCE
hangup   ENOKEY [01]s|expd 0    $AT_ONCE
late     OK     perm        5000 $LATEST
mute     ENOKEY [01]s|expd 7000 $LATEST
"

# lines: a request for each.
lines() {
    local mode _
    while read -r mode _; do
        [ -z "$mode" ] || printf 'user\t%s\n' "$(description "$mode")"
    done <<<"$CASES"
}

in_background fake-keyd.py "$request"
fake=$started
# In two parts: syslog's socket has a queue of ten messages, and what does not fit is lost.
lines | head -n 11 | requester --lines --together >"$tmp/results"
lines | tail -n +12 | requester --lines --together >>"$tmp/results" &
asking=$!
# is_waiting: all have asked, and only late, mute or both have no answer yet.
is_waiting() {
    local n
    n=$(shims "mode:.*:$$")
    [ "$(grep -c . "$tmp/fake-keyd.out")" -gt "$(lines | wc -l)" ] && [ "$n" -ge 1 ] && [ "$n" -le 2 ]
}
check "others get their answers while one waits" wait_for 10 is_waiting
wait "$asking"
check "no shim is left" wait_for 5 is_none_left
exec {results_fd}<"$tmp/results"
while read -r mode expected lifetime minimum maximum; do
    [ -n "$mode" ] || continue
    read -r took result flags expiry held answer <&"$results_fd"
    [ "$result" = "$expected" ] && [[ $expiry =~ ^($lifetime)$ ]] && [[ $flags != *U* ]] &&
        [ "$took" -ge "$minimum" ] && [ "$took" -le "$maximum" ]
    result $? "answer \"$mode\": $expected" ||
        diag "got $result for $expiry, flags $flags, after $took ms, expected $lifetime, $minimum to $maximum ms"
done <<<"$CASES"
is "each request came once, and that for hangup twice" "$(sort "$tmp/fake-keyd.out" | uniq -c | awk '$1 > 1 { print $1, $2 }')" "2 hangup"
logs "a malformed answer is logged" 11 '^<27>request-key-shim\[[0-9]+\]: nvme-keyd did not answer: Bad message$'
logs "a closed connection is logged" 1 'nvme-keyd did not answer: Connection reset by peer$'
logs "a missing answer is logged" 1 'nvme-keyd did not answer: Connection timed out$'

# As when a daemon dies before it answers a request.
request user "$(description mute)" &
asking=$!
has_mute_twice() {
    [ "$(grep -c mute "$tmp/fake-keyd.out")" -eq 2 ]
}
wait_for 5 has_mute_twice
rm "$request"
end "$fake" "$request"
wait "$asking"
check "the daemon ends meanwhile: no shim is left" wait_for 5 is_none_left

# --- rules that pass on something else, and what it does for an answer

in_background fake-keyd.py "$request"
fake=$started
while read -r n words; do
    printf 'create\tuser\tkeyd-test-%s\t*\t%s %s\n' "$n" "$shim" "$words"
done >"$rules/1-keyd-test-$$.conf" <<'END'
1 %k
2 %k %u
3 %k %u %t
6 %k %u %t %d %c x
7 %k %t %u %d %c
8 %k -%u %t %d
END
for n in 1 2 3 6 7 8; do
    gets "arguments that are none, $n" EINVAL "keyd-test-$n"
    like "arguments that are none, $n: for 5 seconds" "$expiry" '^[2-5]s$'
done
gets "a callout that is too long" EINVAL "$(description good)" "$(printf 'x%.0s' {1..256})"
gets "a callout that is not" OK "$(description good)" "$(printf 'x%.0s' {1..255})"

# traced DESCRIPTION: the system calls of a shim, "CALL(ARGUMENTS" a line, those of the loader first.
strace=$(command -v strace)
printf 'create\tuser\tnvme-tls-psk:traced:*\t*\t%s -o %s %s %%k %%u %%t %%d %%c\n' "$strace" "$tmp/strace" "$shim" \
    >"$rules/1-keyd-test-$$.conf"
traced() {
    rm -f "$tmp/strace"
    request user "nvme-tls-psk:traced:mode:$1:$$"
    wait_for 20 grep -q '^+++ exited' "$tmp/strace"
}
# order REGEX...: each is found, and after the one before.
order() {
    local regex line=0 next
    for regex in "$@"; do
        next=$(grep -nE "$regex" "$tmp/strace" | cut -d : -f 1 | head -n 1)
        [ -n "$next" ] && [ "$next" -gt "$line" ] || return 1
        line=$next
    done
}
if [ -z "$strace" ] || grep -q __asan_init "$shim"; then
    skip "system calls for an answer" "no strace, or a sanitizer's"
else
    traced good
    is "a good answer: OK" "$result" OK
    diag "$(wc -l <"$tmp/strace") system calls"
    check "a good answer: few system calls" test "$(wc -l <"$tmp/strace")" -lt 60
    check "a good answer: memory is locked before it is filled" order 'prctl\(PR_SET_DUMPABLE, ' '^mlock' '^recv' 'KEYCTL_INSTANTIATE'
    is "a good answer: no message to syslog" "$(grep -c '/dev/log' "$tmp/strace")" 0
    traced garbage
    check "a bad answer: the kernel gets the result before syslog gets a message" order 'KEYCTL_REJECT' '/dev/log'
    as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    traced good
    is "another user" "$result" EACCES
    check "another user: the kernel gets the result before syslog gets a message" order 'KEYCTL_REJECT' 'refused' '/dev/log'
    is "another user: no connection" "$(grep -c '^connect' "$tmp/strace")" 0
    as=()
fi
rm "$rules/1-keyd-test-$$.conf"
end "$fake" "$request"

# --- a queue that is full

in_background fake-keyd.py "$request" full
gets "no connection is accepted, and the queue is full" ENOKEY "$(description x)"
between "no connection is accepted: for 8 seconds" 7000 "$LATEST"
like "no connection is accepted: a refusal for a second" "$expiry" '^([01]s|expd)$'
end "$started" "$request"

in_background fake-keyd.py "$request" shut
gets "every connection is closed" ENOKEY "$(description x)"
between "every connection is closed: at once" 0 "$AT_ONCE"
like "every connection is closed: for a second" "$expiry" '^([01]s|expd)$'
end "$started" "$request"

# --- no socket

gets "no socket" ENOKEY "$(description x)"
logs "no socket: that is logged, as it was a moment ago" 2 'nvme-keyd did not answer: No such file or directory$'
between "no socket: at once" 0 "$AT_ONCE"
: >"$request"
gets "a file" ENOKEY "$(description x)"
between "a file: at once" 0 "$AT_ONCE"
rm "$request"
mkdir "$request"
gets "a directory" ENOKEY "$(description x)"
rmdir "$request"
ln -s "$request" "$request"
gets "a link to itself" ENOKEY "$(description x)"
rm "$request"
if [ -n "${made_run_dir-}" ]; then
    rm -f "$run_dir/refused"
    rmdir "$run_dir"
    gets "no directory" ENOKEY "$(description x)"
    between "no directory: at once" 0 "$AT_ONCE"
    mkdir -m 755 "$run_dir"
else
    skip "no directory" "$run_dir is not ours"
fi

# --- syslog

logs "no description comes into syslog" 0 "mode:|nvme-tls"
if [ -n "${dev_log-}" ]; then
    end "$dev_log" /dev/log
    in_background dev-log.py /dev/log deaf
    in_background fake-keyd.py "$request"
    gets "syslog is full: garbage" ENOKEY "$(description garbage)"
    between "syslog is full: at once" 0 "$AT_ONCE"
    check "syslog is full: no shim is left" wait_for 5 is_none_left
    as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    gets "syslog is full: another user" EACCES "$(description good)"
    check "syslog is full: no shim is left of it" wait_for 5 is_none_left
    as=()
    gets "syslog is full: an answer" OK "$(description good)"
fi
finish
