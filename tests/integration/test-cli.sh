#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# Every verb of nvme-keyctl: its output, and the line that it prints for each kind of failure.
. "$(dirname "$0")/lib.sh"

unset NO_COLOR SYSTEMD_COLORS
daemon_start

# --- without a key

run ctl
is "list is the default verb" "$status" 0
like "list: nothing there" "$out" "0 keys listed\.$"
run ctl list --json=short
is "list: nothing there, JSON" "$out" '{"keys":[]}'
run ctl list --no-legend
is "list: nothing there, no legend" "$out" ""
run ctl status
like "status: no store yet" "$out" "Store: absent"
like "status: the stand-in" "$out" "Keyring: nvme-keyd-stand-in"
run ctl sync
is "sync: nothing to do" "$out" "0 right, 0 added, 0 removed"
check "no store is made by looking" test ! -e "$state/store"
long=nqn.$(printf 'x%.0s' {1..219})
refused_with "first use: add is refused" 3 "too long for identity version 0" "$(psk one)" \
    ctl add --hostnqn="$long" --subsysnqn="${long%x}" --identity-version=0
refused_with "first use: rotate is refused" 4 "no key has the id" "$(psk one)" ctl rotate 0000000000000000
refused "first use: generate is refused" 3 "seem to be swapped" ctl generate --hostnqn="$SUBSYSTEM" --subsysnqn="$HOST"
check "no store is made by what is refused" test ! -e "$state/store"

# --- add

id=$(add one a)
like "add prints the id" "$id" '^[0-9a-f]{16}$'
run ctl list --no-legend
like "list: the key" "$out" "^$id active host [0-9a-f]{8} $HOST $SUBSYSTEM 1 [A-Za-z0-9+/]{12}$"
run ctl list
like "list: one key" "$out" "1 key listed\.$"
is "list: JSON" "$(ctl list --json=short | json '[k["id"] for k in o["keys"]] + [o["keys"][0]["state"]]')" "['$id', 'active']"
is "list: pretty JSON is the same" "$(ctl -j list | json o)" "$(ctl --json=short list | json o)"
check "list: pretty JSON has lines" test "$(ctl --json=pretty list | wc -l)" -gt 10
identity=$(ring_names)
like "add publishes" "$identity" "^NVMe1R01 $HOST $SUBSYSTEM [A-Za-z0-9+/]{43}=$"

run ctl show "$id"
like "show: ID" "$out" " ID: $id"
is "show: each line has a label" "$(grep -cvE '^ *[A-Z][A-Za-z ]+: [^ ]' <<<"$out")" 0
like "show: identity" "$out" "Identity: NVMe1R01 $HOST $SUBSYSTEM [^ ]+="$'\n'" +Key serial: [0-9a-f]{8}"
is "show: JSON" "$(ctl show "$id" --json=short | json 'o["key"]["identities"][0]["identity"]')" "$identity"

two=$(add two t --role=target --comment="a shelf" --derivation=compat)
is "add: target" "$(ctl show "$two" --json=short | json 'o["key"]["role"], o["key"]["identityVersions"], o["key"]["comment"], o["key"]["derivation"]')" \
    "('target', [0, 1], 'a shelf', 'compat')"
three=$(psk three 2 | ctl add --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:b --identity-version=0,1 --role=both --json=short | json 'o["key"]["id"]')
is "add: SHA-384" "$(ctl show "$three" --json=short | json 'o["key"]["hash"]')" sha384
psk four >"$tmp/psk"
chmod 600 "$tmp/psk"
run ctl add --subsysnqn=nqn.2026-11.org.example:c --hostnqn="$HOST" --key-file="$tmp/psk"
is "add: from a file" "$status$err" 0
four=$out
chmod 644 "$tmp/psk"
run ctl add --subsysnqn=nqn.2026-11.org.example:d --hostnqn="$HOST" --key-file="$tmp/psk"
like "add: from a file others can read" "$status$err" "^0nvme-keyctl: warning: other users can read $tmp/psk \(mode 0644\)$"
run ctl add --subsysnqn=nqn.2026-11.org.example:e --hostnqn="$HOST" --key-file=- <<<"  $(psk five)	"
is "add: white space around it" "$status$err" 0

