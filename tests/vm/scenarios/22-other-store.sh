# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# needs: nvme-keyd
# shows: a controller keeps the key that it uses, although another store, without that key, has taken the place of the first

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:other-store
aside=/var/lib/nvme-keyd.aside

store_swap() {
    systemctl stop nvme-keyd.service &&
        find /var/lib/nvme-keyd -mindepth 1 -maxdepth 1 -exec mv -t "$aside.out" {} + &&
        find "$aside" -mindepth 1 -maxdepth 1 -exec mv -t /var/lib/nvme-keyd {} + &&
        find "$aside.out" -mindepth 1 -maxdepth 1 -exec mv -t "$aside" {} +
}
mkdir -m 700 "$aside" "$aside.out"
defer "rm -rf $aside $aside.out"

check "a target with TLS" target_up "$sub" || bail "no target"
defer target_down
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
serial=$(record_serial "$id") || bail "the record is not published"
defer "nvme-keyctl remove $id"
check "connect" connect_tls "$sub" || bail "no connection"
defer "disconnect $sub"
ctrl=$(ctrl_of "$sub")

check_fails "its key cannot be removed without force" nvme-keyctl remove "$id"
is "nothing was removed" "$(tls_key_of "$sub") $(record_serial "$id")" "$serial $serial"

mark=$(journal_mark)
check "another store takes the place of this one" store_swap
other=$(nvme-keyctl add --subsysnqn=nqn.2026-11.org.example:unrelated <<<"$(new_psk)") || bail "nvme-keyctl add"
is "the other store does not have the key" "$(record_of "$sub" | wc -l)" 0
check "sync" nvme-keyctl sync
is "the key stays" "$(nvme-keyctl sync --json=short | jq .held)" 1
check "status names the controller" grep -q "$sub.* $ctrl " <(nvme-keyctl status)
check "the journal does, once" [ "$(journal_since "$mark" | grep -c "stays in .nvme, because controller $ctrl")" = 1 ]
echo 1 >"/sys/class/nvme/$ctrl/reset_controller"
check "the controller survives a reset" wait_until 30 ctrl_live "$ctrl"

check "its own store comes back" store_swap
is "all is as it was" "$(nvme-keyctl sync --json=short | jq -c '[.held, .failed]') $(record_serial "$id")" "[0,0] $serial"
is "the key of the other store is gone" "$(nvme-keyctl list --json=short | jq --arg i "$other" '[.keys[] | select(.id == $i)] | length')" 0
