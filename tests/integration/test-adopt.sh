#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# nvme-keyctl adopt, and import --from-keyring: keys of other programs in the keyring become keys of the store,
# and stay in the keyring all the while.
. "$(dirname "$0")/lib.sh"

readonly digest=iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU= other_digest=66GuqV08TsAGII39teWUfwQwizjv06Jy8jOcX3NAAzM=
readonly pair="$HOST $SUBSYSTEM" psk=0123456789abcdef0123456789abcdef other_psk=fedcba9876543210fedcba9876543210

# put IDENTITY PSK: as another program does; prints the serial as the kernel counts it.
put() { printf %s "$2" | keyctl padd user "$1" "$(ring)"; }
hex() { printf '%08x' "$1"; }
bytes() { keyctl pipe "$1"; }
# serial_of BEGINNING: of the key in the keyring whose description begins with it.
serial_of() {
    local s
    for s in $(keyctl rlist "$(ring)"); do
        [[ $(keyctl rdescribe "$s" 2>/dev/null | cut -d ';' -f 5-) != "$1"* ]] || echo "$s"
    done
}
# report EXPRESSION: of the last call, whose answer is in $tmp/report.
report() { json "$1" <"$tmp/report"; }
# check_exit TEXT STATUS COMMAND...
check_exit() {
    local text=$1 expected=$2
    shift 2
    run "$@"
    is "$text" "$status" "$expected"
}
count() { ctl status --json=short | json 'o["keys"]'; }

daemon_start
ctl sync
keyctl link "$(ring)" @s

check_exit "nothing is said of what to adopt" 2 ctl adopt
check_exit "not all and one" 2 ctl adopt --all 12345678
check_exit "no serial, id or identity" 2 ctl adopt something
check_exit "no such key" 4 ctl adopt 7ffffff0
check "an empty keyring" ctl adopt --all
is "makes no store" "$(ctl status | grep -c 'Store: absent')" 1

# --- the pair has no key

theirs=$(put "NVMe1R01 $pair $digest" $psk)
put "NVMe1G01 $pair $digest" $psk >/dev/null
put "NVMe1R01 $pair nonsense" $psk >/dev/null
keyctl newring "DHHC-1" "$(ring)" >/dev/null
out=$(ctl adopt --all --dry-run 2>"$tmp/err")
like "--dry-run: names the key" "$out" "$(hex "$theirs") adopted +host +- +NVMe1R01 $pair"
like "and the sum" "$out" "1 to adopt, 0 unchanged, 0 refused, 3 skipped"
like "the generated key is named" "$(cat "$tmp/err")" "would not be adopted: the kernel has generated it"
like "and the malformed one" "$(cat "$tmp/err")" "would not be adopted: not an identity"
like "and the one of another type" "$(cat "$tmp/err")" "would not be adopted: it is no key for TLS"
is "and no store is made" "$(ctl status | grep -c 'Store: absent')" 1
check_exit "a generated key by its serial" 3 ctl adopt "NVMe1G01 $pair $digest"

check "adopt --all" eval 'ctl adopt --all --json=short >"$tmp/report" 2>"$tmp/err"'
is "--json: one was added" "$(report 'o["added"], o["unchanged"], o["refused"], o["skipped"], o["unpublished"]')" "(1, 0, 0, 3, 0)"
like "which has made the store" "$(cat "$tmp/err")" "store"
id=$(report '[k["id"] for k in o["keys"] if k["verdict"] == "adopted"][0]')
is "list has it, with its serial" "$(ctl list --json=short | json '[(k["id"], k["kind"], k["identities"][0]["serial"]) for k in o["keys"]]')" "[('$id', 'derived', $theirs)]"
is "the key in the keyring is the same" "$(bytes "$theirs")" "$psk"
is "no key was added to the keyring" "$(keyctl rlist "$(ring)" | wc -w)" 4
check "the log has it" grep -q "Key $id for host $HOST and subsystem $SUBSYSTEM adopted from the keyring by uid 0" "$log"
is "no PSK is in the log" "$(grep -c $psk "$log")" 0
is "the file of the store does not have it" "$(grep -c $psk "$state/store")" 0

# --- the store is the source from now on

daemon_stop
keyctl clear "$(ring)"
daemon_start
ctl sync
back=$(serial_of "NVMe1R01 $pair $digest")
is "after a boot it is published from the store" "$(bytes "$back")" "$psk"

# --- ours, and the same digest

check "nothing to do" eval 'ctl adopt "$id" >"$tmp/out" 2>"$tmp/err"'
is "by the id: no key beside it" "$(cat "$tmp/out")" "0 adopted, 0 unchanged, 0 refused, 0 skipped"
like "by the serial: unchanged" "$(ctl adopt "$(hex "$back")")" "unchanged +- +$id"
like "by the decimal serial" "$(ctl adopt "$back")" "unchanged +- +$id"
is "still one key" "$(count)" 1

# --- ours, and another digest

second=$(put "NVMe1R01 $pair $other_digest" $other_psk)
check_exit "a second key of the pair: refused" 5 ctl adopt "0x$(hex "$second")"
like "both are shown" "$(ctl adopt "$id" 2>&1)" "key $id \(fingerprint ${digest:0:12}\).*this one \(fingerprint ${other_digest:0:12}\)"
is "import --from-keyring refuses it as well" "$(ctl import --from-keyring 2>/dev/null | tail -n 1)" "0 adopted, 0 unchanged, 1 refused, 0 skipped"
is "nothing has changed" "$(count) $(bytes "$back")" "1 $psk"
# Samples the keyring as fast as it can: the pair must have a key at each moment.
touch "$tmp/sampling"
while [ -e "$tmp/sampling" ]; do
    keyctl list "$(ring)" 2>/dev/null | grep -q "NVMe1R01 $pair " || echo gap
done >"$tmp/gaps" &
sampler=$!
check "--force: replaces ours" ctl adopt --force --subsysnqn=$SUBSYSTEM --hostnqn="$HOST"
rm "$tmp/sampling"
wait $sampler
is "without a gap" "$(cat "$tmp/gaps")" ""
is "the store has both" "$(ctl list --json=short | json 'sorted(k["state"] for k in o["keys"])')" "['active', 'retiring']"
is "the keyring only theirs, the same key" "$(serial_of "NVMe1R01 $pair ")" "$second"
new=$(ctl list --json=short | json '[k["id"] for k in o["keys"] if k["state"] == "active"][0]')
is "which succeeds ours" "$(ctl show "$new" --json=short | json 'o["key"]["succeeds"]')" "$id"
check "rotate --revert goes back" ctl activate --force "$id"
is "to our bytes" "$(bytes "$(serial_of "NVMe1R01 $pair ")")" "$psk"

# --- the role

theirs=$(put "NVMe1R01 $HOST nqn.2026-11.org.example:t $digest" $psk)
ctl adopt --role=target "$(hex "$theirs")" --json=short >"$tmp/report"
is "--role=" "$(report '[k["role"] for k in o["keys"]]')" "['target']"
check_exit "--from-keyring takes no file" 2 ctl import --from-keyring "$tmp/report"
check_exit "nor versions" 2 ctl import --from-keyring --identity-version=0

finish