# --- generate and rotate

run ctl generate --subsysnqn=nqn.2026-11.org.example:g --hostnqn="$HOST" --hmac=sha384 --print-key
like "generate: prints the key" "$out" $'^[0-9a-f]{16}\nNVMeTLSkey-1:02:[A-Za-z0-9+/]{70}==:$|^[0-9a-f]{16}\nNVMeTLSkey-1:02:[A-Za-z0-9+/=]{72}:$'
made=${out%%$'\n'*}
run ctl generate --subsysnqn=nqn.2026-11.org.example:h --hostnqn="$HOST"
like "generate: keeps it to itself" "$out" '^[0-9a-f]{16}$'
run ctl rotate "$made" --generate --print-key --force --json=short
is "rotate: JSON" "$(json 'o["psk"][:16]' <<<"$out")" NVMeTLSkey-1:02:
run ctl show "$made"
like "rotate: the old one is kept" "$out" 'State: +retiring'
run ctl rotate "$two" <<<"$(psk six)"
new=$out
is "rotate: target" "$(ctl list --json=short | json "sorted(k['state'] for k in o['keys'] if k['id'] in ('$two', '$new'))")" "['active', 'retiring']"
check "rotate: the old one has a deadline" test "$(ctl show "$two" --json=short | json '"deadline" in o["key"]')" = True
is "rotate: the comment stays" "$(ctl show "$new" --json=short | json 'o["key"]["comment"]')" "a shelf"

# The printed lines, saved as they are, can be read as a key file.
run ctl generate --subsysnqn=nqn.2026-11.org.example:saved --hostnqn="$HOST" --print-key
saved=${out%%$'\n'*}
printf '%s\r\n' "${out%%$'\n'*}" "${out#*$'\n'}" >"$tmp/saved"
chmod 600 "$tmp/saved"
is "generate: the output it printed is a key file" \
    "$("$build/nvme-keyctl" identity --no-legend --subsysnqn=nqn.2026-11.org.example:saved --hostnqn="$HOST" --key-file="$tmp/saved" | grep -cF "$(ctl show "$saved" --json=short | json 'o["key"]["identities"][0]["identity"]')")" 1
check "generate: the saved key is removed again" ctl remove "$saved"

# --- remove, sync, status

run ctl remove "$new"
like "remove: says what went" "$status$out$err" "^0Removed the active key $new of host $HOST and subsystem nqn.2026-11.org.example:t\\.$"
run ctl remove "$two" --json=short
is "remove: JSON" "$(json 'o["key"]["id"], o["key"]["state"]' <<<"$out")" "('$two', 'retiring')"
keyctl unlink "$(keyctl rlist "$(ring)" | cut -d ' ' -f 1)" "$(ring)" >/dev/null
run ctl sync
like "sync: adds what is missing" "$out" "^[0-9]+ right, 1 added, 0 removed$"
is "sync: JSON" "$(ctl sync --json=short | json 'o["added"], o["removed"], o["failed"]')" "(0, 0, 0)"
is "sync: no legend" "$(ctl sync --no-legend)" ""
run ctl status
like "status: all is there" "$out" $'Store: open\n +Sealed by: systemd-creds \(opened it\)\n.*Published: ([0-9]+) of \\1 identities$|Published: [0-9]+ of [0-9]+ identities$'
is "status: JSON" "$(ctl status --json=short | json 'o["published"] == o["identities"], o["broken"], o["store"]["state"]')" "(True, 0, 'open')"

