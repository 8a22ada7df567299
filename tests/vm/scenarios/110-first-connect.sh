# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: boot
# needs: nvme-keyd
# suite: boot
# shows: the first connect succeeds each time, with nvme_tcp not loaded before; with the udev rule of nvme-cli alone it fails
# timeout: 400

. /opt/vm/lib.sh

n=${VM_RELOADS:-20}
sub=nqn.2026-11.org.example:first
keyfile=/etc/nvme/tls-keys
units="nvme-keyd.service nvme-keyd.socket nvme-keyd-request.socket nvme-keyd-preload.service"

# Not modprobe -r: that takes nvme_keyring as well, and .nvme with it.
unload() {
    local module

    for module in nvme_tcp nvmet_tcp nvmet nvme_fabrics; do
        [ ! -e "/sys/module/$module" ] || wait_until 20 rmmod "$module" || {
            echo "$module stays"
            return 1
        }
    done
}
# Makes the first connect after a reload, and prints what went wrong; asked is set once nvme was run.
first_connect() {
    asked=no
    disconnect "$sub"
    target_down
    unload && target_up "$sub" || return
    [ ! -e /sys/module/nvme_tcp ] || {
        echo "nvme_tcp is loaded already"
        return 1
    }
    asked=yes
    connect_tls "$sub"
}
has_key() { [ "$(ring_count)" = 1 ]; }

case $VM_PHASE in
1)
    check "nvme-keyctl add" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)"
    defer "disconnect $sub; target_down; rm -f $keyfile"
    good=0
    for ((i = 1; i <= n; i++)); do
        if first_connect >"$tmp/out" 2>&1; then
            good=$((good + 1))
        else
            diag "connect $i: $(tr '\n' ' ' <"$tmp/out")"
        fi
    done
    is "of $n first connects these succeeded" "$good" "$n"
    is "the connection uses the key of nvme-keyd" "$(tls_key_of "$sub")" "$(record_serial "$(record_of "$sub" | jq -r .id)")"

    # The control: the same without nvme-keyd, by the rule of nvme-cli.
    check "nvme-cli has a udev rule" grep -q nvme_tcp.*tls-keys /usr/lib/udev/rules.d/70-nvmf-keys.rules
    check "the key for nvme-cli" nvme tls-key --export --keyfile="$keyfile"
    # shellcheck disable=SC2086 # words
    systemctl mask --runtime --now $units 2>/dev/null
    for ((i = 1; i <= 10; i++)); do
        forget_keys || bail ".nvme is not empty"
        first_connect >"$tmp/out" 2>&1 || break
    done
    check "control: by the udev rule a first connect fails, which is number $i" test "$i" -le 10 -a "$asked" = yes
    diag "$(tr '\n' ' ' <"$tmp/out")"
    check "control: the rule has the key there later" wait_until 30 has_key
    check "control: with which the same connect succeeds" connect_tls "$sub"
    disconnect "$sub" >/dev/null
    rm "$keyfile"
    # shellcheck disable=SC2086
    systemctl unmask --runtime $units 2>/dev/null
    reboot_into 2
    ;;
2)
    check "nvme_tcp is not loaded yet" test ! -e /sys/module/nvme_tcp
    check "a target with TLS" target_up "$sub"
    defer target_down
    check "the first connect after a boot" connect_tls "$sub"
    defer "disconnect $sub"
    check "data comes back" data_check "$(bdev_of "$sub")"
    ;;
esac
