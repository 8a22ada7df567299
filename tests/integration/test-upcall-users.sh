#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# Only uid 0 may ask. Other users get the same error at once, whatever keys there are, without the
# daemon hearing of it; their keyrings stay empty, and syslog names the user, at a bounded rate.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/upcall.sh"

daemon_start
add one a >/dev/null || bail "add"
name=$(ring_names)
# Keys that are there and keys that are not, by identity and by pair.
declare -rA asked=(
    [identity]=$name
    ["missing identity"]="${name%% *} $HOST $SUBSYSTEM:missing ${name##* }"
    ["identity without digest"]="NVMe1R01 $HOST $SUBSYSTEM"
    [pair]="nvme-tls-psk:$HOST $SUBSYSTEM"
    ["missing pair"]="nvme-tls-psk:$HOST $SUBSYSTEM:missing"
)

# Each is a command that becomes a user other than uid 0.
uid_65534=(setpriv --reuid=65534 --regid=65534 --clear-groups)
uid_1000=(setpriv --reuid=1000 --regid=1000 --clear-groups)
ambient=("${uid_1000[@]}" --inh-caps=+all --ambient-caps=+all)
own_root=("${uid_1000[@]}" unshare --user --map-root-user)
readonly WHO="uid_65534 uid_1000 ambient own_root fsuid"

become() {
    options=()
    case $1 in
    fsuid) as=() options=(--fsuid=1000) ;;
    none) as=() ;;
    *)
        local -n command=$1
        as=("${command[@]}")
        ;;
    esac
}

# --- no key for another user

gets "uid 0: the identity" OK "$name"
gets "uid 0: the pair" OK "${asked[pair]}"
keyctl clear "$(ring)"
for who in $WHO; do
    become "$who"
    if ! "${as[@]}" "$interpreter" -c "import ctypes" 2>/dev/null; then
        skip "$who is refused" "cannot become that here"
        continue
    fi
    # -1 to -5: all keyrings that a requester has; 0: the one that the kernel takes.
    for keyring in 0 -1 -2 -3 -4 -5; do
        printf 'user\t%s\n' "${asked[@]}" | requester "${options[@]}" "--to=$keyring" --lines
    done >"$tmp/answers"
    is "$who is refused: ${#asked[@]} requests to 6 keyrings, no payload in any" \
        "$(cut -d ' ' -f 2,5- "$tmp/answers" | uniq -c | tr -s ' ')" " $((${#asked[@]} * 6)) EACCES 0 "
    check "$who is refused: at once" awk -v l="$AT_ONCE" '$1 > l { bad = 1 } END { exit bad }' "$tmp/answers"
done
become uid_65534
gets "a callout that is too long, of another user" EACCES "${asked[pair]}" "$(printf 'x%.0s' {1..300})"
become none
is "nothing was published for them" "$(ring_names)" ""
is "the daemon was not asked for a missing key" "$(grep -c "not here" "$log")" 0
become uid_65534
request user "${asked[pair]}"
like "a refusal is remembered for 5 seconds" "$expiry" '^[2-5]s$'
become none
gets "uid 0: a miss" ENOKEY "${asked["missing pair"]}"
is "the daemon was asked for that one" "$(grep -c "not here" "$log")" 1

# --- the socket refuses other users, even with mode 0666

chmod 666 "$request"
refused_by_socket() {
    "${uid_65534[@]}" "$interpreter" -c '
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(60)
s.connect(sys.argv[1])
try:
    s.send(sys.argv[2].encode())
    sys.exit(s.recv(4096) != b"")
except (ConnectionResetError, BrokenPipeError):
    pass' "$request" "$1"
}
check "uid 65534: no answer on the socket" refused_by_socket "${asked[pair]}"
check "uid 65534: the refusal is logged" log_has "Refused a process of uid 65534 on the request socket"
chmod 600 "$request"

# --- time