run ctl status --check
like "status --check: all is well" "$status $out" "^0 OK: [0-9]+ keys, ([0-9]+) of [0-9]+ identities in the keyring, 1 put back \(the last one was unlinked\)$"
keyctl unlink "$(keyctl rlist "$(ring)" | cut -d ' ' -f 1)" "$(ring)" >/dev/null
run ctl status --check
is "status --check: a key is missing" "$status $out$err" "10 CRITICAL: 1 keys are not in the keyring"
run ctl status --check --json=short
is "status --check: JSON, and the same exit status" "$status $(json 'o["missing"]' <<<"$out")" "10 1"
check "status --check: and right again" ctl sync --no-legend

# --- identity, without the daemon

run "$build/nvme-keyctl" --socket=/nonexistent identity --subsysnqn="$SUBSYSTEM" --hostnqn="$HOST" <<<"$(psk one)"
check "identity: prints the identity that is in the keyring" grep -qxF "1       rfc8446    sha256 $identity" <<<"$out"
is "identity: JSON" "$("$build/nvme-keyctl" identity --json=short --subsysnqn="$SUBSYSTEM" --hostnqn="$HOST" <<<"$(psk one)" | json 'len(o["identities"])')" 6
# The peer of SPDK issue 3838: libnvme 1.15 with an old OpenSSL.
field=(identity --no-legend --hostnqn=nqn.2024-09.io.spdk:host1 --subsysnqn=nqn.2024-09.io.spdk:store0)
digest=wGn99WcFtlTmqjHibRkkUXiY5QB1YrbsNQ6lumhbmGg=
psk=NVMeTLSkey-1:01:nzocTnstb4CRo8Xn2bHwJGyOGjtdf5wOKkttjxw+WgdVgcZb:
is "identity --match=: the derivation of a peer" "$("$build/nvme-keyctl" "${field[@]}" --match="$digest" <<<"$psk")" \
    "1 lastfrag sha256 NVMe1R01 nqn.2024-09.io.spdk:host1 nqn.2024-09.io.spdk:store0 $digest"
like "identity --match=: the beginning is enough" "$("$build/nvme-keyctl" "${field[@]}" --match="${digest:0:8}" <<<"$psk")" \
    "^1 lastfrag sha256 NVMe1R01 "
like "identity --match=: another PSK" \
    "$("$build/nvme-keyctl" "${field[@]}" --match="$digest" <<<"$(psk one)" 2>&1)" "no derivation, version or hash of this PSK"
refused "identity --match=: too short" 2 "at least 8 characters" ctl "${field[@]}" --match=wGn

# --- help and usage

for option in --help -h help; do
    run "$build/nvme-keyctl" "$option"
    check "$option: every verb" test "$(grep -cE '^  (list|show|add|generate|rotate|remove|sync|status|identity) ' <<<"$out")" -eq 9
done
for words in "help remove" "remove --help" "--help remove"; do
    # shellcheck disable=SC2086 # words
    run "$build/nvme-keyctl" $words
    like "$words: usage and options" "$status$out" "^0nvme-keyctl remove \[OPTIONS\] ID.*--at=TIME"
    is "$words: not the options of others" "$(grep -c -e --tpm2-pcrs <<<"$out")" 0
