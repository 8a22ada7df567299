#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# Envelopes on the machine of an administrator: made without a service, and opened by openssl(1).
. "$(dirname "$0")/lib.sh"

command -v openssl >/dev/null || skip_all "needs openssl"
cd "$tmp" || exit
keyctl_alone() { "$build/nvme-keyctl" --socket=/nonexistent "$@"; }

run keyctl_alone envelope issuer issuer.key
is "issuer: the key is private" "$status$(stat -c %a issuer.key)" 0600
echo "$out" >issuer.pem
check "issuer: openssl reads the certificate" openssl x509 -in issuer.pem -noout
check "issuer: it has a key identifier" grep -q "Subject Key Identifier" <(openssl x509 -in issuer.pem -noout -text)
before=$(sha256sum issuer.key)
refused "issuer: never over a file" 3 "cannot make issuer.key: File exists" keyctl_alone envelope issuer issuer.key
is "issuer: the old key is untouched" "$(sha256sum issuer.key)" "$before"

# A machine whose certificate a CA, or here openssl itself, has made.
machine() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.pem" \
        -subj "/O=test/serialNumber=$1" -addext "subjectAltName=URI:$2" -days 3650 2>/dev/null
}
machine host "$HOST"
machine target nqn.2026-11.org.example:target-machine
machine other nqn.2026-11.org.example:other

# opened FILE MACHINE: prints the content.
opened() {
    openssl cms -decrypt -inform PEM -in "$1" -inkey "$2.key" -recip "$2.pem" -binary 2>/dev/null |
        openssl cms -verify -inform DER -certfile issuer.pem -nointern -noverify -binary 2>/dev/null
}
fingerprint() { openssl pkey -pubout -outform DER -in "$1.key" | sha256sum | cut -d ' ' -f 1; }
seal=(envelope seal --issuer=issuer.pem --issuer-key=issuer.key --hostnqn="$HOST" --subsysnqn="$SUBSYSTEM")

run keyctl_alone "${seal[@]}" --to=host.pem --to=target.pem --comment= <<<"$(psk one)"
like "seal: no comment" "$status$err" "^2nvme-keyctl: envelope seal does not take --comment"
run keyctl_alone "${seal[@]}" --to=host.pem --to=target.pem --lifetime=90d <<<"$(psk one)"
is "seal" "$status$err" 0
echo "$out" >envelope
is "seal: the PSK is not in it" "$(grep -c "$(psk one | cut -d : -f 3 | cut -c 1-12)" envelope)" 0
for machine in host target; do
    content=$(opened envelope "$machine")
    is "seal: $machine opens it" "$(json 'o["format"], o["keys"][0]["psk"]' <<<"$content")" "('nvme-keyd envelope', '$(psk one)')"
done
is "seal: it names the machines by role" "$(json 'o["keys"][0]["host"], o["keys"][0]["target"]' <<<"$content")" \
    "('$(fingerprint host)', '$(fingerprint target)')"
is "seal: what else it says" "$(json 'sorted(o["keys"][0])' <<<"$content")" \
    "['derivation', 'expires', 'generation', 'host', 'hostNQN', 'identityVersions', 'psk', 'subsystemNQN', 'target']"
is "seal: another machine does not open it" "$(opened envelope other)" ""
run keyctl_alone envelope show envelope
like "show" "$status$out" "^0.*Sealed to 2 machines"
is "show: JSON" "$(keyctl_alone envelope show --json=short <envelope | json 'len(o["recipients"])')" 2
run keyctl_alone envelope show envelope --machine-key=host.key --issuer=issuer.pem
like "show: by the key of a machine" "$status$out" "^0 +Envelope: [0-9a-f]{32}"$'\n'".*Host NQN: $HOST"
is "show: never the PSK" "$(grep -c NVMeTLSkey <<<"$out")" 0
is "show: JSON of the pairs" "$(keyctl_alone envelope show envelope --machine-key=target.key --issuer=issuer.pem --json=short | json 'o["pairs"][0]["subsystemNQN"], o["pairs"][0]["tombstone"]')" "('$SUBSYSTEM', False)"
refused "show: the key of another machine" 3 "sealed to other machines" keyctl_alone envelope show envelope --machine-key=other.key --issuer=issuer.pem
refused "show: another issuer" 3 "signed by no issuer that this machine trusts" keyctl_alone envelope show envelope --machine-key=host.key --issuer=other.pem
refused "show: half of it" 2 "belong together" keyctl_alone envelope show envelope --issuer=issuer.pem
older=$(opened envelope host | json 'o["keys"][0]["generation"]')
keyctl_alone "${seal[@]}" --to=host.pem --generate >envelope2
newer=$(opened envelope2 host | json 'o["keys"][0]["generation"]')
check "seal: later is a higher generation" test "$newer" -gt "$older"
like "seal: --generate makes a PSK" "$(opened envelope2 host | json 'o["keys"][0]["psk"]')" "^NVMeTLSkey-1:01:"
keyctl_alone "${seal[@]}" --to=target.pem --tombstone --generation=7 >envelope3
is "seal: a tombstone" "$(opened envelope3 target | json 'o["keys"][0].get("psk"), o["keys"][0]["tombstone"], o["keys"][0]["generation"]')" "(None, True, 7)"

refused_with "seal: two hosts" 3 "host.pem is a second host of the pair" "$(psk one)" keyctl_alone "${seal[@]}" --to=host.pem --to=host.pem
refused_with "seal: two targets" 3 "other.pem is a second target of the pair" "$(psk one)" keyctl_alone "${seal[@]}" --to=target.pem --to=other.pem
refused_with "seal: nobody" 2 "needs --hostnqn=, --subsysnqn=, --to=" "$(psk one)" keyctl_alone "${seal[@]}"
refused_with "seal: not a PSK" 3 "not a PSK" "NVMeTLSkey-1:01:abc:" keyctl_alone "${seal[@]}" --to=host.pem
openssl ecparam -name secp384r1 -genkey -noout -out p384.key
refused_with "seal: the key of another issuer" 3 "is not that of --issuer=" "$(psk one)" keyctl_alone "${seal[@]/issuer.key/host.key}" --to=host.pem
openssl req -x509 -key p384.key -out p384.pem -subj /O=x -days 9 2>/dev/null
refused_with "seal: a machine with a key of another curve" 3 "p384.pem has no certificate of a P-256 key" "$(psk one)" keyctl_alone "${seal[@]}" --to=p384.pem
refused_with "seal: a file that is not there" 3 "cannot read nowhere.pem: No such file" "$(psk one)" keyctl_alone "${seal[@]}" --to=nowhere.pem
refused "show: not an envelope" 3 "not an envelope, or a damaged one" keyctl_alone envelope show issuer.pem
refused "show: nothing" 3 "not an envelope, or a damaged one" keyctl_alone envelope show /dev/null
finish
