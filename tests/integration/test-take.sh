#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# Two machines with an identity each, which take envelopes of an issuer whom they trust: a host and a target.
# Both have the stand-in keyring of this test, so one runs at a time.
. "$(dirname "$0")/lib.sh"

command -v openssl >/dev/null || skip_all "needs openssl"
unshare --mount true 2>/dev/null || skip_all "needs mount namespaces"
cd "$tmp" || exit

# A machine has a store and a host NQN. The files of this machine are left alone.
prepare() {
    mkdir -p "$1.state" "$1.etc/nvme"
    chmod 700 "$1.state"
    cp /etc/{passwd,group,machine-id,nsswitch.conf,ld.so.cache} "$1.etc/"
    [ -z "$2" ] || echo "$2" >"$1.etc/nvme/hostnqn"
}
mkdir issuers.d credentials
on() {
    daemon_stop
    keyctl clear "$(ring)" 2>/dev/null
    state=$tmp/$1.state
    # shellcheck disable=SC2016 # expands inside
    as=(env "NVME_KEYD_ISSUERS=$tmp/issuers.d" "CREDENTIALS_DIRECTORY=$tmp/credentials"
        unshare --mount bash -c 'mount --bind "$0" /etc && exec "$@"' "$tmp/$1.etc")
    daemon_start -E "NVME_KEYD_ISSUERS=$tmp/issuers.d" -E "CREDENTIALS_DIRECTORY=$tmp/credentials"
}
fingerprint() { openssl x509 -in "$1" -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -d ' ' -f 1; }
seal() { "$build/nvme-keyctl" --socket=/nonexistent envelope seal --issuer=issuer.pem --issuer-key=issuer.key --hostnqn="$HOST" --subsysnqn="$SUBSYSTEM" "$@"; }
states() { ctl list --json=short | json 'sorted((k["role"], k["state"]) for k in o["keys"])'; }

"$build/nvme-keyctl" envelope issuer issuer.key >issuer.pem
"$build/nvme-keyctl" envelope issuer other.key >other.pem
prepare host "$HOST"
prepare target ""

# --- identities
for machine in host target; do
    on "$machine"
    run ctl machine show
    like "$machine: it has an identity" "$status$out" "^0.*Fingerprint: [0-9a-f]{64}"
    ctl machine show >"$machine.pem" 2>/dev/null
    is "$machine: the fingerprint is that of the certificate" "$(ctl machine show --json=short | json 'o["fingerprint"]')" "$(fingerprint "$machine.pem")"
    ctl machine show --request >"$machine.csr"
    is "$machine: a request for the same key" "$(openssl req -in "$machine.csr" -noout -verify -pubkey 2>/dev/null | openssl pkey -pubin -outform DER | sha256sum | cut -d ' ' -f 1)" "$(fingerprint "$machine.pem")"
    before=$(<"$machine.pem")
    daemon_restart -E "NVME_KEYD_ISSUERS=$tmp/issuers.d" -E "CREDENTIALS_DIRECTORY=$tmp/credentials"
    is "$machine: it stays" "$(ctl machine show)" "$before"
done
like "host: its name is the host NQN" "$(openssl x509 -in host.pem -noout -text)" "URI:$HOST"
is "target: it has no name" "$(openssl x509 -in target.pem -noout -ext subjectAltName 2>/dev/null)" ""
like "host: the request has the name" "$(openssl req -in host.csr -noout -text)" "URI:$HOST"