done
is "help: a group" "$("$build/nvme-keyctl" help slot | grep -c '^nvme-keyctl slot ')" 5
like "--version" "$("$build/nvme-keyctl" --version)" '^nvme-keyctl [0-9]'
refused "an unknown verb" 2 "unknown command, see nvme-keyctl help$" ctl frobnicate
refused "an unknown verb: two letters swapped" 2 "did you mean list\\?" ctl lsit
refused "an unknown verb: of two words" 2 "did you mean slot remove\\?" ctl slot remvoe
refused "an unknown verb: half of one" 2 "slot needs one of its commands, see nvme-keyctl help slot" ctl slot
refused "an unknown verb: in help" 2 "did you mean rotate\\?" ctl help rotat
refused "an unknown verb: a long word" 2 "unknown command, see nvme-keyctl help$" ctl "$(printf 'list%.0s' {1..20})"
refused "an unknown option: one letter missing" 2 "did you mean --subsysnqn\\?" ctl add --subsynqn=x
refused "an unknown option" 2 "" ctl list --nonsense
no_word() {
    local text=$1
    shift
    refused "a secret as a word: $text" 2 "^nvme-keyctl: the command line holds a secret, which [^+/=]*: stop using it, and pass another one by [^+/=]*--key-file= or the prompt$" "$@"
}
recovery=$(printf 'ABCD0-%.0s' {1..13})
no_word "an unknown option" ctl add --psk="$(psk one)"
no_word "after the verb" ctl add "$(psk one)"
no_word "a secret of another kind" ctl add "DHHC-1:00:${id}${id}${id}:"
no_word "a file" ctl add --subsysnqn=nqn.2026-11.org.example:z --hostnqn="$HOST" --key-file="$(psk one)"
no_word "a comment" ctl add --subsysnqn=nqn.2026-11.org.example:z --hostnqn="$HOST" --comment="its PSK is $(psk one)"
no_word "an id" ctl rotate "$(psk one)" --generate
no_word "a key file" ctl import "$(psk one)"
no_word "a recovery key" ctl slot unlock "${recovery%-}"
refused "too many words" 2 "unexpected argument after add: pass a secret by standard input, --key-file= or the prompt$" ctl add x
refused "an option of another verb" 2 "list does not take --force, see nvme-keyctl help list" ctl list --force
refused "a missing id" 2 "show needs ID" ctl show
refused "two ids" 2 "unexpected argument after remove ID$" ctl remove "$id" "$id"
refused "--json= of no mode" 2 "--json= must be off, short or pretty" ctl list --json=yaml
refused "--role= of none" 2 "--role= must be host, target or both" ctl add --role=client
refused "--hmac= of none" 2 "--hmac= must be sha256, sha384 or none" ctl generate --hmac=md5
refused "--derivation= of none" 2 "--derivation= must be rfc8446, compat or lastfrag$" ctl add --derivation=tls12
for versions in 2 "" 0,2 01 "0," ,1 "0 1"; do
    refused_with "--identity-version=\"$versions\"" 2 "--identity-version= must be 0, 1 or 0,1" "$(psk one)" \
        ctl add --subsysnqn=nqn.2026-11.org.example:z --hostnqn="$HOST" --identity-version="$versions"
done
for twice in --subsysnqn=nqn.a:b --hostnqn=nqn.a:c --role=host --comment=x --key-file=/nonexistent --force --json=short; do
    refused "given twice: $twice" 2 "^nvme-keyctl: ${twice%%=*} was given twice$" ctl add "$twice" "$twice"
done
refused "given twice: -j and --json=" 2 "json was given twice" ctl -j list --json=short
refused "--subsysnqn= is missing" 2 "--subsysnqn= is missing" ctl add --hostnqn="$HOST"
refused "--print-key without --generate" 2 "needs --generate" ctl rotate "$id" --print-key
refused "--generate with --key-file=" 2 "exclude each other" ctl rotate "$id" --generate --key-file=-

# --- bad PSKs

