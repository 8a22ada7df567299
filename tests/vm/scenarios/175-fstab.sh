# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: boot
# needs: nvme-keyd
# suite: boot
# shows: a file system of a TLS namespace in /etc/fstab is mounted at boot without help
# cmdline: nvme_tcp.tls_handshake_timeout=60 nvmet_tcp.tls_handshake_timeout=60
# timeout: 300

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:fstab
mount=/mnt/vm-tls
file=/var/lib/nvme-keyd-vm/namespace
config=/etc/nvme/discovery.conf
discovery=nqn.2014-08.org.nvmexpress.discovery

case $VM_PHASE in
1)
    check "a PSK for the discovery" nvme-keyctl add --subsysnqn="$discovery" <<<"$(new_psk)"
    check "a PSK for the subsystem" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)"
    check "a target with TLS" target_up "$sub" 1 "$file" || bail "no target"
    check "connect" connect_tls "$sub" || bail "no connection"
    check "a file system" mkfs.ext4 -q -L vm-tls "$(bdev_of "$sub")"
    mkdir -p "$mount"
    mount "$(bdev_of "$sub")" "$mount"
    echo content >"$mount/file"
    umount "$mount"
    disconnect "$sub" >/dev/null
    target_down

    # The other machine: up before this one connects, and down after this one has unmounted.
    boot_unit vm-target.service remote-fs-pre.target "target_up $sub 1 $file" \
        Wants=sys-kernel-config.mount 'After=sys-kernel-config.mount local-fs.target' \
        'Before=nvmf-autoconnect.service remote-fs-pre.target'
    cp /etc/fstab "$config" "$VM_STATE/"
    # the connections of nvmf-autoconnect.service
    echo "--transport=tcp --traddr=127.0.0.1 --trsvcid=4420 --keep-alive-tmo=30 --tls" >"$config"
    # the time is for slow guests
    echo "LABEL=vm-tls $mount ext4 _netdev,x-systemd.device-timeout=10min 0 2" >>/etc/fstab
    reboot_into 2
    ;;
2)
    defer "cp $VM_STATE/fstab /etc/fstab; cp $VM_STATE/discovery.conf $config; rm -f $file; boot_unit_gone vm-target.service"
    defer "umount $mount; nvme disconnect-all; target_down"
    check "the file system is mounted" wait_until 60 mountpoint -q "$mount" || diag "$(systemctl status --no-pager -n 5 mnt-vm\\x2dtls.mount nvmf-autoconnect.service 2>&1)"
    is "the file system has the written content" "$(cat "$mount/file")" content
    is "the connection uses our key" "$(tls_key_of "$sub")" "$(record_serial "$(record_of "$sub" | jq -r .id)")"
    is "no unit has failed" "$(failed_units)" ""
    check "the boot goes on" boot_went_on
    check "remote-fs.target is reached" systemctl is-active remote-fs.target
    mounted=$(unit_property 'mnt-vm\x2dtls.mount' ActiveEnterTimestampMonotonic)
    read -r _ loaded < <(preload_times)
    diag "keys at $loaded us, nvmf-autoconnect at $(unit_property nvmf-autoconnect.service ExecMainStartTimestampMonotonic) us, mounted at $mounted us"
    check "it was mounted after the keys were published" test 0 -lt "$loaded" -a "$loaded" -lt "$mounted"
    head -c 1M /dev/urandom >"$tmp/random"
    check "data comes back" eval 'cp "$tmp/random" "$mount/data" && umount "$mount" && mount "$mount" && cmp "$tmp/random" "$mount/data"'
    ;;
esac
