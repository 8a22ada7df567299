#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# initrd-requests.sh (in the initramfs of scenario 84-upcall-initrd): asks as root for keys, and leaves lines
# NAME|ANSWER|MILLISECONDS in a directory that outlives switch-root. It runs with the programs of the dracut module alone.

. /opt/vm/initrd-requests.conf
results=/run/vm-initrd
mkdir -p "$results"

now_ms() {
    local up

    read -r up _ </proc/uptime
    echo $((10#${up%.*} * 1000 + 10#${up#*.} * 10))
}

# ask NAME TYPE DESCRIPTION: notes the payload or the error. An own session keeps it from finding a key.
ask() {
    local start answer

    start=$(now_ms)
    answer=$(keyctl session - bash -c 'key=$(keyctl request2 "$1" "$2" "" @s) && keyctl print "$key"' \
        bash "$2" "$3" 2>&1 | sed '/^Joined session keyring/d')
    echo "$1|${answer//$'\n'/ }|$(($(now_ms) - start))" >>"$results/results"
}

ask psk psk "$identity"
ask user user "nvme-tls-psk:$pair"
ask psk-unknown psk "NVMe1R01 $nobody AAAA="
ask user-unknown user "nvme-tls-psk:$nobody"
systemctl stop nvme-keyd.service
ask psk-cold psk "$identity"
systemctl stop nvme-keyd-request.socket nvme-keyd.socket nvme-keyd.service
ask nobody user "nvme-tls-psk:$pair"
systemctl start nvme-keyd.socket nvme-keyd-request.socket
exit 0