# no_psk TEXT REGEX INPUT
no_psk() {
    refused_with "PSK: $1" 3 "^nvme-keyctl: $2" "$3" ctl add --subsysnqn=nqn.2026-11.org.example:z --hostnqn="$HOST"
}
good=$(psk one)
no_psk "nothing" "standard input holds no PSK|not a PSK: prefix" ""
no_psk "of another kind" "not a PSK: prefix" "DHHC-1:01:${good:16}"
no_psk "of another version" "not a PSK: prefix" "NVMeTLSkey-2:01:${good:16}"
no_psk "an unknown hash" "not a PSK: hash" "NVMeTLSkey-1:03:${good:16}"
no_psk "no number as hash" "not a PSK: hash" "NVMeTLSkey-1:xx:${good:16}"
no_psk "without the last colon" "not a PSK: (length|colon)" "${good%:}"
no_psk "another character than the last colon" "not a PSK: colon" "${good%:};"
no_psk "too short" "not a PSK: length" "${good:0:40}:"
no_psk "no Base64" "not a PSK: base64" "${good:0:20}!${good:21}"
[ "${good:20:1}" = A ] && other=B || other=A
no_psk "a character mistyped" "not a PSK: CRC" "${good:0:20}$other${good:21}"
no_psk "a hash of another size" "not a PSK: length: hash 02 takes|not a PSK: length: hash 01 takes" "NVMeTLSkey-1:02:${good:16}"
no_psk "two lines" "not a PSK: more than one word: .* without a second line" "$good"$'\n'"$good"
no_psk "a comment after it" "not a PSK: more than one word" "$good # of disk1"
no_psk "a byte order mark" "not a PSK: a byte order mark stands at the beginning" $'\xef\xbb\xbf'"$good"
no_psk "quotes" "not a PSK: quotes stand around it" "\"$good\""
no_psk "an id that is none" "not a PSK: prefix" "${id}0"$'\n'"$good"
no_psk "longer than any" "standard input is too long for a PSK" "$(printf 'x%.0s' {1..5000})"
refused "PSK: no such file" 3 "cannot open /nonexistent: No such file" \
    ctl add --subsysnqn=nqn.2026-11.org.example:z --hostnqn="$HOST" --key-file=/nonexistent
refused "PSK: a directory" 1 "cannot read the PSK from /" \
    ctl add --subsysnqn=nqn.2026-11.org.example:z --hostnqn="$HOST" --key-file=/
no_psk "the message shows no part of it" "[^:]*: [^+/]*$" "${good:0:20}!${good:21}"
refused_with "rotate: not a PSK" 3 "not a PSK: CRC" "${good:0:20}$other${good:21}" ctl rotate "$id"
refused_with "rotate: to the same PSK" 3 "the new PSK is the one that key $id has already" "$good" ctl rotate "$id"
refused_with "identity: not a PSK" 3 "not a PSK: CRC" "${good:0:20}$other${good:21}" \
    ctl identity --subsysnqn="$SUBSYSTEM" --hostnqn="$HOST"

# --- bad names

# no_nqn TEXT REGEX HOSTNQN SUBSYSNQN
no_nqn() {
    refused_with "NQN: $1" 3 "^nvme-keyctl: $2" "$good" ctl add --hostnqn="$3" --subsysnqn="$4"
}
no_nqn "empty" 'subsystem NQN "" is too short' "$HOST" ""
no_nqn "only the prefix" 'subsystem NQN "nqn." is too short' "$HOST" nqn.
no_nqn "another prefix" 'host NQN does not begin with "nqn." \(character 1\)' iqn.2026 "$SUBSYSTEM"
run ctl add --force --hostnqn=hostnqn --subsysnqn=blktests-subsystem-1 <<<"$good"
is "NQN: another prefix, forced" "$status$err" 0
check "NQN: another prefix, forced: it is there" ctl remove "$out"
like "identity: of names without nqn." "$("$build/nvme-keyctl" identity --hostnqn=x --subsysnqn=y <<<"$good")" "NVMe1R01 x y "
no_nqn "a blank" 'subsystem NQN has a blank \(0x20\) at character 6' "$HOST" "nqn.a b"
no_nqn "a semicolon" "host NQN has ';' at character 7" "nqn.ab;c" "$SUBSYSTEM"
no_nqn "a newline" 'subsystem NQN has a byte \(0x0a\) at character 6' "$HOST" nqn.a$'\n'
no_nqn "not ASCII" 'host NQN has a byte \(0xc3\) at character 6' nqn.aä "$SUBSYSTEM"
no_nqn "too long" 'subsystem NQN has 224 characters, at most 223 are allowed' "$HOST" "nqn.$(printf 'x%.0s' {1..220})"
long=nqn.$(printf 'x%.0s' {1..219})
refused_with "NQN: too long for version 0" 3 "too long for identity version 0" "$good" \
    ctl add --hostnqn="$long" --subsysnqn="${long%x}" --identity-version=0