# --- issuers
on target
seal --to=host.pem --to=target.pem --generation=1 <<<"$(psk one)" >first
refused "an unknown issuer" 14 "signed by no issuer that this machine trusts" ctl envelope take first
like "trust" "$(ctl machine trust issuer.pem)" "^$(fingerprint issuer.pem) is trusted from now on"
like "trust: twice" "$(ctl machine trust issuer.pem)" "was trusted already"
refused "trust: no certificate" 3 "first has no certificate of a P-256 key" ctl machine trust first
refused "trust: nothing" 2 "needs the certificate of an issuer, or --list" ctl machine trust
cp other.pem issuers.d/other.pem
cp other.pem credentials/nvme-keyd.issuer
echo nonsense >issuers.d/bad.pem
is "trust: the list" "$(ctl machine trust --list --json=short | json 'sorted((i["source"], i.get("name"), i.get("fingerprint", "")[:4]) for i in o["issuers"])')" \
    "[('configuration', 'bad.pem', ''), ('configuration', 'other.pem', '$(fingerprint other.pem | cut -c 1-4)'), ('credential', 'nvme-keyd.issuer', '$(fingerprint other.pem | cut -c 1-4)'), ('store', None, '$(fingerprint issuer.pem | cut -c 1-4)')]"
like "trust: the table" "$(ctl machine trust --list)" "FINGERPRINT +SOURCE"
"$build/nvme-keyctl" envelope seal --issuer=other.pem --issuer-key=other.key --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:b --to=target.pem --generate >other
like "trust: an issuer of the configuration" "$(ctl envelope take other)" ":b: added, key"
rm issuers.d/*.pem credentials/*
"$build/nvme-keyctl" envelope seal --issuer=other.pem --issuer-key=other.key --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:b --to=target.pem --tombstone >other2
refused "trust: its file is gone" 14 "signed by no issuer" ctl envelope take other2

# --- the first envelope, at both ends
like "target: takes it" "$(ctl envelope take first)" "^$HOST $SUBSYSTEM: added, key [0-9a-f]{16}"
is "target: the key" "$(ctl list --json=short --subsysnqn="$SUBSYSTEM" | json 'o["keys"][0]["role"], o["keys"][0]["state"]')" "('target', 'active')"
refused "target: a replay" 14 "it was taken before, or one that was made later" ctl envelope take first
on host
refused "host: nothing is trusted yet" 14 "signed by no issuer" ctl envelope take first
ctl machine trust issuer.pem >/dev/null
like "host: takes it" "$(ctl envelope take - <first)" ": added, key"
is "host: the key is that PSK" "$(ctl list --json=short | json 'o["keys"][0]["role"], o["keys"][0]["state"], len(o["keys"])')" "('host', 'active', 1)"
old=$(ctl list --json=short | json 'o["keys"][0]["id"]')
is "host: it is in the keyring" "$(ring_names | wc -l)" 1

# --- refusals change nothing
seal --to=target.pem --generation=9 <<<"$(psk x)" >notours
refused "for another machine" 14 "sealed to other machines" ctl envelope take notours
head -c 400 first >cut.cms
refused "truncated" 14 "not an envelope, or a damaged one" ctl envelope take cut.cms
refused "not an envelope" 14 "not an envelope" ctl envelope take issuer.pem
refused "empty" 3 "it is empty" ctl envelope take /dev/null
head -c 200000 /dev/zero >large
refused "too large" 3 "too large" ctl envelope take large
seal --to=host.pem --generation=3 --lifetime=1s <<<"$(psk x)" >short
sleep 1.1
refused "expired" 14 "its time is over" ctl envelope take short
# Signed by the issuer, sealed by a stranger to a machine that the content does not name.
"$source/tests/integration/reseal-envelope.py" issuer.pem issuer.key host.pem "$(fingerprint target.pem)" 2>/dev/null >resealed
refused "the pair of another machine" 14 "no pair in it is one of this machine" ctl envelope take resealed
"$source/tests/integration/reseal-envelope.py" issuer.pem issuer.key host.pem "$(fingerprint host.pem)" notBefore >later 2>/dev/null
refused "not yet" 14 "its time has not come yet" ctl envelope take later
"$source/tests/integration/reseal-envelope.py" issuer.pem issuer.key host.pem "$(fingerprint host.pem)" damaged >damaged.cms 2>/dev/null
refused "a bad signature" 14 "the signature is wrong" ctl envelope take damaged.cms
"$source/tests/integration/reseal-envelope.py" issuer.pem issuer.key host.pem "$(fingerprint host.pem)" nonsense >nonsense.cms 2>/dev/null
refused "another content" 14 "content|JSON|malformed|not an envelope" ctl envelope take nonsense.cms

# --- a rotation: the target accepts both, the host waits
seal --to=host.pem --to=target.pem --generation=2 <<<"$(psk two)" >second
like "host: a successor" "$(ctl envelope take second)" ": pending, key"
is "host: it waits" "$(states)" "[('host', 'active'), ('host', 'pending')]"
is "host: one key in the keyring" "$(ring_names | wc -l)" 1
is "host: it follows its target" "$(ctl list --json=short | json '[k.get("follow") for k in o["keys"] if k["state"] == "pending"]')" "[True]"
refused "host: an older one" 14 "made later" ctl envelope take first
seal --to=host.pem --to=target.pem --generation=3 <<<"$(psk three)" >third
ctl envelope take third >/dev/null
is "host: a later one takes the place of one that was not used" "$(states)" "[('host', 'active'), ('host', 'pending')]"
refused "host: reordered" 14 "made later" ctl envelope take second
new=$(ctl list --json=short | json '[k["id"] for k in o["keys"] if k["state"] == "pending"][0]')
run ctl activate --force "$new"
is "host: switched by hand" "$(states)" "[('host', 'active'), ('host', 'retiring')]"
is "host: the old one is the first" "$(ctl list --json=short | json '[k["id"] for k in o["keys"] if k["state"] == "retiring"][0]')" "$old"
daemon_restart
refused "host: a replay after a restart" 14 "made later" ctl envelope take third
on target
for e in second third; do ctl envelope take $e >/dev/null; done
is "target: it accepts three" "$(ctl list --json=short --subsysnqn="$SUBSYSTEM" | json 'sorted(k["state"] for k in o["keys"])')" "['active', 'pending', 'retiring']"
check "target: all of them are in the keyring" test "$(ring_names | grep -c ":a")" -ge 3
seal --to=target.pem --generation=4 <<<"$(psk three)" >again
like "target: the same PSK in a later envelope" "$(ctl envelope take again)" ": unchanged, key"

# --- the end of a pair
seal --to=host.pem --to=target.pem --tombstone --generation=5 >tombstone
like "target: a tombstone" "$(ctl envelope take tombstone)" "$SUBSYSTEM: removed"
is "target: the pair is gone" "$(ctl list --json=short --subsysnqn="$SUBSYSTEM" | json 'len(o["keys"])')" 0
is "target: and its keys" "$(ring_names | grep -c ":a")" 0
refused "target: nothing brings it back but a later generation" 14 "made later" ctl envelope take third
seal --to=target.pem --generation=6 --generate >six
like "target: a later generation" "$(ctl envelope take six)" ": added, key"

# --- trust ends
like "distrust" "$(ctl machine distrust "$(fingerprint issuer.pem)" && ctl machine trust --list --json=short)" '"issuers":\[\]'
refused "distrust: twice" 4 "has no issuer with this fingerprint" ctl machine distrust "$(fingerprint issuer.pem)"
seal --to=target.pem --generation=7 --generate >seven
refused "distrust: its envelopes are refused" 14 "signed by no issuer" ctl envelope take seven

records() { python3 "$source/tests/integration/read-store.py" --show-secrets "$state" | python3 -c "import json, sys; records = [json.loads(l) for l in sys.stdin]; print($1)"; }
is "an independent reader: the records" "$(records 'sorted({r["meta"]["kind"] for r in records})')" "['configured', 'machine', 'pair']"
is "an independent reader: the private key" "$(records '[r["secret"] for r in records if r["meta"]["kind"] == "machine"][0]' | xxd -r -p |
    openssl pkey -inform DER -pubout -outform DER | sha256sum | cut -d ' ' -f 1)" "$(fingerprint target.pem)"
is "an independent reader: the generation" "$(records '[r["meta"]["generation"] for r in records if r["meta"]["kind"] == "pair" and r["meta"]["subsystemNQN"].endswith(":a")]')" "[6]"
is "no PSK in the log" "$(grep -c NVMeTLSkey "$log")" 0
finish
