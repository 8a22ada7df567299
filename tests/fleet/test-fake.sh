#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# nvme-keyd-fetch with a server that misbehaves: it survives each of its ways, and goes on when that is over.
. "$(dirname "$0")/lib.sh"

fake=$tmp/fake
mkdir "$fake"
touch "$fake/commands" "$fake/requests" "$fake/puts"
echo good >"$fake/mode"
python3 "$here/fake-etcd.py" "$fake" >"$tmp/fake.log" 2>&1 &
server=$!
defer "kill $server"
wait_for 30 test -s "$fake/port" || bail "the server does not start"
endpoint=http://127.0.0.1:$(<"$fake/port")

put() { echo "put $1 $2" >>"$fake/commands"; }
start() {
    fetch_start '[Source]' "Endpoint=$endpoint" Machine=m1 User=m1 '[Report]' PresenceSec=3 Service=no
}
n=0
# survives MODE TEXT [REGEX [SECONDS]]: the helper meets the mode and says so; after it, an envelope comes. It
# begins without failures before, which would make the pauses long.
survives() {
    fetch_stop
    log_mark
    echo "$1" >"$fake/mode"
    start
    logs "$1: $2" "${3:-$2}" "${4:-40}"
    echo good >"$fake/mode"
    n=$((n + 1))
    put "after" "$1-$n"
    comes "$1: and goes on" after "$1-$n" 60
    most=$(peak)
    [ "$most" -le "$peak" ] || peak=$most
}
peak=0
revision=1000
# Makes it another cluster, which is at a newer revision.
restart_list() {
    revision=$((revision + 1000))
    echo "revision $revision" >>"$fake/commands"
}

put one first
for i in 1 2 3 4 5 6 7; do put "many-$i" "text-$i"; done
sleep 0.3
printf 's3"cret\n' >"$credentials/nvme-keyd-fetch.password"
start
comes "an envelope comes" one first
comes "so do those of other pages" many-7 text-7
put two second
comes "one that is made later comes by the watch" two second
put two third
comes "and each newer one" two third
put two.reason no
put three bytes\ 100000
put 'four' 'bytes 200000'
logs "one that is too long is refused" "Refused: the envelope four, .*too long"
logs "a name that cannot be is ignored" "Ignored: .*two.reason"
wait_for 20 grep -q '/presence lease=4711 ' "$fake/puts"
result $? "presence is under a lease"
has_status() { grep -qF "$1" <(tail -n 1 < <(grep '/status lease=none ' "$fake/puts")); }
wait_for 20 has_status '{"name":"four","revision":'
result $? "the report is under none"
rm "$inbox"/two.*
echo "an older generation" >"$inbox/$(cd "$inbox" && ls -d one.*).reason"
wait_for 20 has_status '"state":"refused","reason":"an older generation"'
result $? "a refused envelope is reported with its reason"
has_taken() { has_status '{"name":"two","revision":'"$1"',"state":"taken"}'; }
wait_for 20 has_taken 20
result $? "and one that was taken" || diag "$(tail -n 1 "$fake/puts")"
is "no put has the text of an envelope" "$(grep -c 'third\|text-7' "$fake/puts")" 0
is "the password is not in the log" "$(grep -c 's3' "$log")" 0
is "nor a token" "$(grep -c 'token\.good' "$log")" 0

survives half-line "in the middle of a line"
survives huge-line "its answer to the watch is too long"
survives many-values "too many values"
survives garbage-watch "the watch makes no sense"
survives denied-watch "permission denied"
survives no-leader "no leader"
survives stall-watch "does not answer to a watch"
survives stall-member "[Tt]imed out|[Tt]imeout"
survives half-range "cut short" "transfer closed|bytes remaining"
survives huge-range "too long" "too long|makes no sense"
survives garbage "makes no sense"
survives more-forever "does not end"
survives no-lease "about the lease makes no sense"
survives html "HTTP status 502"
survives redirect "HTTP status 302"
survives stall-range "no answer" "[Tt]imed out|[Tt]imeout"
is "100 MB are not kept: at most 32 MB of memory" "$((peak <= 32 * 1024 ? 1 : 0))" 1
diag "peak: $peak KiB"

put restarted all
fetch_stop
start
log_mark
comes "before the compaction" restarted all
echo "hide hidden in-the-list" >>"$fake/commands"
sleep 0.3
echo compacted >"$fake/mode"
logs "compaction: says so" "is compacted"
comes "compaction: what the watch cannot bring comes by the list" hidden in-the-list
put after compaction
comes "compaction: and the watch goes on" after compaction
echo "revision 5" >>"$fake/commands"
put restored back
echo half-line >"$fake/mode"
sleep 1
echo good >"$fake/mode"
comes "a cluster that was restored, whose revisions are older: lists again" restored back

fetch_stop
rm "$inbox"/restored.*
start
comes "a later start brings everything again" restored back
restart_list
echo token-ended >"$fake/mode"
put after new-token
comes "a token that has ended: logs in again, and goes on" after new-token
wait_for 10 grep -q '^/v3/watch token-ended token.token-ended$' "$fake/requests"
result $? "with the new token"
survives token-never "invalid auth token"
survives denied-put "permission denied"
presences() { grep -c '/presence ' "$fake/puts"; }
had=$(presences)
echo lease-ended >"$fake/mode"
grants() { grep -c '/v3/lease/grant lease-ended' "$fake/requests"; }
got_grant() { [ "$(grants)" -gt 0 ]; }
wait_for 20 got_grant
result $? "a lease that has ended is granted again"
echo good >"$fake/mode"
is_present_again() { [ "$(presences)" -gt "$had" ]; }
wait_for 20 is_present_again
result $? "and presence is put under it"

if [ -n "${LONG-}" ]; then
    survives stall-line "stopped in the middle of a line" "stopped in the middle" 90
fi

fetch_stop
before=$(wc -l <"$fake/requests")
start
echo html >"$fake/mode"
restart_list
sleep 10
requests=$(($(wc -l <"$fake/requests") - before))
echo good >"$fake/mode"
is "an outage: the pauses grow (at most 20 tries in 10 s)" "$((requests <= 20 ? 1 : 0))" 1
diag "$requests requests"
check "it still runs" kill -0 "$fetch"
fetch_stop
is "SIGTERM ends it well" "$fetch_status" 0

mkdir "$tmp/other"
printf 'wrong' >"$credentials/nvme-keyd-fetch.password"
log_mark
fetch_start '[Source]' "Endpoint=$endpoint" Machine=m1 User=m1 '[Report]' Service=no
logs "a wrong password: says so" "authentication failed"
fetch_stop
rm "$credentials/nvme-keyd-fetch.password"
log_mark
fetch_start '[Source]' "Endpoint=$endpoint" Machine=m1 User=m1 '[Report]' Service=no
logs "no password: says so" "needs a password"
fetch_stop
program=$build/src/nvme-keyd-fetch/nvme-keyd-fetch
printf '[Source]\nEndpoint=http://etcd.example:2379\nMachine=m1\nUser=m1\n' >"$tmp/bad.conf"
check_fails "a password in the clear is refused" "$program" --check -c "$tmp/bad.conf"
printf '[Source]\nMachine=m1\n' >"$tmp/bad.conf"
check_fails "a configuration without servers is refused" "$program" --check -c "$tmp/bad.conf"
printf '[Source]\nEndpoint=https://etcd.example:2379\nMachine=m1\nUser=m1\n' >"$tmp/good.conf"
check "one that is complete is fine" "$program" --check -c "$tmp/good.conf"
check_fails "an unexpected argument is refused" "$program" more
finish