run ctl add --role=target --hostnqn="$long" --subsysnqn="${long%x}" <<<"$good"
is "NQN: too long for version 0, on a target: a line says that it accepts version 1 only" "$status $err" \
    "0 nvme-keyctl: the NQNs are too long for identity version 0, so the target accepts version 1 only"
is "NQN: too long for version 0, on a target: it has version 1" "$(ctl show "$out" --json=short | json 'o["key"]["identityVersions"]')" "[1]"
ctl remove "$out"

# --- names that are not what they seem

for verb in add generate; do
    refused_with "$verb: a target without the NQN of its host" 2 "hostnqn= is missing: a target needs the NQN of the host that connects" "$good" \
        ctl "$verb" --role=target --subsysnqn=nqn.2026-11.org.example:z
done
# swapped TEXT REGEX HOSTNQN SUBSYSNQN
swapped() {
    refused_with "swapped NQNs: $1" 3 "seem to be swapped \\($2\\): if they are right, force it" "$good" ctl add --hostnqn="$3" --subsysnqn="$4"
}
swapped "the form of a host" "the subsystem NQN has the form of a host NQN.*" "$SUBSYSTEM" "$HOST"
swapped "the same twice" "both are the same" "$HOST" "$HOST"
swapped "discovery" "the host NQN is that of discovery.*" nqn.2014-08.org.nvmexpress.discovery "$SUBSYSTEM"
run ctl add --hostnqn=nqn.2026-11.org.example:h --subsysnqn=nqn.2014-08.org.nvmexpress:uuid:1 --force <<<"$good"
is "swapped NQNs: forced" "$status$err" 0
ctl remove "$out"
run ctl add --hostnqn="$HOST" --subsysnqn=nqn.2014-08.org.nvmexpress:uuid:1 <<<"$good"
is "a subsystem of the form of a host, for such a host" "$status$err" 0
ctl remove "$out"
# The test must not change the file of this machine, so the command gets another one in its place.
if unshare --mount true 2>/dev/null; then
    mkdir -p "$tmp/etc/nvme"
    without_hostnqn() {
        # shellcheck disable=SC2016 # expands inside
        unshare --mount bash -c 'mount --bind "$0" /etc && exec "$@"' "$tmp/etc" "$@"
    }
    refused_with "NQN: none of this machine" 3 "--hostnqn= is missing, and none in /etc/nvme/hostnqn \(it is not there\): .*nvme show-hostnqn .*nvme gen-hostnqn" "$good" \
        without_hostnqn "$build/nvme-keyctl" --socket="$varlink" add --subsysnqn=nqn.2026-11.org.example:z
    echo "$HOST" >"$tmp/etc/nvme/generated"
    ln -s generated "$tmp/etc/nvme/hostnqn"
    run without_hostnqn "$build/nvme-keyctl" identity --no-legend --subsysnqn="$SUBSYSTEM" <<<"$(psk one)"
    check "NQN: a symbolic link" grep -qF "$identity" <<<"$out"
    : >"$tmp/etc/nvme/generated"
    refused_with "NQN: an empty file" 3 "none in /etc/nvme/hostnqn \(it is empty\)" "$good" \
        without_hostnqn "$build/nvme-keyctl" identity --subsysnqn="$SUBSYSTEM"
    ln -sf hostnqn "$tmp/etc/nvme/hostnqn"
    refused_with "NQN: a link to nowhere" 3 "none in /etc/nvme/hostnqn \(Too many levels of symbolic links\)" "$good" \
        without_hostnqn "$build/nvme-keyctl" identity --subsysnqn="$SUBSYSTEM"
else
    skip "NQN: none of this machine" "no mount namespace"
fi

