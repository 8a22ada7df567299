#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# Authentic records, of which docs/CREDSTORE.md says whether their metadata are sound: the daemon and
# read-store.py, which was written from that page, both say the same.
. "$(dirname "$0")/lib.sh"

readonly DIGEST_32=AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09o=
readonly DIGEST_48=AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09rh6O/2/QQLEhkgJy41PENK
readonly LARGEST=9223372036854775807 TOO_LARGE=9223372036854775808
readonly META='{"kind":"configured","hostNQN":"'$HOST'","subsystemNQN":"nqn.2026-11.org.example:N","role":"both","state":"retiring","hash":"sha256","derivation":"rfc8446","identityVersions":[1],"created":1,"changed":2,"digest":"'$DIGEST_32'","deadline":'$LARGEST',"step":"revoke","planned":5,"unsynchronized":true,"succeeds":"0123456789abcdef","confirmed":6,"follow":true,"expires":7,"rotateAfter":8,"comment":"text"}'
readonly DERIVED=${META/configured/derived}

texts=() metas=() verdicts=()
# name NUMBER: of one length, because no name of a subsystem may begin with another.
name() { echo "nqn.2026-11.org.example:$((1000 + $1))"; }
# of VERDICT TEXT META
of() {
    metas+=("${3/nqn.2026-11.org.example:N/"$(name "${#texts[@]}")"}")
    verdicts+=("$1") texts+=("$2")
}
# sound OLD NEW and broken OLD NEW: META with a part replaced.
sound() { replace sound "$@"; }
broken() { replace broken "$@"; }
replace() {
    [[ $META == *"$2"* ]] || bail "$2 is not in the metadata"
    local new=${3:0:60}
    of "$1" "${new@Q} for $2" "${META/"$2"/"$3"}"
}

of sound "all members" "$META"
sound retiring pending
sound retiring active
sound retiring revoked
sound both host
sound both target
sound sha256 none
sound sha256 sha384
sound rfc8446 lastfrag
sound '[1]' '[0]'
sound '[1]' '[0,1]'
sound :1, :0,
sound :2, ":$LARGEST,"
sound "$LARGEST" 1
sound "\"deadline\":$LARGEST,\"step\":\"revoke\",\"planned\":5,\"unsynchronized\":true," ""
sound '"unsynchronized":true,' ""
sound '"step":"revoke","planned":5,' ""
sound '"step":"revoke"' '"step":"activate"'
sound '"step":"revoke"' '"step":"retire"'
sound revoke remove
sound :5, :0,
sound :5, ":$LARGEST,"
sound '"succeeds":"0123456789abcdef",' ""
sound 0123456789abcdef 0000000000000000
sound ',"confirmed":6' ""
sound :6, :1,
sound ',"follow":true' ""
sound ',"expires":7' ""
sound ',"rotateAfter":8' ""
sound :7, ":$LARGEST,"
sound ',"comment":"text"' ""
sound "$DIGEST_32" "$DIGEST_48"
sound text ""
sound text $'\u00fc\u20ac\U1f511/\x7f'
sound text '\"\\\b\t\n\f\r\u0001\u001f'
for value in nqn.a nqn. iqn.2026 a; do
    sound "$HOST" "$value"
done
sound "$HOST" "nqn.$(printf '!~%.0s' {1..109})x"

broken configured nonsense
broken '"configured"' null
broken retiring broken
broken '"retiring"' '["retiring"]'
broken both hosts
broken sha256 sha512
broken rfc8446 ""
broken '[1]' '[]'
broken '[1]' '[1,0]'
broken '[1]' '[2]'
broken '[1]' '[true]'
broken '[1]' '[1.0]'
broken '[1]' 1
for value in -1 -0 -1.5 1.0 1e1 NaN Infinity -Infinity true null '"1"' 01 "$TOO_LARGE"; do
    broken :1, ":$value,"
    broken :2, ":$value,"
    broken "$LARGEST" "$value"
    broken :5, ":$value,"
    broken :6, ":$value,"
    broken :7, ":$value,"
done
broken :6, :0,
broken :7, :0,
broken "\"deadline\":$LARGEST," ""
broken '"step":"revoke",' ""
broken '"planned":5,' ""
broken "\"deadline\":$LARGEST,\"step\":\"revoke\",\"planned\":5," ""
broken '"revoke","planned":5' '"remove","planned":2'
broken '"revoke"' '"rotate"'
broken '"revoke"' '""'
broken '"revoke"' 1
for value in '""' '"0123456789abcde"' '"0123456789abcdef0"' '"0123456789abcdeF"' null 1; do
    broken '"0123456789abcdef"' "$value"
done
for value in false null 1 '"true"'; do
    broken '"follow":true' "\"follow\":$value"
    broken '"unsynchronized":true' "\"unsynchronized\":$value"
