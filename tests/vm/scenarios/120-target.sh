# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: boot
# kernel: stock builtin
# needs: nvme-keyd
# suite: boot
# shows: a machine that is only a target accepts its PSKs from boot on, with its port enabled before nvme-keyd or after
# timeout: 240

. /opt/vm/lib.sh

before=nqn.2026-11.org.example:target-before
after=nqn.2026-11.org.example:target-after
host=nqn.2026-11.org.example:another-host
# The numbers of TLS_AES_128_GCM_SHA256 and TLS_AES_256_GCM_SHA384. The server of tlshd 1.0.0 takes any PSK as one for
# SHA-256, as its client does.
sha256=1301
sha384=1302

add() { nvme-keyctl add --role=target --hostnqn="$host" --subsysnqn="$1" <<<"$(new_psk "$2")"; }

# session HEX SUITE: a PSK of any hash as a session, since s_client -psk means SHA-256
session() {
    printf '%s\n' 'asn1 = SEQUENCE:session' '[session]' version=INTEGER:1 tls=INTEGER:0x0304 \
        "suite=FORMAT:HEX,OCTETSTRING:$2" id=FORMAT:HEX,OCTETSTRING:00 "psk=FORMAT:HEX,OCTETSTRING:$1" \
        "time=EXPLICIT:1,INTEGER:$(date +%s)" timeout=EXPLICIT:2,INTEGER:7200 >"$tmp/session.conf"
    openssl asn1parse -genconf "$tmp/session.conf" -noout -out "$tmp/session.der" &&
        openssl sess_id -inform DER -in "$tmp/session.der" -out "$tmp/session"
}
# accepts PORT IDENTITY HEX SUITE: does a TLS server take that PSK? No NVMe is needed for that.
accepts() {
    session "$3" "$4" || bail "no session"
    timeout 60 openssl s_client -tls1_3 -psk_session "$tmp/session" -psk_identity "$2" \
        -ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384 \
        -connect "127.0.0.1:$1" </dev/null >"$tmp/client" 2>&1
    grep -q '^Reused, TLSv1.3' "$tmp/client"
}
# accepts_key PORT SUBNQN SUITE
accepts_key() {
    local identity

    identity=$(record_of "$2" | jq -re '.identities[0].identity') && accepts "$1" "$identity" "$(key_hex "$identity")" "$3"
}

# accepts_any PORT SUBNQN
accepts_any() { accepts_key "$1" "$2" $sha384 || accepts_key "$1" "$2" $sha256; }

case $VM_PHASE in
1)
    check "a PSK with SHA-256" add "$before" 1
    check "a PSK with SHA-384" add "$after" 2
    boot_unit vm-before.service sysinit.target "target_up $before 1" DefaultDependencies=no \
        Wants=sys-kernel-config.mount 'After=sys-kernel-config.mount systemd-remount-fs.service' \
        'Before=nvme-keyd-preload.service tlshd.service'
    boot_unit vm-after.service multi-user.target "target_up $after 2" After=nvme-keyd-preload.service
    reboot_into 2
    ;;
2)
    defer "boot_unit_gone vm-before.service; boot_unit_gone vm-after.service; target_down"
    is "both ports are enabled" "$(failed_units)" ""
    read -r begun loaded < <(preload_times)
    enabled=$(unit_property vm-before.service ExecMainExitTimestampMonotonic)
    check "one before the keys were loaded" test 0 -lt "$enabled" -a "$enabled" -le "$begun"
    enabled=$(unit_property vm-after.service ExecMainStartTimestampMonotonic)
    check "one after that" test "$loaded" -le "$enabled"

    check "port enabled before: the PSK is accepted" accepts_key 4420 "$before" $sha256 ||
        sed 's/^/# /' "$tmp/client"
    check "port enabled after: the PSK is accepted, one of SHA-384" accepts_any 4421 "$after" ||
        sed 's/^/# /' "$tmp/client"
    identity=$(record_of "$before" | jq -r '.identities[0].identity')
    hex=$(key_hex "$identity")
    check_fails "control: an unknown identity is refused" \
        accepts 4420 "${identity/another-host/a-stranger}" "$hex" $sha256
    check_fails "control: another PSK is refused" \
        accepts 4420 "$identity" "$(tr 0-9a-f a-f0-9 <<<"$hex")" $sha256
    [ ! -e /proc/modules ] || check "nvme_tcp was never loaded" test ! -e /sys/module/nvme_tcp
    ;;
esac
