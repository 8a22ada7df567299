#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# A rotation of identity version 0, the only one that SPDK knows, as nvme-keyd-rotation(7) has it, with OpenSSL as the
# target. Old and new key have one identity there, so the target has the one or the other.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/probe.sh"

command -v ip >/dev/null && command -v nsenter >/dev/null || skip_all "needs ip and nsenter"

# A target on the machine of the host would count as one with the same keyring, so each has a network of its own.
network() {
    unshare --net sleep infinity &
    defer "kill $! 2>/dev/null"
    wait_for 10 other_network "$!" || skip_all "needs network namespaces"
}
other_network() { [ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
network
at_host=(nsenter "--net=/proc/$!/ns/net")
network
target_net=$!
at_target=(nsenter "--net=/proc/$target_net/ns/net")
"${at_host[@]}" ip link add wire type veth peer name wire netns "$target_net" || skip_all "needs virtual Ethernet"
"${at_host[@]}" ip addr add 10.9.0.2/24 dev wire && "${at_host[@]}" ip link set wire up
# A connection to an address of its own goes by lo.
"${at_target[@]}" ip link set lo up
"${at_target[@]}" ip addr add 10.9.0.1/24 dev wire && "${at_target[@]}" ip link set wire up
readonly PORT=4420 ADDRESS=10.9.0.1:4420

# The TLS PSK of version 0 in hex, by another program than ours: SPDK has the configured PSK and derives as RFC 8446 says.
spdk_psk() {
    python3 - "$HOST" "NVMe0R01 $HOST $SUBSYSTEM" "$1" <<'PY'
import base64, hashlib, hmac, struct, sys
host, identity, text = sys.argv[1:]
configured = base64.b64decode(text.split(":")[2])[:-4]
def expand(secret, label, context):
    info = struct.pack(">H", 32) + bytes([len(label)]) + label + bytes([len(context)]) + context
    key = hmac.digest(bytes(32), secret, hashlib.sha256)
    return hmac.digest(key, info + b"\x01", hashlib.sha256)
retained = expand(configured, b"tls13 HostNQN", host.encode())
print(expand(retained, b"tls13 nvme-tls-psk", identity.encode()).hex())
PY
}

# target_has PSK: the target is SPDK with this PSK for the host, which it was given in the place of another.
server=
target_has() {
    [ -z "$server" ] || { kill "$server" && wait "$server" 2>/dev/null; }
    "${at_target[@]}" openssl s_server -quiet -nocert -tls1_3 -accept "$ADDRESS" -psk "$(spdk_psk "$1")" \
        -psk_identity "NVMe0R01 $HOST $SUBSYSTEM" </dev/null >"$tmp/server" 2>&1 &
    server=$!
    defer "kill $server 2>/dev/null"
    wait_for 60 "${at_target[@]}" bash -c ": <>/dev/tcp/10.9.0.1/$PORT" 2>/dev/null || bail "s_server: $(<"$tmp/server")"
}

# answer ID: of a probe
answer() {
    run ctl probe "$1" --json=short "${@:2}"
    json 'o["results"][0]["answer"]' <<<"$out"
}
state_of() { ctl list --json=short | json "[k['state'] for k in o['keys'] if k['id'] == '$1'][0]"; }
# The TLS PSK of the only key in the ring, in hex.
offers() { keyctl pipe "$(keyctl rlist "$(ring)" | awk '{ print $1 }')" | od -An -v -tx1 | tr -d ' \n'; }

# --- before

export NVME_KEYD_CONTROLLERS=$tmp/controllers
mkdir -p "$NVME_KEYD_CONTROLLERS"
helpers_start "${at_host[@]}"
daemon_start -E "NVME_KEYD_PROBE=$probe" -E "NVME_KEYD_CONTROLLERS=$NVME_KEYD_CONTROLLERS"
old=$(psk old) new=$(psk new)
id=$(ctl add --hostnqn="$HOST" --subsysnqn="$SUBSYSTEM" --identity-version=0 <<<"$old") || bail "add"
target_has "$old"
is "the target takes the old PSK" "$(answer "$id" "--address=$ADDRESS")" accepted
is "the host offers it, as SPDK derives it" "$(offers)" "$(spdk_psk "$old")"

dir=$NVME_KEYD_CONTROLLERS/nvme0
mkdir "$dir"
echo "traddr=10.9.0.1,trsvcid=$PORT" >"$dir/address"
echo live >"$dir/state"
echo "$HOST" >"$dir/hostnqn"
echo "$SUBSYSTEM" >"$dir/subsysnqn"
printf '%08x\n' "$(keyctl rlist "$(ring)")" >"$dir/tls_key"

# --- the cutover

run ctl rotate "$id" --wait --no-block <<<"$new"
next=$(ctl list --json=short | json "[k['id'] for k in o['keys'] if k['id'] != '$id'][0]")
like "rotate says that both ends have to change together" "$err" "version 0"
is "the new key waits" "$(state_of "$next")" pending
is "the target refuses it" "$(answer "$next")" refused
run ctl activate "$next"
check "a switch is refused" test "$status" -ne 0
is "the host offers the old PSK" "$(offers)" "$(spdk_psk "$old")"

target_has "$new"
is "the target has changed: the old PSK is refused" "$(answer "$id")" refused
becomes "the host follows by itself" active state_of "$next"
is "it offers the new PSK" "$(offers)" "$(spdk_psk "$new")"
is "there is one key for the identity" "$(ring_names)" "NVMe0R01 $HOST $SUBSYSTEM"
is "the target takes it" "$(answer "$next")" accepted
is "the old key is the way back" "$(state_of "$id")" retiring

# --- and back

run ctl rotate --revert "$id"
check "back: refused while the target has the new PSK" test "$status" -ne 0
is "back: the host offers the new PSK" "$(offers)" "$(spdk_psk "$new")"
target_has "$old"
check "back: the target has the old PSK again" ctl rotate --revert "$id"
is "back: the host offers it" "$(offers)" "$(spdk_psk "$old")"
daemon_stop

finish
