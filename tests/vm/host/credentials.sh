# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# System credentials that the guest has requested for its next start: lines WAY NAME=BASE64 of DIR/credentials, where WAY
# is smbios, fw_cfg or stub. Each is in a file of its own.

# credentials_qemu DIR: QEMU options for those that QEMU hands over.
credentials_qemu() {
    local way credential file n=0

    [ -e "$1/credentials" ] || return 0
    while read -r way credential; do
        n=$((n + 1)) file=$1/credential.$n
        case $way in
        smbios)
            printf 'io.systemd.credential.binary:%s' "$credential" >"$file"
            echo "-smbios type=11,path=$file"
            ;;
        fw_cfg)
            base64 -d <<<"${credential#*=}" >"$file"
            echo "-fw_cfg name=opt/io.systemd.credentials/${credential%%=*},file=$file"
            ;;
        esac
    done <"$1/credentials"
}

# credentials_stub DIR INITRD: prints the initrd to boot. As systemd-stub does, it adds an archive with the sealed
# credentials of the boot partition: .extra/credentials/NAME.cred.
credentials_stub() {
    local way credential extra=$1/stub/.extra/credentials

    if ! grep -qs '^stub ' "$1/credentials"; then
        echo "$2"
        return
    fi
    rm -rf "$1/stub"
    mkdir -p "$extra"
    while read -r way credential; do
        [ "$way" != stub ] || base64 -d <<<"${credential#*=}" >"$extra/${credential%%=*}.cred"
    done <"$1/credentials"
    chmod 0400 "$extra"/*
    (cd "$1/stub" && find .extra | cpio --quiet --create --format=newc) >"$1/initrd-stub"
    # In front, because the kernel finds an uncompressed archive by its beginning.
    cat "$2" >>"$1/initrd-stub"
    echo "$1/initrd-stub"
}
