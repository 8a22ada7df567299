#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# nvme-keyd-fetch with a real cluster of etcd: three members with TLS and client certificates, users and roles, one
# for each machine. Members are killed, stopped, cut off and restarted. ETCD_BIN: where etcd and etcdctl are, if not in
# the path.
. "$(dirname "$0")/lib.sh"

[ -z "${ETCD_BIN-}" ] || PATH=$ETCD_BIN:$PATH
command -v etcd >/dev/null && command -v etcdctl >/dev/null || skip_all "needs etcd"
diag "$(etcd --version | head -n 1)"
export ETCDCTL_API=3
certs=$tmp/certs
mkdir "$certs"

# --- certificates: names are in subjectAltName alone

# certify NAME SUBJECT-ALT-NAME
certify() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$certs/$1.key" -subj /O=test -out "$certs/$1.csr" &&
        printf 'subjectAltName=%s\n' "$2" >"$certs/$1.ext" &&
        openssl x509 -req -in "$certs/$1.csr" -CA "$certs/ca.pem" -CAkey "$certs/ca.key" -days 2 -extfile "$certs/$1.ext" -out "$certs/$1.pem"
}
{
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$certs/ca.key" -subj /CN=ca -days 2 -out "$certs/ca.pem" &&
        certify server IP:127.0.0.1 && certify client DNS:m1.example
} >"$tmp/certs.log" 2>&1 || bail "no certificates: $(<"$tmp/certs.log")"

# --- the cluster

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
declare -a client peer member
for i in 1 2 3; do
    client[i]=$(free_port) peer[i]=$(free_port)
done
cluster=n1=http://127.0.0.1:${peer[1]},n2=http://127.0.0.1:${peer[2]},n3=http://127.0.0.1:${peer[3]}
endpoints=
for i in 1 2 3; do endpoints+=${endpoints:+,}https://127.0.0.1:${client[i]}; done

# member_start N
member_start() {
    etcd --name "n$1" --data-dir "$tmp/n$1" --listen-client-urls "https://127.0.0.1:${client[$1]}" \
        --advertise-client-urls "https://127.0.0.1:${client[$1]}" --listen-peer-urls "http://127.0.0.1:${peer[$1]}" \
        --initial-advertise-peer-urls "http://127.0.0.1:${peer[$1]}" --initial-cluster "$cluster" \
        --cert-file "$certs/server.pem" --key-file "$certs/server.key" --client-cert-auth --trusted-ca-file "$certs/ca.pem" \
        --auth-token-ttl 3 --heartbeat-interval 300 --election-timeout 3000 </dev/null >>"$tmp/n$1.log" 2>&1 &
    member[$1]=$!
}
# member_kill SIGNAL N...
member_kill() {
    local signal=$1 i
    shift
    for i in "$@"; do kill "-$signal" "${member[i]}"; done
}
member_end() {
    local i
    for i in "$@"; do
        kill -KILL "${member[i]}"
        wait "${member[i]}"
    done 2>/dev/null
}
defer 'member_end 1 2 3'
# ctl [OPTION...] COMMAND...: as root
user=()
ctl() {
    timeout 60 etcdctl --endpoints "${at:-$endpoints}" --cacert "$certs/ca.pem" --cert "$certs/client.pem" --key "$certs/client.key" \
        --command-timeout 20s --dial-timeout 5s "${user[@]}" "$@" 2>>"$tmp/ctl.log"
}
is_healthy() { ctl endpoint health --cluster >/dev/null 2>&1; }
for i in 1 2 3; do member_start "$i"; done
wait_for 120 is_healthy || bail "the cluster does not come up: $(tail -n 3 "$tmp/n1.log")"

place=/nvme-keyd/machines
for m in m1 m2; do
    ctl role add "$m" && ctl role grant-permission "$m" read --prefix=true "$place/$m/envelopes/" &&
        ctl role grant-permission "$m" readwrite "$place/$m/presence" &&
        ctl role grant-permission "$m" readwrite "$place/$m/status" &&
        ctl user add "$m:password-$m" && ctl user grant-role "$m" "$m" || bail "no users"
done >/dev/null
{ ctl user add root:root && ctl user grant-role root root && ctl auth enable; } >/dev/null || bail "no authentication"
user=(--user root:root)
# A cluster that has just lost its leader refuses.
puts() { ctl put "$place/m1/envelopes/$1" "$2" >/dev/null; }
put() { wait_for 60 puts "$1" "$2" || diag "etcdctl cannot put"; }

# --- a machine

printf 'password-m1' >"$credentials/nvme-keyd-fetch.password"
cp "$certs/ca.pem" "$credentials/nvme-keyd-fetch.ca"
cp "$certs/client.pem" "$credentials/nvme-keyd-fetch.cert"
cp "$certs/client.key" "$credentials/nvme-keyd-fetch.key"
lines=('[Source]')
for i in 1 2 3; do lines+=("Endpoint=https://127.0.0.1:${client[i]}"); done
start() { fetch_start "${lines[@]}" "Machine=${1:-m1}" User=m1 '[Report]' PresenceSec=3 Service=no; }
# The member that the helper follows.
followed() {
    local i
    for i in 1 2 3; do
        ! ss -tnpH state established dport = ":${client[i]}" 2>/dev/null | grep -q "pid=$fetch," || echo "$i"
    done | head -n 1
}
others() {
    local i
    for i in 1 2 3; do [ "$i" = "$1" ] || echo "$i"; done
}
# timed TEXT NAME CONTENT SECONDS: comes(), with the time that it took.
timed() {
    local from
    from=$(date +%s%N)
    comes "$@"
    diag "$1: $((($(date +%s%N) - from) / 1000000)) ms"
}

