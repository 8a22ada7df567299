# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# shows: the guest itself: kernel, tlshd, target and plain nvme-cli, without nvme-keyd
# timeout: 180

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:harness

check "kernel modules load" modprobe -a nvme-tcp nvmet-tcp tls
check "there is a keyring .nvme" nvme_ring
check "tlshd runs" systemctl is-active tlshd
check "a target with TLS" target_up "$sub"
defer target_down

mark=$(journal_mark)
check_fails "connect without a key fails" connect_tls "$sub"
check "the kernel says why" grep -q 'no valid PSK found' <(journal_since "$mark" -k)

check "nvme gen-tls-key --insert" nvme gen-tls-key --hmac=1 --identity=1 --insert \
    --hostnqn="$HOSTNQN" --subsysnqn="$sub" --keyfile="$tmp/keyfile"
is "one key is there" "$(ring_count)" 1
check "connect with a key" connect_tls "$sub" || bail "no connection"
defer "disconnect $sub"
is "the connection uses that key" "$(tls_key_of "$sub")" "$(ring_list | cut -d' ' -f1)"
check "data comes back" data_check "$(bdev_of "$sub")"
check "disconnect" disconnect "$sub"

keyctl clear "$(nvme_ring)"
is "no key is there" "$(ring_count)" 0
check "nvme tls-key --import" nvme tls-key --import --keyfile="$tmp/keyfile"
check "connect with an imported key" connect_tls "$sub"
check "disconnect" disconnect "$sub"

check "the second nvme-cli runs" /opt/sid/nvme version
