# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# needs: nvme-keyd
# shows: the keys return by themselves together with the module nvme_keyring

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:reload

id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove $id"
modprobe nvme-keyring
before=$(ring_list | cut -d' ' -f2-)
old_ring=$(nvme_ring)

check "unload all of NVMe over fabrics" modprobe -r nvmet-tcp nvme-tcp nvmet nvme-fabrics nvme-core nvme-keyring
is "nvme_keyring is gone" "$(ls -d /sys/module/nvme_keyring 2>/dev/null)" ""
check "load nvme_keyring" modprobe nvme-keyring
start=$(now_ms)
check ".nvme is a new keyring" test "$(nvme_ring)" != "$old_ring"

keys_are_back() { [ "$(ring_list | cut -d' ' -f2-)" = "$before" ]; }
check "the keys are back by themselves" wait_until 60 keys_are_back
diag "after $(($(now_ms) - start)) ms"
wait_until 60 record_serial "$id"
is "the listed serial is the new one" "$(record_serial "$id")" "$(ring_list | cut -d' ' -f1)"

# tlshd links .nvme only when it starts.
systemctl restart tlshd
check "a target with TLS" target_up "$sub"
defer target_down
check "connect" connect_tls "$sub"
defer "disconnect $sub"
