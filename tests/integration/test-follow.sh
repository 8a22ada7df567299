#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# A host switches to a new PSK when its target accepts it, and not before: by rotate, activate and
# revert, and by itself, also after a restart. The target is openssl s_server.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/probe.sh"

# serve_psk TEXT: a target that has this PSK of the pair, in the place of the one before
serve_psk() {
    local identity hex
    { read -r identity && read -r hex; } < <(
        python3 - "$HOST" "$SUBSYSTEM" "$1" <<'PY'
import base64, hashlib, hmac, struct, sys
host, subsystem, text = sys.argv[1:]
key = base64.b64decode(text.split(":")[2])[:-4]


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def expand(key, label, context):
    info = struct.pack(">HB", 32, len(label)) + label + bytes([len(context)]) + context
    return mac(mac(bytes(32), key), info + b"\1")


retained = expand(key, b"tls13 HostNQN", host.encode())
digest = base64.b64encode(mac(retained, f"{host} {subsystem} NVMe-over-Fabrics".encode())).decode()
print(f"NVMe1R01 {host} {subsystem} {digest}")
print(expand(retained, b"tls13 nvme-tls-psk", f"01 {digest}".encode()).hex())
PY
    )
    stop_serving
    serve target openssl s_server -quiet -nocert -tls1_3 -accept "127.0.0.1:$port" -psk "$hex" -psk_identity "$identity"
}

# One without TLS.
serve_plain() {
    stop_serving
    serve plain python3 -m http.server --bind 127.0.0.1 "$port"
}

stop_serving() {
    [ -z "${server-}" ] || { kill "$server" && wait "$server"; } 2>/dev/null
}

# state_of ID: and whether it is in the keyring
state_of() {
    ctl show "$1" --json=short | json '(lambda k: " ".join([k["state"], "published" if "serial" in k["identities"][0] else "-"]))(o["key"])'
}

has_state() {
    [ "$(state_of "$1")" = "$2" ]
}

one=$(psk one) two=$(psk two) three=$(psk three)
daemon_start "${each[@]}"
old=$(ctl add --hostnqn="$HOST" --subsysnqn="$SUBSYSTEM" <<<"$one")
port=$(free_port)

# --- no consent

run ctl rotate "$old" <<<"$two"
new=$out
like "no controller: the new key is not used" "$status $err" "^11 .*no controller of its pair, so no target can be asked"
is "no controller: both keys" "$(state_of "$old") $(state_of "$new")" "active published pending -"
controller nvme0 "traddr=127.0.0.1,trsvcid=$port"
run ctl activate "$new"
like "no helper: the new key is not used" "$status $err" "^11 .*could not be probed"
helpers_start
serve_plain
run ctl activate "$new"
like "the target does not accept it" "$status $err" "^11 .*nvme0 at 127.0.0.1:$port: no-tls: .*give it the same PSK first"
is "the target does not accept it: JSON" "$(ctl show "$new" --json=short | json 'o["key"]["state"], o["key"].get("follow")')" "('pending', None)"
is "both keys stay as they are" "$(state_of "$old") $(state_of "$new")" "active published pending -"
refused "a second successor" 5 "key $new is pending" ctl rotate "$old" --generate

# --- consent

serve_psk "$two"
run ctl activate "$new" --json=short
is "activate: switched" "$status $(json 'o["key"]["state"], o["results"][0]["answer"]' <<<"$out")" "0 ('active', 'accepted')"
is "activate: both keys" "$(state_of "$old") $(state_of "$new")" "retiring - active published"
is "the key has worked" "$(ctl show "$new" --json=short | json '"confirmed" in o["key"]')" True

serve_psk "$one"
run ctl rotate --revert "$new"
is "revert: the target has the old PSK" "$status $out" "0 $old"
is "revert: both keys" "$(state_of "$old") $(state_of "$new")" "active published retiring -"
serve_plain
run ctl rotate --revert "$old"
like "revert: the target has dropped it" "$status $err" "^11 .*is not active again: .*give it the same PSK first"
run ctl rotate --revert "$old" --force
is "revert: forced" "$status $(state_of "$new")" "0 active published"
check "remove the other one" ctl remove "$old"
old=$new

# --- following

run ctl rotate "$old" --wait --no-block <<<"$three"
new=$out
like "--wait --no-block: pending, and followed" "$status $err" "^0 .*nvme-keyd asks again until it can switch to key $new"
is "it follows its target" "$(ctl show "$new" --json=short | json 'o["key"]["state"], o["key"]["follow"]')" "('pending', True)"
like "list and show: the next step" "$(ctl list && ctl show "$new")" "NEXT STEP" "$new +pending.* activate when accepted" "Next step: activate when accepted"
ctl activate "$new" --wait >"$tmp/wait.out" 2>&1 &
waiter=$!
daemon_stop
wait "$waiter"
check_fails "a waiter learns that the service has ended" test "$?" -eq 0
daemon_start "${each[@]}"
ctl activate "$new" --wait >"$tmp/wait.out" 2>&1 &
waiter=$!
sleep 2
is "still pending after a restart" "$(state_of "$old") $(state_of "$new")" "active published pending -"
serve_psk "$three"
check "the host switches by itself" wait_for 120 has_state "$new" "active published"
wait "$waiter"
is "--wait ends" "$? $(state_of "$old")" "0 retiring -"
is "it no longer follows" "$(ctl show "$new" --json=short | json 'o["key"].get("follow")')" None

# --- twice

old=$new
serve_psk "$one"
new=$(ctl rotate "$old" --in=1d <<<"$one")
# The target answers when both calls wait for it.
kill -STOP "$server"
for i in 1 2; do
    (
        ctl activate "$new" >"$tmp/twice$i" 2>/dev/null
        echo "$?" >>"$tmp/twice$i"
    ) &
    callers[i]=$!
done
sleep 2
kill -CONT "$server"
wait "${callers[@]}"
is "two calls at once: both say that the key is active" "$(cat "$tmp"/twice[12]) $(state_of "$new")" "0
0 active published"
is "the log: it was activated once" "$(grep -c "Key $new .* activated: " "$log") $(grep -c "Key $new .* not activated" "$log")" "1 0"

# --- at a time

old=$new
# Before the time comes, or a try finds no port.
serve_plain
run ctl rotate "$old" --in=1s <<<"$two"
new=$out
following() { [ "$(ctl show "$new" --json=short | json 'o["key"].get("follow")')" = True ]; }
check "--in: at its time the host begins to ask" wait_for 120 following
is "--in: it has not switched" "$(state_of "$old") $(state_of "$new")" "active published pending -"
serve_psk "$two"
check "--in: it switches when the target accepts" wait_for 120 has_state "$new" "active published"
like "the log: switched" "$(<"$log")" "Key $new for host .* activated: 1 of its targets were asked"
is "the log: no warning that a pending key is not published" "$(grep -c "not in the keyring" "$log")" 0
like "the log: refused, once" "$(grep -c "Key $new .* is not activated" "$log")" "^1$"

stop_serving
finish