put pair1 one
start
timed "TLS, a client certificate without a name, and a token: an envelope comes" pair1 one 60
put pair2 two
timed "one that is made later comes by the watch" pair2 two 30
get() { ctl get --print-value-only "$place/m1/$1"; }
has_lease() { ctl get -w json "$place/m1/$1" | grep -q '"lease":[1-9]'; }
wait_for 30 has_lease presence
result $? "its presence is under a lease"
has_status() { get status | grep -qF "$1"; }
wait_for 30 has_status '"name":"pair2"'
result $? "its report is there"
has_lease status
is "and under no lease" "$?" 1
m1() {
    local user=(--user m1:password-m1)
    ctl "$@"
}
check_fails "the user of a machine cannot read another one" m1 get --prefix "$place/m2/"
check_fails "nor all" m1 get --prefix /
check_fails "nor write an envelope" m1 put "$place/m1/envelopes/pair1" forged
rm "$inbox"/pair1.*
ctl del "$place/m1/envelopes/pair1" >/dev/null
put pair3 three
comes "a key that is removed is no event" pair3 three
is "and nothing is made of it" "$(find "$inbox" -name 'pair1*' | wc -l) $(kill -0 "$fetch" && echo runs)" "0 runs"

sleep 5
put pair3 after-ttl
timed "tokens that live for 3 s end while it runs: it goes on" pair3 after-ttl 30

# --- members

victim=$(followed)
member_end "$victim"
put pair3 killed
timed "a member is killed" pair3 killed 60
member_start "$victim"
wait_for 120 is_healthy || diag "the member does not come back"

victim=$(followed)
member_kill STOP "$victim"
at=https://127.0.0.1:${client[$(others "$victim" | head -n 1)]}
put pair3 stalled
timed "a member stalls: its watch is silent" pair3 stalled 90
member_kill CONT "$victim"
at=
wait_for 120 is_healthy || diag "the member does not come back"

victim=$(followed)
mapfile -t rest < <(others "$victim")
log_mark
member_kill STOP "${rest[@]}"
logs "a member that is cut off from the others is left" "no leader|[Tt]imed out|[Tt]imeout|deadline" 60
sleep 5
member_kill CONT "${rest[@]}"
wait_for 120 is_healthy || diag "the members do not come back"
put pair3 joined
timed "and when they are joined again" pair3 joined 120

# All that happens while the helper is away is compacted, and the watch goes on from there.
log_mark
kill -STOP "$fetch"
for i in $(seq 1 10); do put pair3 "while-away-$i"; done
revision=$(ctl get -w json "$place/m1/envelopes/pair3" | sed 's/.*"revision":\([0-9]*\).*/\1/')
ctl compact "$revision" >/dev/null || diag "no compaction"
victim=$(followed)
member_end 1 2 3
kill -CONT "$fetch"
sleep 2
for i in 1 2 3; do member_start "$i"; done
wait_for 120 is_healthy || diag "the members do not come back"
timed "all members restart, the tokens are gone, and the revision is compacted" pair3 while-away-10 120
logs "it met the compaction, or the list was its first step" "compacted|The envelope pair3"
wait_for 60 has_lease presence
result $? "its presence is there again"

# --- its end

fetch_stop
is "it ends well" "$fetch_status" 0
is_absent() { [ -z "$(get presence)" ]; }
wait_for 30 is_absent
result $? "its presence ends without it"
check "its report stays" has_status '"name":"pair3"'
log_mark
start m2
logs "another machine's envelopes are denied" "permission denied" 60
fetch_stop

# --- the clock

future=$tmp/future
mkdir "$future"
touch "$future/index"
echo 01 >"$future/serial"
printf '[ca]\ndefault_ca=c\n[c]\ndatabase=%s/index\nserial=%s/serial\nnew_certs_dir=%s\ndefault_md=sha256\npolicy=p\n[p]\norganizationName=optional\n' \
    "$future" "$future" "$future" >"$future/cnf"
openssl ca -batch -config "$future/cnf" -cert "$certs/ca.pem" -keyfile "$certs/ca.key" -in "$certs/server.csr" -extfile "$certs/server.ext" \
    -startdate 20900101000000Z -enddate 20910101000000Z -out "$future/server.pem" >/dev/null 2>&1
port=$(free_port)
openssl s_server -quiet -accept "127.0.0.1:$port" -cert "$future/server.pem" -key "$certs/server.key" </dev/null >/dev/null 2>&1 &
server=$!
defer "kill $server"
log_mark
fetch_start '[Source]' "Endpoint=https://127.0.0.1:$port" Machine=m1 '[Report]' Service=no
logs "a certificate that is not valid yet: the message has the time of this machine" \
    "not valid yet by the clock of this machine, $(date -u +%Y)-"
fetch_stop
log_mark
rm "$credentials/nvme-keyd-fetch.ca"
fetch_start "${lines[@]}" Machine=m1 User=m1 '[Report]' Service=no
logs "a server of another authority is refused" "certificate" 30
is "and gets no password" "$(tail -n +"$((log_from + 1))" "$log" | grep -c 'authentication')" 0
finish
