#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/vm/root-on-tls, first: the machine while it still has a disk of its own. Its TPM seals a PSK, for the machine
# without a disk that it will be.

. /opt/vm/lib.sh

sub=$(kernel_param subnqn)

enrol() {
    local answer id

    answer=$(nvme-keyctl generate --subsysnqn="$sub" --print-key) || return
    id=$(head -n 1 <<<"$answer")
    # The target gets it, and it must be nowhere else.
    tail -n 1 <<<"$answer" >"$HOST/psk"
    modprobe nvme-keyring
    wait_until 20 test -n "$(key_hex "$(record_identity "$id")")" || return
    key_hex "$(record_identity "$id")" >"$HOST/hex"
}

settings() {
    # The initramfs mounts the root.
    echo 'LABEL=nvme-root / ext4 rw 0 1' >/etc/fstab
    mkdir -p /etc/nvme-keyd
    # A slow guest misses the keep-alive of 5 s.
    echo "--transport=tcp --traddr=10.9.0.1 --trsvcid=4420 --nqn=$sub --keep-alive-tmo=30 --reconnect-delay=5" \
        >/etc/nvme-keyd/connect.conf
}

host_mount || bail "no directory of the host"
check "enrol: a PSK, which the TPM seals" enrol || bail "no PSK"
is "enrol: the store has a slot of the TPM" "$(header_slots | grep -ow tpm2)" tpm2
settings
echo "enrolled"
