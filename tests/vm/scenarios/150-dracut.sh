# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: alone
# tpm: yes
# needs: nvme-keyd
# suite: boot
# long: yes
# shows: an image for any machine with the key of one subsystem: published before the queue of dracut and after switch-root, with no plaintext anywhere
# timeout: 900

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:root
other=nqn.2026-11.org.example:other
late=nqn.2026-11.org.example:late

make_initrd() {
    local root=$tmp/include

    mkdir -p "$root/usr/lib/dracut"
    # as modules that connect something leave it
    : >"$root/usr/lib/dracut/need-initqueue"
    look_in_initramfs
    echo "nvme_keyd_subsystems=\"$sub\"" >/etc/dracut.conf.d/nvme-keyd.conf
    # As little as possible: under emulation an ordinary one takes more than two minutes.
    dracut --force --no-hostonly --no-compress \
        --modules 'nvme-keyd bash base dracut-systemd udev-rules' --add-drivers 'virtio_blk virtio_pci ext4' \
        --include "$root" / "$HOST/initrd.img" "$(uname -r)"
}
secret() { printf '%s %s\n' "$1" "$2"; }
hex() { od -An -v -tx1 | tr -d ' \n'; }
# secrets_of NAME TEXT IDENTITY: the PSK in the interchange format, its bytes, the TLS PSK
secrets_of() {
    secret "$1-text" "$(printf %s "$2" | hex)"
    secret "$1-configured" "$(cut -d : -f 3 <<<"$2" | base64 -d | head -c 32 | hex)"
    secret "$1-tls" "$(key_hex "$3")"
}
no_plaintext() { python3 /opt/vm/find-plaintext.py "$@" <"$VM_STATE/secrets"; }
# in_image: ids of the records
in_image() { lsinitrd -f var/lib/nvme-keyd/store "$HOST/initrd.img" | sed -n 's,^{"id":"\([0-9a-f]*\)".*,\1,p' | tr '\n' ' '; }
# first_message UNIT MESSAGE-ID: microseconds since boot
first_message() { journalctl --boot --quiet --output=json UNIT="$1" MESSAGE_ID="$2" | head -n 1 | jq -r .__MONOTONIC_TIMESTAMP; }
field() { awk -v n="$1" '{ print $n }' $LOOKED; }

case $VM_PHASE in
1)
    modprobe nvme-keyring
    psk=$(new_psk)
    id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$psk") || bail "nvme-keyctl add"
    psk_other=$(new_psk)
    id_other=$(nvme-keyctl add --subsysnqn="$other" <<<"$psk_other") || bail "nvme-keyctl add"
    record_identity "$id" >"$VM_STATE/identity"
    secrets_of root "$psk" "$(record_identity "$id")" >"$VM_STATE/secrets"
    secrets_of other "$psk_other" "$(record_identity "$id_other")" >>"$VM_STATE/secrets"
    slot=$(nvme-keyctl slot list --json=short | jq -re '.slots[] | select(.type == "tpm2") | .id') || bail "no slot of the TPM"
    check "the store has a rollback counter" nvme-keyctl slot reseal "$slot" --rollback-counter
    check "a place for the image" host_mount || bail "no directory of the host"
    start=$(now_ms)
    check "dracut --no-hostonly" make_initrd || bail "no image"
    diag "dracut: $(($(now_ms) - start)) ms, $(stat -c %s "$HOST/initrd.img") bytes"
    is "the image has the key of the subsystem, no other" "$(in_image)" "$id "
    grep '^root-' "$VM_STATE/secrets" >"$tmp/root"
    check "no plaintext in the image" python3 /opt/vm/find-plaintext.py "$HOST/initrd.img" <"$tmp/root"
    # the files that the image was made from would not open now
    check "the store changes" nvme-keyctl generate --subsysnqn="$late"
    systemctl stop nvme-keyd.service 2>/dev/null
    host_request initrd
    reboot_into 2
    ;;
2)
    [ -e $LOOKED ] || bail "the initramfs has written no list of .nvme"
    identity=$(cat "$VM_STATE/identity")
    is "initramfs: one key" "$(wc -l <$LOOKED)" 1
    check "initramfs: it is the key of the subsystem" grep -qF "$identity" $LOOKED
    published=$(first_message nvme-keyd-preload.service 39f53479d3a045ac8e11786248231fbf)
    queue=$(first_message dracut-initqueue.service 7d4958e842da4a758f6c1cdc7b36dcc5)
    diag "initramfs: keys at $published us, the queue of dracut at $queue us"
    check "initramfs: before dracut's queue" [ "$published" -lt "$queue" ]
    is "the same kernel key after switch-root" "$(key_serial "$identity")" $((16#$(field 1)))
    is "of the same owner" "$(awk -v d="$(field 1)" '$1 == d { print $6, $7 }' /proc/keys)" "$(field 6) $(field 7)"
    check "the real root has all three" wait_until 60 eval '[ "$(ring_count)" = 3 ]'
    is "its service knows them as published" \
        "$(nvme-keyctl status --json=short | jq -r '"\(.keys) \(.published) \(.broken) \(.store.state) \(.store.slot)"')" "3 3 0 open tpm2"
    check "the store goes on being changed" nvme-keyctl remove "$(record_of "$late" | jq -r .id)"
    is "nothing of the image is left" "$(find /run -name store -path '*nvme-keyd*')" ""
    journalctl --boot --output=export >"$VM_STATE/journal"
    dmesg >"$VM_STATE/dmesg"
    check "no plaintext in /run, in the journal, on the console" no_plaintext /run "$VM_STATE/journal" "$VM_STATE/dmesg"
    sed -n 's/^root-tls //p' "$VM_STATE/secrets" >/run/vm-planted
    check_fails "control: a plaintext would be found" no_plaintext /run
    rm /run/vm-planted
    ;;
esac
