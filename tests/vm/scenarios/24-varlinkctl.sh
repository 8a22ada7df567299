# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# needs: nvme-keyd
# shows: systemd's varlinkctl understands the service: information, interface, calls, and the errors of the standard

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:varlinkctl
socket=/run/nvme-keyd/org.nvmekeyd.Manager
interface=org.nvmekeyd.Manager

modprobe nvme-keyring
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove $id"

# foreign ARGUMENTS: varlinkctl, with its output in $out and its errors in $err
foreign() {
    local status
    varlinkctl "$@" >"$tmp/out" 2>"$tmp/err"
    status=$?
    out=$(<"$tmp/out") err=$(<"$tmp/err")
    return $status
}
# refuses TEXT ERROR METHOD [PARAMETERS]: by this error of org.varlink.service
refuses() {
    foreign call --json=short "$socket" "${@:3}"
    like "$1" "$? $err" "^1 .*org\.varlink\.service\.$2"
}

# The link is there for systemd 260 and newer; for others it is a way to the socket.
is "the registry leads to the socket" "$(readlink /run/varlink/registry/$interface)" "$socket"
for address in $socket unix:$socket /run/varlink/registry/$interface; do
    check "$address: info" foreign info --json=short "$address"
    is "its product, version and interfaces" \
        "$(jq -r '"\(.product) \(.version) \(.interfaces | sort | join(" "))"' <<<"$out")" \
        "nvme-keyd $(nvme-keyctl --version | awk 'NR == 1 { print $2 }') $interface org.varlink.service"
done
check "list-interfaces" foreign list-interfaces "$socket"
like "has ours" "$out" "$interface"
check "list-methods" foreign list-methods "$socket" $interface
is "each method of the definition" "$(wc -l <<<"$out")" "$(grep -c '^method ' /usr/share/varlink/$interface.varlink)"
check "introspect" foreign introspect "$socket" $interface
introspected=$out
is "the methods of the file that is installed" "$(grep -c '^ *method ' <<<"$introspected")" \
    "$(grep -c '^method ' /usr/share/varlink/$interface.varlink)"
check "its parser takes that file" foreign validate-idl /usr/share/varlink/$interface.varlink
check "introspect of the standard's own interface" foreign introspect "$socket" org.varlink.service

# Replies of a stream are JSON-SEQ: each begins with a record separator.
check "call List with more" foreign call --more --json=short "$socket" $interface.List '{}'
is "has the key" "$(tr -d '\036' <<<"$out" | jq -rs '[.[].key // empty | .id] | join(" ")')" "$id"
check "call Describe" foreign call --json=short "$socket" $interface.Describe "{\"id\":\"$id\"}"
is "describes it" "$(jq -r '.key.subsystemNQN' <<<"$out")" "$sub"
check "call Status" foreign call --json=short "$socket" $interface.Status '{}'
is "counts it" "$(jq .keys <<<"$out")" 1

refuses "an unknown method" MethodNotFound $interface.Nonsense '{}'
refuses "an unknown interface" InterfaceNotFound org.example.Other.Method '{}'
refuses "an unknown parameter" InvalidParameter $interface.Describe '{"nonsense":1}'
refuses "a parameter of another type" InvalidParameter $interface.Describe '{"id":7}'
refuses "a method that needs more than one reply" ExpectedMore $interface.List '{}'
foreign call --json=short "$socket" $interface.Describe '{"id":"0000000000000000"}'
like "an error of ours" "$? $err" "^1 .*$interface\.NoSuchKey"

# raw BYTES: what the service answers to them
raw() {
    python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(30)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b"\0")
sys.stdout.write(s.makefile("rb").read().rstrip(b"\0").decode())' "$socket" "$1"
}
is "a call that is no JSON" "$(raw '{"method":' | jq -r .error)" org.varlink.service.InvalidParameter
is "a call that is no object" "$(raw '[]' | jq -r .error)" org.varlink.service.InvalidParameter
check "the service goes on" foreign call "$socket" $interface.Status '{}'

nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups varlinkctl "$@"; }
check_fails "another user is not let in" nobody info "$socket"
