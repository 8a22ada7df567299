#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# nvme-keyctl export: PSKs in the clear, in the form of each program that reads them, and back into another daemon.
. "$(dirname "$0")/lib.sh"

# What the commands print goes into files.
umask 077

# rows: what two machines must have alike.
rows() {
    ctl list --json=short | json '"\n".join(sorted(" ".join([k["subsystemNQN"], k["kind"], k["hash"], k.get("derivation", "-"), *(i["identity"] for i in k["identities"])]) for k in o["keys"]))'
}

daemon_start
a=$(add one a --role=both)
b=$(add two b --derivation=compat)
c=$(add three c --role=target)
run ctl generate --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:lost --role=target --print-key
lost=${out%%$'\n'*} lost_psk=${out#*$'\n'}

# --- formats

run ctl export "$lost" --format=interchange
is "a lost --print-key: the PSK as it was generated" "$status$err $out" "0 $lost_psk"
run ctl export "$a"
is "nvme-cli: the identities, as the ring has them" "$(cut -d ' ' -f 1-4 <<<"$out" | sed 's/ NVMeTLSkey.*//' | sort)" \
    "$(ring_names | grep ':a' | cut -d ' ' -f 1-4 | sort)"
like "nvme-cli: version 1 of the format for each" "$out" $'^NVMe0R01 [^ ]+ [^ ]+ NVMeTLSkey-1:01:[^ ]+\nNVMe1R01 [^ ]+ [^ ]+ [^ ]+ NVMeTLSkey-1:01:[^ ]+$'
run ctl export "$b" --for-peer
is "for the peer: a line of its names and its PSK" "$status $out" "0 $HOST nqn.2026-11.org.example:b $(psk two)"
is "for the peer: the command there" "$err" "At the other end: nvme-keyctl import --role=target --derivation=compat"
run ctl export "$a" --format=spdk --output="$tmp/spdk-key"
is "SPDK: a file with mode 0600 and one PSK" "$status$out $(stat -c %a "$tmp/spdk-key") $(<"$tmp/spdk-key")" "0 600 $(psk one)"
like "SPDK: the commands" "$err" "rpc.py keyring_file_add_key nvme-$a $tmp/spdk-key
 +rpc.py nvmf_subsystem_add_host nqn.2026-11.org.example:a $HOST --psk nvme-$a
 +rpc.py bdev_nvme_attach_controller .* -n nqn.2026-11.org.example:a -q $HOST --psk nvme-$a\$"
run ctl export "$b" --format=spdk
like "SPDK: a key that it does not understand" "$err" "SPDK derives by rfc8446 only.*
.*SPDK has identities of version 0 only"
run ctl export --json=short "$a"
is "JSON has the same" "$(json '[(k["key"]["id"], k["psk"], len(k["tlsPSKs"])) for k in o["keys"]]' <<<"$out")" "[('$a', '$(psk one)', 2)]"

# --- round trips into another daemon

run ctl export --for-peer --role=both --output="$tmp/peer"
is "to a file: nothing on standard output" "$status$out" 0
run ctl export --output="$tmp/tls-keys"
is "all: the lines of all active keys" "$(grep -c . "$tmp/tls-keys")" "$(ctl list --json=short | json 'sum(len(k["identities"]) for k in o["keys"])')"
before=$(rows | grep ':a ') digests=$(sed 's/ [^ ]*$//' "$tmp/tls-keys" | sort)
daemon_stop
mv "$state" "$state.first"
mkdir -m 700 "$state"
keyctl clear "$(ring)"
daemon_start
run ctl import --role=both "$tmp/peer"
is "for the peer: import of another daemon takes it" "$status ${out%%$'\n'*}" "0 1 imported, 0 unchanged, 0 skipped"
is "for the peer: the digests are the same" "$(rows)" "$before"
ctl remove "$(ctl list --no-legend | cut -d ' ' -f 1)"
run ctl import --role=target "$tmp/tls-keys"
is "nvme-cli: import of another daemon takes it" "$status ${out%%$'\n'*}" "0 $(grep -c . "$tmp/tls-keys") imported, 0 unchanged, 0 skipped"
is "nvme-cli: the digests are the same" "$(ring_names | sort)" "$digests"
derived=$(ctl list --json=short | json 'o["keys"][0]["id"]')
refused "a derived key has no configured PSK" 3 "only --format=nvme-cli can have it" ctl export "$derived" --format=interchange
run ctl export "$derived" --for-peer
like "a derived key for the peer: its identity" "$out" "^NVMe[01]R01 "
run ctl export
is "derived keys: exported as they came" "$(sort <<<"$out")" "$(sort "$tmp/tls-keys")"
daemon_stop
rm -r "${state:?}"
mv "$state.first" "$state"
keyctl clear "$(ring)"
daemon_start

# --- where it goes

refused "a file that is there" 3 "cannot make $tmp/tls-keys: File exists" ctl export "$a" --output="$tmp/tls-keys"
ln -s "$tmp/nowhere" "$tmp/link"
refused "a symbolic link" 3 "cannot make $tmp/link: File exists" ctl export "$a" --output="$tmp/link"
refused "no such directory" 3 "cannot make /nonexistent/x: No such file" ctl export "$a" --output=/nonexistent/x
refused "an ID that is not there: no file is left" 4 "no key has" ctl export 0123456789abcdef --output="$tmp/none"
check "an ID that is not there: no file is left, indeed" test ! -e "$tmp/none"
(umask 022 && ctl export "$a" >"$tmp/open" 2>"$tmp/err2")
is "standard output is a file that others can read" "$? $(<"$tmp/open") $(grep -c 'give --output=FILE' "$tmp/err2")" "3  1"
(umask 077 && ctl export "$a" >"$tmp/closed")
is "standard output is a file of root alone" "$? $(grep -c NVMeTLSkey "$tmp/closed")" "0 2"
refused "standard output is full" 1 "standard output is full" sh -c "'$build/nvme-keyctl' --socket='$varlink' export '$a' >/dev/full"
refused "--format= and --for-peer" 2 "--for-peer is a format" ctl export "$a" --format=spdk --for-peer
refused "one PSK for all keys" 2 "give an ID" ctl export --format=interchange
refused "no such key" 4 "no active key" ctl export --subsysnqn=nqn.2026-11.org.example:none

(umask 0 && ctl export "$a" --output="$tmp/wide")
is "a file is made with mode 0600, whatever the umask is" "$(stat -c %a "$tmp/wide")" 600

# --- who may, and what is logged

ctl revoke "$c" --force >/dev/null
refused "a revoked key" 5 "is revoked" ctl export "$c"
like "each export is logged, with the user" "$(<"$log")" "Key $a for host $HOST and subsystem nqn.2026-11.org.example:a exported in the clear by uid 0"
check "the log has no PSK" test "$(grep -c NVMeTLSkey "$log")" = 0
printf '[Manager]\nExport=no\n' >>"$tmp/keyd.conf"
daemon_stop
daemon_start
refused "Export=no" 6 "Export=no in nvme-keyd.conf forbids" ctl export "$a"
refused "Export=no: no file is left" 6 "forbids" ctl export "$a" --output="$tmp/none"
check "Export=no: no file is left, indeed" test ! -e "$tmp/none"

finish