# --- conflicts

refused "show: an unknown id" 4 'no key has the id "0000000000000000"' ctl show 0000000000000000
refused "remove: an unknown id" 4 'no key has the id "0000000000000000"' ctl remove 0000000000000000
refused "remove: a path is not an id" 4 'no key has the id "\.\./header"' ctl remove ../header
refused "rotate: an unknown id" 4 'no key has the id "0000000000000000"' ctl rotate 0000000000000000 --generate
refused_with "rotate: refused before the PSK is read" 4 'no key has the id' nonsense ctl rotate 0000000000000000
refused_with "add: refused before the PSK is read" 5 "key $id is already active" nonsense \
    ctl add --hostnqn="$HOST" --subsysnqn="$SUBSYSTEM"
refused_with "add: twice" 5 "key $id is already active .*: rotate or remove it" "$(psk other)" \
    ctl add --hostnqn="$HOST" --subsysnqn="$SUBSYSTEM"
refused_with "add: one name begins with the other" 5 "begins with the other: rename it, or force it" "$(psk other)" \
    ctl add --hostnqn="$HOST" --subsysnqn="${SUBSYSTEM}b"
refused "generate: twice" 5 "key $id is already active" ctl generate --hostnqn="$HOST" --subsysnqn="$SUBSYSTEM"
target=$(add seven r --role=target)
newer=$(ctl rotate "$target" --generate)
refused "rotate: a retiring one" 5 "key $target is retiring: rotate the key that replaced it" ctl rotate "$target" --generate
ctl remove "$newer" && ctl remove "$target"
run ctl add --hostnqn="$HOST" --subsysnqn="${SUBSYSTEM}b" --force <<<"$(psk other)"
is "add: forced" "$status$err" 0
refused_with "add: a comment with a control character" 3 "the comment must be one line of UTF-8 without control characters" "$good" \
    ctl add --subsysnqn=nqn.2026-11.org.example:z --hostnqn="$HOST" --comment=$'a\tb'
refused_with "add: a comment that is too long" 3 "the comment has 257 bytes, but may have at most 256" "$good" \
    ctl add --subsysnqn=nqn.2026-11.org.example:z --hostnqn="$HOST" --comment="$(printf 'x%.0s' {1..257})"

# --- the log

pair="for host $HOST and subsystem nqn\.2026-11\.org\.example:r"
for what in "Key $target $pair added by uid 0" "Key $newer $pair replaces $target, rotated by uid 0" "Key $newer $pair removed by uid 0"; do
    check "the log: $what" grep -q "$what" "$log"
done

# --- secrets

secrets_in() {
    local secret
    for secret in "$(psk one)" "$(psk three 2)" "$(psk four)" "$(psk five)"; do
        grep -F -e "${secret:16:40}" && return
    done
    return 1
}
no_secrets() {
    ! "$@" | secrets_in
}
check "list prints no secret" no_secrets ctl list --json=short
check "show prints no secret" no_secrets ctl show "$id" --json=short
check "status prints no secret" no_secrets ctl status --json=short
check "help has no option for a PSK" no_secrets ctl --help

# --- permissions

chmod 711 "$tmp"
chmod 666 "$varlink"
as_nobody() {
    setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}
refused "another user may not look" 6 "permission denied: only root may change keys; members of the group nvme-keyd may read their state" as_nobody "$build/nvme-keyctl" --socket="$varlink" list
refused "another user may not remove" 6 "permission denied" as_nobody "$build/nvme-keyctl" --socket="$varlink" remove "$id"
chmod 600 "$varlink"
refused "another user may not connect" 6 "permission denied: become root, or join the group nvme-keyd and log in again" \
    as_nobody "$build/nvme-keyctl" --socket="$varlink" list
chmod 700 "$tmp"

# --- the store

