# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# needs: nvme-keyd
# shows: a connection with a wrong key fails soon, and other connections go on

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:wrong
other=nqn.2026-11.org.example:other

for s in "$sub" "$other"; do
    check "a target $s" target_up "$s" || bail "no target"
    id=$(nvme-keyctl add --subsysnqn="$s" <<<"$(new_psk)") || bail "nvme-keyctl add"
    defer "nvme-keyctl remove $id"
    [ "$s" != "$sub" ] || identity=$(record_identity "$id")
done
defer target_down
check "another connection" connect_tls "$other"
defer "disconnect $other"
keys=$(ring_list)

# Host and target share .nvme here. So the host alone gets a second keyring, which has the same identity with other
# bytes. tlshd has to reach that key without possessing it, hence the permissions.
ring=$(keyctl newring vm-wrong @s)
wrong=$(head -c 32 /dev/urandom | keyctl padd psk "$identity" "$ring")
keyctl setperm "$ring" 0x3f3f0000
keyctl setperm "$wrong" 0x3f3f0000

mark=$(journal_mark)
start=$(now_ms)
check_fails "connect with the wrong key fails" connect_with "$sub" "keyring=$ring"
took=$(($(now_ms) - start))
diag "after $took ms"
check "connect with the wrong key fails in bounded time" test "$took" -lt 50000
check "the handshake failed" grep -q 'Handshake with .* failed' <(journal_since "$mark" -t tlshd)
check_fails "there is no controller" ctrl_of "$sub"

is "the keys are unharmed" "$(ring_list)" "$keys"
check "the other connection lives" ctrl_live "$(ctrl_of "$other")"
check "the other connection works" data_check "$(bdev_of "$other")"
check "the right key connects" connect_tls "$sub"
defer "disconnect $sub"
check "data comes back" data_check "$(bdev_of "$sub")"