# medians FILE: of the odd and of the even lines, and their ratio, in percent.
medians() {
    awk '{ print NR % 2, $1 }' "$1" | sort -k 1,1 -k 2,2n | awk '
        { n[$1]++; v[$1, n[$1]] = $2 }
        END { a = v[0, int(n[0] / 2)]; b = v[1, int(n[1] / 2)]; print a, b, int(100 * a / b) }'
}

# try_alike DESCRIPTION DESCRIPTION: asked in turns.
try_alike() {
    local out ratio
    for _ in {1..100}; do
        printf 'user\t%s\n' "$@"
    done | requester --microseconds --lines >"$tmp/times"
    out=$(medians "$tmp/times")
    diag "medians in microseconds, ratio in percent: $out"
    ratio=${out##* }
    [ "$ratio" -ge 67 ] && [ "$ratio" -le 150 ]
}

# alike TEXT DESCRIPTION DESCRIPTION: a real difference shows each time, the load of a machine does not.
alike() {
    try_alike "${@:2}" || try_alike "${@:2}" || try_alike "${@:2}"
    result $? "$1: as fast"
    is "$1: the same errors" "$(cut -d ' ' -f 2 "$tmp/times" | sort | uniq -c | tr -s ' ')" " 200 EACCES"
}
become uid_65534
alike "an identity that is there, and one that is not" "$name" "${asked["missing identity"]}"
alike "a pair that is there, and one that is not" "${asked[pair]}" "${asked["missing pair"]}"

# --- without the daemon

kill -STOP "$daemon"
for what in "${!asked[@]}"; do
    gets "a daemon that hangs: $what" EACCES "${asked[$what]}"
    between "a daemon that hangs: $what, at once" 0 "$AT_ONCE"
done
kill -CONT "$daemon"
daemon_stop
rm -f "$request"
gets "no daemon" EACCES "${asked[pair]}"
become none
in_background fake-keyd.py "$request"
become uid_65534
gets "a daemon that counts" EACCES "nvme-tls-psk:mode:good:x"
gets "a daemon that counts, for an identity" EACCES "$name"
become none
is "it got no request" "$(grep -c good "$tmp/fake-keyd.out")" 0
gets "uid 0" OK "nvme-tls-psk:mode:good:x"
is "it got one request of uid 0" "$(grep -c good "$tmp/fake-keyd.out")" 1

# --- syslog

if [ -e /dev/log ]; then
    skip "the log of refusals" "/dev/log belongs to another program"
    finish
fi
in_background dev-log.py /dev/log
refusals() {
    grep -cE "^<28>request-key-shim\[[0-9]+\]: request by uid $1 refused$" "$tmp/dev-log.out"
}
has_refusals() {
    [ "$(refusals "$1")" -ge "$2" ]
}
for who in 65534 1000; do
    sleep 0.2
    if [ $who = 1000 ]; then become own_root; else become uid_65534; fi
    request user "nvme-tls-psk:$HOST secret-$who"
    check "uid $who is logged" wait_for 20 has_refusals "$who" 1
done
is "each uid is logged once" "$(grep -c request-key-shim "$tmp/dev-log.out")" 2

become uid_65534
: >"$tmp/dev-log.out"
begin=$(date +%s%N)
for i in {1..500}; do
    printf 'user\tnvme-tls-psk:%s secret-%d\n' "$HOST" "$i"
done | requester --lines >"$tmp/answers"
took=$((($(date +%s%N) - begin) / 1000000))
is "500 requests: all are refused" "$(grep -c ' EACCES ' "$tmp/answers")" 500
sleep 1
count=$(grep -c request-key-shim "$tmp/dev-log.out")
diag "$count messages in $took ms"
[ "$count" -ge 1 ] && [ "$count" -le $((took / 100 + 12)) ]
result $? "500 requests: about ten messages in a second" || diag "$count messages in $took ms"
is "syslog has no description" "$(grep -c "secret\|nvme-tls" "$tmp/dev-log.out")" 0
finish