before=$(ring_names)
daemon_stop
cp "$state/store" "$tmp/store"
truncate -s 100 "$state/store"
daemon_start
refused "store: list" 8 "store file" ctl list
refused "store: show" 8 "store file" ctl show "$id"
refused_with "store: add" 8 "store file" "$good" ctl add --subsysnqn=nqn.2026-11.org.example:z --hostnqn="$HOST"
refused "store: generate" 8 "store file" ctl generate --subsysnqn=nqn.2026-11.org.example:z --hostnqn="$HOST"
refused "store: rotate" 8 "store file" ctl rotate "$id" --generate
refused "store: remove" 8 "store file" ctl remove "$id"
refused "store: sync" 8 "store file" ctl sync
run ctl status
like "store: status says why" "$out" $'Store: unavailable\n *: store file'
like "store: status calls the number of keys unknown" "$out" "Keys: unknown while .*Published: $(wc -l <<<"$before") identities of stored or handed-in keys"
is "store: the same, JSON" "$(ctl status --json=short | json 'o["inKeyring"], [m for m in ("keys", "broken", "identities", "published", "missing") if m in o]')" "($(wc -l <<<"$before"), [])"
run ctl status --check
like "store: status --check" "$status $out" "^8 CRITICAL: the store does not open: store file"
is "store: the published keys stay" "$(ring_names)" "$before"
cp "$tmp/store" "$state/store"
run ctl list --no-legend
is "store: it is tried again with the next call" "$status" 0

daemon_stop
chmod 755 "$state"
daemon_start
refused "store: open to others" 8 "$state" ctl list
chmod 700 "$state"

daemon_stop
edit_store flip "$id"
daemon_start
run ctl list --no-legend
like "store: a broken record is listed" "$out" "(^|"$'\n'")$id broken +- +- +- +- +- +-( +-)?($|"$'\n'")"
like "store: the others work" "$out" " active "
is "store: status --check" "$(ctl status --check)"$'\n'"$?" $'CRITICAL: 1 records of the store are broken\n8'
run ctl show "$id"
like "store: show names the error" "$out" "State: broken"$'\n'" +Error: authentication failed"
like "store: the log names the record, and says what to do" "$(<"$log")" "Record $id: authentication failed.*1 records of the store are broken: restore"
keyctl clear "$(ring)"
run ctl sync
is "store: sync: it fails" "$status $err" "8 nvme-keyctl: 1 records of the store are broken: restore the store from a backup, or remove these keys (see nvme-keyctl list) and add them again"
like "store: sync: the others are published" "$out" "^0 right, [1-9][0-9]* added, 0 removed$"
run ctl sync --json=short
is "store: sync: JSON" "$status $(json 'o["broken"], o["failed"]' <<<"$out")" "8 (1, 0)"
refused "store: a broken one is not rotated" 5 "key $id is broken" ctl rotate "$id" --generate
check "store: a broken one can be removed" ctl remove "$id"
check "store: sync: then it does not fail" ctl sync --no-legend

# --- no daemon

daemon_stop
refused "no socket" 7 "cannot reach nvme-keyd at $varlink" ctl list
# A socket file that a dead server left.
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$tmp/dead"
refused "no process listens" 7 "cannot reach nvme-keyd at $tmp/dead" "$build/nvme-keyctl" --socket="$tmp/dead" list
refused "a path that is too long" 7 "cannot reach nvme-keyd" "$build/nvme-keyctl" --socket="/$(printf 'x%.0s' {1..200})" list
python3 - "$tmp/rude" <<'PY' &
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
for answer in b"", b"nonsense\0", b'{"parameters":[]}\0', b"{}":
    c = s.accept()[0]
    c.recv(65536)
    c.sendall(answer)
    c.close()
PY
rude=$!
wait_for 60 is_listening "$tmp/rude"
for what in "says nothing" "speaks no Varlink" "answers nonsense" "stops half-way"; do
    refused "a service that $what" 7 "nvme-keyd did not answer" "$build/nvme-keyctl" --socket="$tmp/rude" list
done
wait "$rude"

finish
