#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/vm/root-on-tls: the target. The second disk is a namespace over TLS. It gets the PSK at its first start;
# later its own nvme-keyd has it.

. /opt/vm/lib.sh
. /opt/vm/wire.sh

add_psk() { nvme-keyctl add --role=target --hostnqn="$(</etc/nvme/hostnqn)" --subsysnqn="$sub" --comment=root <"$HOST/psk"; }
has_keys() { [ "$(ring_count)" -gt 0 ]; }

host_mount || bail "no directory of the host"
if [ ! -e "$HOST/started" ]; then
    check "target: nvme-keyctl add" add_psk || bail "no PSK"
    touch "$HOST/started"
fi
modprobe nvme-keyring
check "target: its nvme-keyd has published the PSK" wait_until 60 has_keys
wire_up 10.9.0.1 || bail "no network"
check "target: serves the disk, with TLS" wire_serve
echo "target is up"
until [ -e "$HOST/stop" ]; do sleep 0.5; done
