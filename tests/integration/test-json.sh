#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The JSON of each command has the members and types that nvme-keyctl(1) gives for it.
. "$(dirname "$0")/lib.sh"

rows=$(awk '/^# / { inside = $0 == "# JSON"; next } inside && /^\|/ { gsub(/[|*[]/, ""); sub(/^ */, ""); name = $0; next }
    inside && /^:/ { sub(/^:<? */, ""); print name "\t" $0 }' "$source/man/nvme-keyctl.1.scd")

cat >"$tmp/schema.py" <<'PY'
"""schema.py SOURCE TYPE: checks each line of standard input. TYPE: a method, a type, or a struct."""
import json
import sys

sys.path.insert(0, sys.argv[1] + "/tests/integration")
from varlink import Interface

with open(sys.argv[1] + "/src/nvme-keyd/api/org.nvmekeyd.Manager.varlink", encoding="utf-8") as file:
    text = file.read()
kind = sys.argv[2]
interface = Interface(text + f"\ntype TheReply {kind}" if kind[0] == "(" else text)
expected = "TheReply" if kind[0] == "(" else interface.methods[kind][1] if kind in interface.methods else kind
lines = sys.stdin.read().splitlines()
if not lines:
    sys.exit("nothing was printed")
for line in lines:
    value = json.loads(line)
    why = interface.fits(value, expected)
    if why or not isinstance(value, dict):
        sys.exit(f"{line[:300]}: {why}")
PY

# fits TEXT COMMAND: checks what is in out by the row of the command.
fits() {
    local kind why
    kind=$(awk -F '\t' -v name="$2" '$1 == name { print $2 }' <<<"$rows")
    why=$("$python" "$tmp/schema.py" "$source" "${kind:-none}" <<<"$out" 2>&1)
    [ "$status" -eq 0 ] && [ -z "$why" ]
    result $? "$1" || diag "status $status: $why$err"
    tried+=("$2")
}
# json_of COMMAND [ARGUMENT...]: the command may have two words.
json_of() {
    local -a words
    read -ra words <<<"$1"
    run ctl "${words[@]}" --json=short "${@:2}"
    fits "$1" "$1"
}
tried=()
# An export goes into no file that others can read.
umask 077

daemon_start
json_of list
ctl monitor --json=short --no-legend >"$tmp/events" &
defer "kill $!"
psk one >"$tmp/psk"
chmod 600 "$tmp/psk"
new=(--hostnqn="$HOST" --key-file="$tmp/psk")
json_of add "${new[@]}" --subsysnqn="$SUBSYSTEM" --comment=shelf --lifetime=1d
a=$(json 'o["key"]["id"]' <<<"$out")
json_of generate --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:t --role=target --print-key
t=$(json 'o["key"]["id"]' <<<"$out")
echo "$HOST nqn.2026-11.org.example:i $(psk two)" >"$tmp/keys"
chmod 600 "$tmp/keys"
json_of import "$tmp/keys" --dry-run
json_of import "$tmp/keys"
keyctl padd user "NVMe0R01 $HOST nqn.2026-11.org.example:adopted" "$(ring)" <<<"$(printf '%031d' 0)" >/dev/null
json_of adopt --all
json_of show "$a"
json_of export "$a"
json_of rotate "$a" --generate --address=127.0.0.1:1
json_of rotate "$t" --generate
json_of activate "$(ctl list --state=pending --json=short | json 'o["keys"][0]["id"]')" --force
json_of list
json_of retire "$(ctl list --json=short | json '[k["id"] for k in o["keys"] if k["subsystemNQN"].endswith(":i")][0]')" --force
json_of revoke "$(ctl list --state=active --role=host --json=short | json 'o["keys"][0]["id"]')" --force
json_of remove "$t"
json_of "schedule set" "$(ctl generate --role=both --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:s --no-legend)" --rotate-after=1s
s=$(json 'o["key"]["id"]' <<<"$out")
becomes "schedule run: a key is due" True eval 'ctl show "$s" --json=short | json "o[\"key\"].get(\"rotationDue\")"'
json_of "schedule run" --print-key
json_of status
json_of sync
# The exit status is the result.
run ctl doctor --json=short
status=0
fits doctor doctor
json_of controllers
json_of move
json_of identity "${new[@]}" --subsysnqn="$SUBSYSTEM"
json_of "slot list"
json_of "slot add" recovery --comment=safe
slot=$(json 'o["slot"]["id"]' <<<"$out")
json_of "slot reseal" "$slot"
json '"\n" + o["recoveryKey"]' <<<"$out" >"$tmp/recovery"
json_of "slot reseal"
mkdir -m 700 "$tmp/image"
json_of "store image" "$tmp/image"
json_of backup "$tmp/backup"
json_of restore "$tmp/backup" --key-file="$tmp/recovery" --force
json_of "slot remove" "$slot"

keyctl_pair=(--issuer=i.pem --issuer-key=i.key --hostnqn="$HOST" --subsysnqn="$SUBSYSTEM" --to=i.pem)
(cd "$tmp" && ctl envelope issuer i.key >i.pem && ctl envelope seal "${keyctl_pair[@]}" --generate >envelope)
json_of "envelope show" "$tmp/envelope"
json_of "machine show"
ctl machine show >"$tmp/self.pem"
json_of "machine trust" "$tmp/i.pem"
issuer=$(openssl x509 -in "$tmp/i.pem" -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -d ' ' -f 1)
# sealed_to_us NQN: an envelope for this machine
sealed_to_us() {
    (cd "$tmp" && ctl envelope seal "${keyctl_pair[@]:0:2}" --hostnqn="$HOST" --subsysnqn="$1" --to=self.pem --generate)
}
sealed_to_us nqn.2026-11.org.example:taken >"$tmp/envelope"
json_of "envelope take" "$tmp/envelope"
mkdir "$tmp/inbox"
sealed_to_us nqn.2026-11.org.example:dropped >"$tmp/inbox/one"
json_of inbox "$tmp/inbox"
json_of "machine distrust" "$issuer"
# The certificates of issuers will do for machines.
mkdir "$tmp/place"
fleet=(--place="$tmp/place" --issuer="$tmp/i.pem" --issuer-key="$tmp/i.key")
(cd "$tmp" && ctl envelope issuer m.key >m.pem)
json_of "fleet enrol" "$tmp/m.pem" --place="$tmp/place"
machine=$(json 'o["fingerprint"]' <<<"$out")
json_of "fleet approve" "$machine" "${fleet[@]}"
json_of "fleet issue" "${fleet[@]}" --host="$machine" --target="$machine" --hostnqn="$HOST" --subsysnqn="$SUBSYSTEM"
json_of "fleet rotate" "$SUBSYSTEM" "${fleet[@]}" --no-block
json_of "fleet status" "${fleet[@]:0:2}"
json_of "fleet end" "$SUBSYSTEM" "${fleet[@]}"
json_of "fleet revoke" "$machine" "${fleet[@]}"
json_of metrics
run ctl probe "$(ctl list --state=active --json=short | json 'o["keys"][0]["id"]')" --address=127.0.0.1:1 --json=short
status=0
fits probe probe
wait_for 20 test -s "$tmp/events"
out=$(<"$tmp/events")
fits monitor monitor

# Those that are left out print PEM, or need a locked store, or a TPM with a counter of another store.
is "every command is in nvme-keyctl(1)" "$(cut -f 1 <<<"$rows" | sort)" \
    "$(ctl help | grep -E '^  [a-z]' | cut -c 3-26 | sed -E 's/ *\[?[A-Z].*//; s/ *$//' | grep -vxE 'help|envelope (issuer|seal)' | sort)"
is "every command was tried" "$(printf '%s\n' "${tried[@]}" "slot unlock" "store forget" | sort -u)" "$(cut -f 1 <<<"$rows" | sort)"
finish
