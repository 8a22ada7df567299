# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: upcall
# kernel: backports
# needs: nvme-keyd
# suite: upcall
# shows: twelve controllers that are reset at once find their keys, with a tlshd that unlinks the keyring after each handshake
# timeout: 600
#
# It is the last of its boot: abandoned handshakes hold for a while the modules that 85-livepatch unloads.

. /opt/vm/lib.sh

# The older kernel does not name the keyring, so no tlshd unlinks it there. The suite upcall runs on the newer one.
sub=nqn.2026-11.org.example:at-once
n=12

# The live controllers of the subsystem.
live() {
    local f

    for f in /sys/class/nvme/*/subsysnqn; do
        [ "$(cat "$f" 2>/dev/null)" != "$sub" ] || ! ctrl_live "$(basename "$(dirname "$f")")" || echo "$f"
    done
}
all_live() { [ "$(live | wc -l)" = $n ]; }

check "a tlshd that takes the keyring from the kernel" newer_tlshd || bail "no tlshd"
defer older_tlshd
check "a target with TLS" target_up "$sub" || bail "no target"
defer target_down
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove $id"
defer nvme disconnect-all

# On a machine with little memory the kernel queues few handshakes and refuses the others (-EAGAIN), so they are tried again.
options=(--nr-io-queues=1 --reconnect-delay=1)
check "connect" connect_tls "$sub" "${options[@]}"
is "tlshd is ready after a handshake" "$(tlshd_status)" "tlshd.service ready"
connected=1
while [ $connected -lt $n ] && connect_tls "$sub" "${options[@]}" --duplicate-connect >/dev/null; do
    connected=$((connected + 1))
done
is "$n controllers are connected" "$connected" $n
check "all live" wait_until 20 all_live

# reset FILE: fails if the handshake is refused, too
reset() { echo 1 >"${1%/*}/reset_controller" || :; }
mark=$(journal_mark)
for round in 1 2; do
    for f in $(live); do reset "$f" 2>/dev/null & done
    wait
    check "reset at once, $round: all are live again" wait_until 60 all_live
done
is "no handshake missed its key" \
    "$(journal_since "$mark" -u tlshd.service --grep='failed to search|Failed to read TLS psk' | wc -l)" 0
is "tlshd is ready at the end" "$(tlshd_status)" "tlshd.service ready"
check "data" data_check "$(bdev_of "$sub")"
