# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: upcall
# livepatch: yes
# kernel: both
# needs: nvme-keyd
# suite: upcall
# shows: with Provision=on-demand the kernel asks for a key, which is in .nvme for a while; where the kernel cannot ask, the key stays
# timeout: 400

. /opt/vm/lib.sh

config=/etc/nvme-keyd/nvme-keyd.conf.d/90-vm.conf
# An emulated guest takes some seconds after an answer.
lifetime=40
sub=nqn.2026-11.org.example:on-demand
target=nqn.2026-11.org.example:resident

provision() { nvme-keyctl status --json=short | jq -r ".provision.$1 // empty"; }
published() { [ -n "$(record_serial "$1")" ] && [ -n "$(key_serial "$(record_identity "$1")")" ]; }
not_published() { ! record_serial "$1" && [ -z "$(key_serial "$(record_identity "$1")")" ]; }
# key_lifetime SERIAL: seconds, as /proc/keys has them ("19s", "1m"); nothing for a key without an end
key_lifetime() {
    awk -v s="$(printf '%08x' "$1")" '$1 == s && $4 != "perm" && $4 != "expd" {
                t = $4 + 0; if ($4 ~ /m$/) t *= 60; print t }' /proc/keys
}
# published_for_a_while TEXT: by a request of the kernel
published_for_a_while() {
    local serial left

    serial=$(tls_key_of "$sub")
    check "$1: the key is in .nvme" published "$id"
    is "$1: it is the connection's" "$(record_serial "$id")" "$serial"
    left=$(key_lifetime "${serial:-0}")
    check "$1: for $lifetime s at most (${left:-for ever})" test "${left:-999}" -le "$lifetime"
    check "$1: and some seconds at least" test "${left:-0}" -gt 5
}

modprobe nvme-keyring
check "a target with TLS" target_up "$sub" || bail "no target"
defer target_down
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove $id"
target_id=$(nvme-keyctl add --role=target --hostnqn="$(</etc/nvme/hostnqn)" --subsysnqn="$target" <<<"$(new_psk)") || bail "nvme-keyctl add --role=target"
defer "nvme-keyctl remove $target_id"
defer "rm -f $config; systemctl restart nvme-keyd.service"

# --- a kernel that never asks

mkdir -p "$(dirname "$config")"
printf '[Manager]\nProvision=on-demand\nOnDemandTimeoutSec=%ds\n' "$lifetime" >"$config"
mark=$(journal_mark)
systemctl restart nvme-keyd.service
check "stock kernel: the key is resident" published "$id"
is "stock kernel: for ever" "$(key_lifetime "$(record_serial "$id")")" ""
check "stock kernel: the journal says why" grep -qF 'Refused Provision=on-demand' <(journal_since "$mark" --priority=err)
is "stock kernel: the mode is another one" "$(provision mode)" resident
check "stock kernel: nvme-keyctl status says why" grep -q 'kernel never asks' <(nvme-keyctl status)

# --- one that asks

check "the livepatch is in use" patch_load || bail "no livepatch"
defer "disconnect $sub; patch_unload"
systemctl restart nvme-keyd.service
is "the mode" "$(provision mode) $(provision timeoutSec)" "on_demand $lifetime"
left=$(key_lifetime "$(record_serial "$id")")
check "the resident key has a timeout now (${left:-for ever})" test "${left:-999}" -le "$lifetime"
systemctl stop nvme-keyd.service 2>/dev/null
forget_keys
systemctl start nvme-keyd.service
check "after the start the host's key is not in .nvme" not_published "$id"
check "the key of a target is in .nvme" published "$target_id"
is "the key of a target has no timeout" "$(key_lifetime "$(record_serial "$target_id")")" ""

check "connect" connect_tls "$sub" || bail "no connection"
published_for_a_while "connect"
check "data comes back" data_check "$(bdev_of "$sub")"

check "after $lifetime s it is gone" wait_until $((lifetime + 60)) not_published "$id"
check "the key of the target is still in .nvme" published "$target_id"
ctrl=$(ctrl_of "$sub")
check "the connection is alive without it" data_check "$(bdev_of "$sub")"
check "reset" nvme reset "/dev/$ctrl"
check "reset: the controller is live again" wait_until 60 ctrl_live "$ctrl"
published_for_a_while "reset"
check "reset: data comes back" data_check "$(bdev_of "$sub")"
disconnect "$sub" >/dev/null

# --- and one that stops asking

check "the livepatch is taken out" patch_unload
check "the key is resident again" published "$id"
is "the resident key has no timeout" "$(key_lifetime "$(record_serial "$id")")" ""
