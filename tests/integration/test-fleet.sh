#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# A fleet in a directory: pairs, waves, and attacks. This test plays the machines, by openssl(1) and
# a status file.
. "$(dirname "$0")/lib.sh"

command -v openssl >/dev/null || skip_all "needs openssl"
cd "$tmp" || exit
keyctl_alone() { "$build/nvme-keyctl" "$@"; }
mkdir place
keyctl_alone envelope issuer issuer.key >issuer.pem
keyctl_alone envelope issuer thief.key >thief.pem
look=(--place=place --issuer=issuer.pem)
change=("${look[@]}" --issuer-key=issuer.key)
fleet() { keyctl_alone fleet "$@" "${change[@]}"; }

# machine NAME URI
machine() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.pem" \
        -subj "/O=test/serialNumber=$1" -addext "subjectAltName=URI:$2" -days 3650 2>/dev/null
    openssl pkey -pubout -outform DER -in "$1.key" | sha256sum | cut -d ' ' -f 1 >"$1.print"
}
print_of() { cat "$1.print"; }
host_nqn() { echo "nqn.2026-11.org.example:$1"; }
for name in host1 host2 host3 target1 target2; do machine "$name" "$(host_nqn "$name")"; done

# opened FILE MACHINE: the content of an envelope.
opened() {
    openssl cms -decrypt -inform PEM -in "$1" -inkey "$2.key" -recip "$2.pem" -binary 2>/dev/null |
        openssl cms -verify -inform DER -certfile issuer.pem -nointern -noverify -binary 2>/dev/null
}
# report MACHINE STATE [REASON]: the machine takes its envelopes, and reports on all of them.
report() {
    local dir file
    dir=place/machines/$(print_of "$1")
    for file in "$dir"/envelopes/*; do [ ! -f "$file" ] || opened "$file" "$1"; done |
        "$python" -c '
import json, sys
keys = [key for line in sys.stdin.read().replace("}{", "}\n{").splitlines() for key in json.loads(line)["keys"]]
pairs = [{k: key[k] for k in ("hostNQN", "subsystemNQN", "generation")} | {"state": sys.argv[1], "reason": sys.argv[2]} for key in keys]
print(json.dumps({"format": "nvme-keyd status", "version": 1, "pairs": pairs}))' "$2" "${3-}" >"$dir/.status" &&
        mv "$dir/.status" "$dir/status"
}
# states: how many pairs are in which state.
states() {
    keyctl_alone fleet status "${look[@]}" --json=short 2>/dev/null |
        json '" ".join(f"{k}={v}" for k, v in o["counts"].items() if v)'
}
# of PAIR MEMBER
of() { keyctl_alone fleet status "${look[@]}" --json=short 2>/dev/null | json "[p['$2'] for p in o['pairs'] if p['id'] == '$1'][0]"; }

# --- machines

run keyctl_alone fleet enrol host1.pem --place=place --no-legend
is "enrol: prints the fingerprint" "$status$out" "0$(print_of host1)"
for name in host2 host3 target1 target2; do keyctl_alone fleet enrol "$name.pem" --place=place >/dev/null; done
refused "enrol: no certificate" 3 "host1.key has no certificate of a P-256 key" keyctl_alone fleet enrol host1.key --place=place
refused "enrol: no place" 7 "cannot open the place nowhere: No such file" keyctl_alone fleet enrol host1.pem --place=nowhere
refused "issue: not approved" 5 "not approved" fleet issue --host="$(print_of host1)" --target="$(print_of target1)" --subsysnqn="$SUBSYSTEM"
refused "approve: by name needs a person" 2 "without a terminal" fleet approve "$(host_nqn host1)"
refused "approve: another fingerprint" 5 "has the fingerprint $(print_of host1)" fleet approve "$(host_nqn host1)" --fingerprint="$(print_of host2)"
refused "approve: without the key of the issuer" 2 "issuer-key= are missing" keyctl_alone fleet approve "$(print_of host1)" "${look[@]}"
refused "approve: the key of another" 3 "is not that of --issuer=" keyctl_alone fleet approve "$(print_of host1)" "${look[@]}" --issuer-key=thief.key
refused "approve: unknown machine" 4 "no machine nobody" fleet approve nobody
run fleet approve "$(host_nqn host1)" --fingerprint="$(print_of host1)"
is "approve: by name and fingerprint" "$status$err" 0
for name in host2 host3 target1 target2; do fleet approve "$(print_of "$name")" >/dev/null; done

# --- one pair

run fleet issue --host="$(host_nqn host1)" --target="$(host_nqn target1)" --subsysnqn="$SUBSYSTEM" --no-legend
is "issue" "$status$err" 0
pair=$out
like "issue: prints the ID" "$pair" '^[0-9a-f]{32}$'
envelope=machines/$(print_of host1)/envelopes/$pair
content=$(opened "place/$envelope" host1)
is "issue: the host opens it" "$(json 'o["keys"][0]["host"], o["keys"][0]["subsystemNQN"], o["keys"][0]["hostNQN"]' <<<"$content")" \
    "('$(print_of host1)', '$SUBSYSTEM', '$(host_nqn host1)')"
is "issue: the target has the same" "$(opened "place/machines/$(print_of target1)/envelopes/$pair" target1)" "$content"
secret=$(json 'o["keys"][0]["psk"].split(":")[2]' <<<"$content")
is "issue: the PSK is nowhere in the clear" "$(grep -rl -e "${secret:0:16}" "$tmp")" ""
is "issue: the description is signed" "$(openssl cms -verify -inform PEM -in "place/pairs/$pair" -certfile issuer.pem -nointern -noverify -binary 2>/dev/null | json 'o["format"], "psk" in o')" "('nvme-keyd pair', False)"
refused "issue: the pair exists" 5 "the pair exists: nvme-keyctl fleet rotate ${pair:0:12}" fleet issue --host="$(host_nqn host1)" --target="$(host_nqn target1)" --subsysnqn="$SUBSYSTEM"
refused "issue: another host NQN" 5 "the certificate of the host names the host NQN" fleet issue --host="$(host_nqn host1)" --target="$(host_nqn target1)" --subsysnqn="$SUBSYSTEM" --hostnqn="$HOST"
is "issued: waits for the target" "$(states)" "waitingForTarget=1"
report target1 active
is "then for the host" "$(states)" "waitingForHost=1"
report host1 pending
is "pending: still" "$(states)" "waitingForHost=1"
report host1 active
is "then it is done" "$(states)" "done=1"
first=$(of "$pair" generation)
for i in 1 2 3; do
    run fleet rotate "$pair" --no-block
    is "rotate $i" "$status$err$(states)" "0waitingForTarget=1"
    report target1 active
    report host1 active
done
is "rotate: done again" "$(states)" "done=1"
check "rotate: a higher generation" test "$(of "$pair" generation)" -gt "$first"
is "rotate: another PSK" "$(opened "place/$envelope" host1 | grep -c "$secret")" 0
report host1 failed "the target does not accept it"
is "a machine reports a failure" "$(of "$pair" state): $(of "$pair" reason)" "failed: the target does not accept it"
refused "rotate: nothing to go on with" 2 "no rotation is under way" fleet rotate
refused "rotate: no such pair" 4 "no pair $HOST" fleet rotate "$HOST"

# --- waves

for i in {1..9}; do
    fleet issue --host="$(host_nqn "host$((i % 3 + 1))")" --target="$(host_nqn "target$((i % 2 + 1))")" \
        --subsysnqn="$SUBSYSTEM$i" >/dev/null
done
machines=(host1 host2 host3 target1 target2)
settle() { for name in "${machines[@]}"; do report "$name" active; done; }
settle
is "ten pairs" "$(states)" "done=10"
run fleet rotate --all --max-in-flight=3 --no-block
is "waves: three at once" "$status$(states)" "0waitingForTarget=3 done=7"
run fleet rotate --max-in-flight=3 --no-block
is "waves: no more while they wait" "$status$(states)" "0waitingForTarget=3 done=7"
refused "waves: no second rotation" 5 "goes on with it" fleet rotate --all
settle
mkdir other && cp issuer.pem issuer.key other/
run env -C other "$build/nvme-keyctl" fleet rotate --place=../place --issuer=issuer.pem --issuer-key=issuer.key --percent=20 --no-block
is "waves: another machine of an administrator goes on" "$status$(states)" "0waitingForTarget=2 done=8"
settle
(
    while [ ! -e stop ]; do
        settle
        sleep 0.1
    done
) 2>/dev/null &
player=$!
defer "touch stop; wait $player"
run timeout 60 "$build/nvme-keyctl" fleet rotate "${change[@]}"
is "waves: it waits to the end" "$status$out" "010 pairs: 10 done."
touch stop
wait "$player"
is "waves: nothing is left" "$(test -e place/rotation && echo rotation)" ""
run fleet rotate --all --max-in-flight=2 --patience=1s
like "waves: pairs that nobody takes stop it" "$status$err" "^11.*has stopped: 0 failed, [12] took longer"
for name in "${machines[@]}"; do report "$name" failed "no room"; done
is "waves: failures" "$(states)" "failed=10"
run fleet rotate --max-in-flight=4 --max-failures=1 --patience=1s
like "waves: resumed, the limit of failures holds" "$status$err" "^11.*has stopped"
settle
run fleet rotate --max-in-flight=100 --no-block
settle
run fleet rotate
is "waves: then it ends" "$status$(test -e place/rotation && echo rotation)$(states)" "0done=10"

# --- attacks of whoever keeps the place

refuses() { # TEXT MESSAGE: status names the value, and the exit code says so.
    run keyctl_alone fleet status "${look[@]}"
    like "$1" "$status$err" "^3.*$2"
}
cp -a place saved
restore() { rm -rf place && cp -a saved place; }
mapfile -t ids < <(ls place/pairs)
cp "place/pairs/${ids[0]}" "place/pairs/${ids[1]}"
refuses "a pair in the place of another" "pairs/${ids[1]} is refused: the description of another pair"
restore
truncate -s 300 "place/pairs/$pair"
refuses "a truncated pair" "pairs/$pair is refused: no signed statement, or a damaged one"
restore
cat saved/pairs/"${ids[0]}" >>"place/pairs/$pair"
refuses "two statements in one" "pairs/$pair is refused: no signed statement"
restore
text=$(openssl cms -verify -inform PEM -in "place/pairs/$pair" -certfile issuer.pem -nointern -noverify -binary 2>/dev/null)
sign() { openssl cms -sign -binary -outform PEM -nocerts -nodetach -md sha256 -signer "$1.pem" -inkey "$1.key" -keyid; }
echo "${text/$(print_of host1)/$(print_of host2)}" | sign thief >"place/pairs/$pair"
refuses "signed by another issuer" "pairs/$pair is refused: signed by another issuer"
restore
echo "${text/nvme-keyd pair/nvme-keyd other}" | sign issuer >"place/pairs/$pair"
refuses "another statement of the issuer" "pairs/$pair is refused: no description of a pair"
restore
cp "place/machines/$(print_of host2)/approved" "place/machines/$(print_of host1)/approved"
refuses "the approval of another machine" "machines/$(print_of host1)/approved is refused"
run fleet rotate "$pair"
like "no PSK goes to a machine without its approval" "$status$err" "^11.*cannot rotate the pair $pair: a machine of the pair is not approved"
restore
rm "place/machines/$(print_of host1)/approved"
cp thief.pem "place/machines/$(print_of host1)/certificate"
refuses "another certificate" "machines/$(print_of host1)/certificate is refused: not the certificate of that machine"
restore
echo '{"format": "nvme-keyd status", "version": 1, "pairs": 5}' >"place/machines/$(print_of host1)/status"
refuses "a status of another form" "status is refused: no status of a machine"
restore
older=$(<"place/$envelope")
description=$(<"place/pairs/$pair")
fleet rotate "$pair" --no-block >/dev/null
echo "$older" >"place/$envelope"
like "an envelope that was put back" "$(of "$pair" state): $(of "$pair" reason)" "its envelope is missing in the place"
settle
is "the machine reports the old generation, and the pair waits" "$(of "$pair" state)" "waiting for host"
fleet rotate "$pair" --no-block >/dev/null
settle
echo "$description" >"place/pairs/$pair"
like "a pair that was put back" "$(of "$pair" state): $(of "$pair" reason)" "^failed: .*the place has been put back"
run fleet rotate "$pair" --no-block
settle
is "a new PSK is newer than all before" "$(states)" "done=10"
cp "place/machines/$(print_of target2)/envelopes/"* "place/machines/$(print_of host1)/envelopes/" 2>/dev/null
refused "the envelope of another machine does not open" 3 "sealed to other machines" keyctl_alone envelope show --issuer=issuer.pem \
    --machine-key=host1.key "$(grep -lr . "place/machines/$(print_of target2)/envelopes" | while read -r f; do [ -n "$(opened "$f" host1)" ] || echo "$f"; done | head -1)"
restore

# --- the end of a pair, and of a machine

run fleet end "$pair" --no-legend
is "end" "$status$out" "0$pair"
is "end: a tombstone" "$(opened "place/$envelope" host1 | json 'o["keys"][0].get("psk"), o["keys"][0]["tombstone"]')" "(None, True)"
settle
is "end: both have removed it" "$(states)" "done=9 ended=1"
refused "end: it is not rotated" 5 "the pair has ended: nvme-keyctl fleet issue" fleet rotate "$pair"
run fleet issue --host="$(host_nqn host1)" --target="$(host_nqn target1)" --subsysnqn="$SUBSYSTEM" --no-legend
is "end: the pair can be made again" "$status$out$err" "0$pair"
settle
run fleet revoke "$(print_of host1)"
like "revoke" "$status$out" "^0Ended 4 pairs."
is "revoke: no approval, and a revocation" "$(cd "place/machines/$(print_of host1)" && ls -d approved revoked 2>/dev/null)" "revoked"
is "revoke: no envelope is left there" "$(ls "place/machines/$(print_of host1)/envelopes")" ""
is "revoke: the other end gets a tombstone" "$(opened "place/machines/$(print_of target1)/envelopes/$pair" target1 | json 'o["keys"][0]["tombstone"]')" "True"
is "revoke: the tombstone is sealed to the other end alone" "$(opened "place/machines/$(print_of target1)/envelopes/$pair" host1)" ""
is "revoke: the pairs wait for the other end alone" "$(states)" "waitingForTarget=4 done=6"
settle 2>/dev/null
is "revoke: then they have ended" "$(states)" "done=6 ended=4"
run fleet revoke "$(print_of host1)"
is "revoke: twice is once" "$status$(states)" "0done=6 ended=4"
refused "revoke: for good" 5 "is revoked, for good" fleet approve "$(print_of host1)"
refused "revoke: no new pair" 5 "is revoked" fleet issue --host="$(host_nqn host1)" --target="$(host_nqn target1)" --subsysnqn="$SUBSYSTEM"
restore
rm "place/machines/$(print_of host1)/approved"
echo rubbish >"place/machines/$(print_of host1)/revoked"
run keyctl_alone fleet status "${look[@]}" --json=short
is "a revocation that cannot be read counts" "$status$(json '[m["state"] for m in o["machines"] if m["fingerprint"] == "'"$(print_of host1)"'"]' <<<"$out")" "3['revoked']"
restore

# --- what people see

run keyctl_alone fleet status "${look[@]}" --watch
like "status: a table" "$status$out" "^0.*PAIR +STATE +HOST.*MACHINE +STATE +NAME.*10 pairs: 10 done"
refused "status: without the issuer" 2 "issuer= is missing" keyctl_alone fleet status --place=place
run keyctl_alone --json=short fleet status "${look[@]}"
is "options may come first" "$status$(json 'len(o["pairs"])' <<<"$out")" 010
refused "a value of its own comes first" 2 "options of fleet follow it" keyctl_alone --json short fleet status
is "nothing of us is left aside" "$(find place -name '.new*')" ""
finish