done
broken "$LARGEST" 0
for value in '' 'nqn.a b' 'nqn.a;b' 'nqn.a\u0000' $'nqn.\u00fc' 'nqn.a\u0062' "nqn.$(printf '!~%.0s' {1..110})"; do
    broken "$HOST" "$value"
    broken nqn.2026-11.org.example:N "$value"
done
broken "\"$HOST\"" 7
broken ",\"digest\":\"$DIGEST_32\"" ""
broken "$DIGEST_32" ""
broken "$DIGEST_32" VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWw==
broken "$DIGEST_32" "${DIGEST_32/o=/p=}"
broken "$DIGEST_32" "${DIGEST_32/09o=/ o=}"
broken "$DIGEST_32" "${DIGEST_48}AAAA"
broken "\"$DIGEST_32\"" null
broken text 'a\u0000'
broken text '\u001F'
broken text '\u000a'
broken text '\/'
broken text $'\x01'
broken text $'\xc3'
broken text $'\xed\xa0\x80'
broken text '\ud83d\udd11'
broken text '\ud83d'
broken '"text"' null
broken '"text"' 5
broken '"text"' "$(printf '[%.0s' {1..6000})$(printf ']%.0s' {1..6000})"
broken '"created":1' '"created":1,"created":1'
broken '"created":1,' ""
broken '"created":1,"changed":2' '"changed":2,"created":1'
broken '}' ',"other":1}'
broken ,\"role ', "role'

# A deadline without a step is for a retiring key.
for word in pending active revoked; do
    without=${META/'"step":"revoke","planned":5,'/}
    of broken "a deadline without a step: $word" "${without/retiring/$word}"
done

# derived VERDICT HASH VERSIONS DIGEST
derived() {
    local meta=${DERIVED/sha256/"$2"}
    of "$1" "a derived key: $2 $3 ${4:0:7}... (${#4})" \
        "$(sed -e "s|\[1\]|$3|" -e "s|,\"digest\":\"[^\"]*\"|${4:+,\"digest\":\"$4\"}|" <<<"$meta")"
}
derived sound sha256 '[1]' "$DIGEST_32"
derived sound sha384 '[1]' "$DIGEST_48"
derived sound sha256 '[0]' ""
derived broken none '[0]' ""
derived broken none '[1]' "$DIGEST_32"
derived broken sha384 '[1]' "$DIGEST_32"
derived broken sha256 '[1]' "$DIGEST_48"
derived broken sha256 '[1]' ""
derived broken sha256 '[0]' "$DIGEST_32"
derived broken sha256 '[0,1]' "$DIGEST_32"
derived broken sha256 '[0,1]' ""

# --- one record of each

# The ring is left alone: the secrets are not those of all these metadata.
printf '[Keyring]\nStandIn=no\n' >"$conf"
! grep -q ' keyring *\.nvme: ' /proc/keys || skip_all "this kernel has .nvme"
psk=$(psk one)
for i in "${!texts[@]}"; do
    echo "$HOST $(name "$i") $psk"
done >"$tmp/keys"
chmod 600 "$tmp/keys"
daemon_start
run ctl import "$tmp/keys"
[ "$status" -eq 0 ] || bail "import: $err"
daemon_stop
reader() { "$python" "$source/tests/integration/read-store.py" "$@" "$state"; }
key=$(reader --show-keys | sed -n 's/^key //p')
declare -A id
while read -r i at; do
    id[$((at - 1000))]=$i
done < <(sed -n 's/^{"id":"\([0-9a-f]*\)".*org\.example:\([0-9]*\)".*/\1 \2/p' "$state/store")
for i in "${!texts[@]}"; do
    printf '%s %s\n' "${id[$i]}" "${metas[$i]}"
done | edit_store meta "$key" || bail "edit-store.py"

declare -A by_daemon by_reader
daemon_start
while read -r i verdict; do
    by_daemon[$i]=$verdict
done < <(ctl list --json=short | "$python" -c 'import json, sys
for key in json.load(sys.stdin)["keys"]:
    print(key["id"], "broken" if key["state"] == "broken" else "sound")')
daemon_stop
while read -r i verdict; do
    by_reader[$i]=$verdict
done < <(reader | "$python" -c 'import json, sys
for record in map(json.loads, sys.stdin):
    print(record["id"], "broken" if "error" in record else "sound")')

for i in "${!texts[@]}"; do
    is "${verdicts[$i]}: ${texts[$i]}" "daemon: ${by_daemon[${id[$i]}]-none}, reader: ${by_reader[${id[$i]}]-none}" \
        "daemon: ${verdicts[$i]}, reader: ${verdicts[$i]}"
done
finish
