#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-dracut.sh BUILD-DIRECTORY: makes initramfs images with the dracut module and looks at what is in them.
#
# The files that the build installs are laid over the machine's own, in a mount namespace that ends with the test,
# so dracut finds nvme-keyd installed. Kernel modules are left out (--no-kernel).

# Functions are called by check(), and the text in quotes is for another shell.
# shellcheck disable=SC2016,SC2317

set -u

build=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
# shellcheck source=SCRIPTDIR/images.sh
. "$here/images.sh"

# The second stage of this script, in namespaces of its own.
if [ "${2:-}" != --in-namespace ]; then
    tmp=$(mktemp -d)
    defer 'rm -rf "$tmp"'

    setup=$build/dracut/module-setup.sh
    [ -e "$setup" ] || skip_all "built without -Ddracut=true"
    check "bash can read it" bash -n "$setup"
    if command -v shellcheck >/dev/null; then
        check "shellcheck" shellcheck "$setup"
    else
        skip "shellcheck" "it is not installed"
    fi
    check "nothing is left to substitute" bash -c '! grep -n "@[A-Z_]*@" "$1"' bash "$setup"

    command -v dracut >/dev/null || skip_rest "dracut is not installed"
    command -v cpio >/dev/null || skip_rest "cpio is not installed"
    namespaces=()
    [ "$(id -u)" = 0 ] || namespaces=(--user --map-root-user)
    in_namespaces "$tmp" "${namespaces[@]}"
fi

tmp=$3
canary=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
lay_over
units=$(dirname "$(find "$tmp/dest" -name nvme-keyd.socket -printf '/%P')")
modules=$(dirname "$(find "$tmp/dest" -path '*/50nvme-keyd/module-setup.sh' -printf '/%P')")
rules=$(find "$tmp/dest" -path '*request-key.d/nvme-keyd.conf' -printf '/%P')

# The files of a machine in use. Of its secrets only the sealed store may go into an image.
declare -A groups=()
while read -r group; do
    groups[$group]=$((46711 + ${#groups[@]}))
done < <(sed -nE 's/^(Socket|Supplementary)?Groups?=//p' "$root$units"/nvme-keyd*.s*)
for group in "${!groups[@]}"; do
    sed -i "/^$group:/d" "$root/etc/group"
    echo "$group:x:${groups[$group]}:" >>"$root/etc/group"
done
rm -rf "$root/var/lib/nvme-keyd"
(umask 077 && mkdir -p "$root"/var/lib/nvme-keyd && echo '{}' >"$root/var/lib/nvme-keyd/store")
echo leftover >"$root/var/lib/nvme-keyd/store.new"
mkdir -p "$root"/etc/nvme "$root"/{etc,usr/lib}/nvme-keyd/nvme-keyd.conf.d "$root"/var/lib/systemd
echo nqn.2014-08.org.nvmexpress:uuid:6f1f3c0a-52c4-4b0b-9d1c-3a5d7e0c9b21 >"$root/etc/nvme/hostnqn"
mkdir "$root/etc/nvme/nvme-fabrics.conf.d"
echo '[Controller]' | tee "$root/etc/nvme/nvme-fabrics.conf" "$root/etc/nvme/nvme-stas.conf" "$root/etc/nvme/nvme-fabrics.conf.d/10-a.conf" >/dev/null
printf 'tls-key=NVMeTLSkey-1:01:%s:\n' "$canary" >"$root/etc/nvme/nvme-fabrics.conf.d/20-b.conf"
echo '[Store]' >"$root/etc/nvme-keyd/nvme-keyd.conf.d/10-test.conf"
echo '[Manager]' | tee "$root/usr/lib/nvme-keyd/nvme-keyd.conf.d/20-usr.conf" >"$root/usr/lib/nvme-keyd/nvme-keyd.conf.d/30-masked.conf"
ln -s /dev/null "$root/etc/nvme-keyd/nvme-keyd.conf.d/30-masked.conf"
# Any program will do where there is no tlshd and no nvme.
for f in tlshd nvme; do
    [ -e "$root/usr/sbin/$f" ] || cp /bin/true "$root/usr/sbin/$f"
done
# The plaintext keys of nvme-cli, and the key that opens credentials without a TPM.
echo "$canary" >"$root/etc/nvme/tls-keys"
rm -f "$root/var/lib/systemd/credential.secret"
echo "$canary" >"$root/var/lib/systemd/credential.secret"

# make_image NAME DRACUT-OPTIONS...: as an archive and unpacked, below $root/var/tmp
make_image() {
    local name=$1 status=0
    shift
    chroot "$root" dracut --force --no-kernel --no-compress --no-early-microcode --tmpdir /var/tmp "$@" \
        "/var/tmp/$name.img" "$(uname -r)" >"$tmp/$name.log" 2>&1 || status=$?
    [ "$status" = 0 ] || return
    mkdir "$root/var/tmp/$name"
    chroot "$root" bash -c 'cd "/var/tmp/$1" && lsinitrd --unpack "../$1.img"' bash "$name" >"$tmp/lsinitrd.log" 2>&1
}

in_image() { [ -e "$image$1" ] || [ -L "$image$1" ]; }
not_in_image() { ! in_image "$1"; }
mode_of() { [ "$(stat -c %a "$image$1")" = "$2" ]; }
# A wants link of a unit, wherever systemctl puts it.
wanted_by() { [ -L "$image/etc/systemd/system/$1.wants/$2" ] || [ -L "$image$units/$1.wants/$2" ]; }
no_canary() { ! grep -rqF "$canary" "$image"; }

# check_tree: the programs of the image make the tree where the unit looks for it, and it is complete
check_tree() {
    local tree status=0

    tree=$(sed -n 's/^RootDirectory=//p' "$image$units/nvme-keyd-tlshd.service")
    grep -qx "ExecStartPre=+$helpers/handshake-tree $tree" "$image$units/nvme-keyd-tlshd.service.d/10-initrd.conf" || return
    chroot "$image" "$helpers/handshake-tree" "$tree" || return
    [ "$(stat -f -c %T "$image$tree")" = tmpfs ] && LD_LIBRARY_PATH=/lib chroot "$image$tree" @tlshd --version &&
        # a second time it is there already
        chroot "$image" "$helpers/handshake-tree" "$tree" || status=1
    umount -R "$image$tree" && return "$status"
}

# check_common WHICH: what is the same in every image
check_common() {
    local f unit group

    for f in "$helpers/nvme-keyd" "$helpers/request-key-shim" "$bin/nvme-keyctl" "$rules" \
        "$units/nvme-keyd.service" "$units/nvme-keyd.socket" "$units/nvme-keyd-request.socket" \
        "$units/nvme-keyd-credentials.service" "$units/nvme-keyd-host-key.service" \
        "$units/nvme-keyd-preload.service" "$units/nvme-keyd-preload.service.d/10-initrd.conf" \
        "$units/nvme-keyd.service.d/10-stop.conf"; do
        check "$1: $f" in_image "$f"
    done
    # where the machine has it at all
    for f in /sbin/request-key /etc/request-key.conf \
        /usr/lib/x86_64-linux-gnu/libtss2-tcti-device.so.0 /usr/bin/systemd-creds; do
        [ ! -e "$root$f" ] || check "$1: $f" in_image "$f"
    done
    check "$1: modules-load.d" grep -rqx nvme_keyring "$image/usr/lib/modules-load.d"
    check "$1: udev rule" test -n "$(find "$image" -name 90-nvme-keyd.rules)"
    for unit in nvme-keyd.socket nvme-keyd-request.socket; do
        check "$1: $unit is enabled" wanted_by sockets.target "$unit"
    done
    check "$1: preload is enabled" wanted_by sysinit.target nvme-keyd-preload.service
    check "$1: tlshd.service of the real root is not there" not_in_image "$units/tlshd.service"
    check "$1: preload comes before the queue of dracut" grep -q '^Before=dracut-initqueue.service' \
        "$image$units/nvme-keyd-preload.service.d/10-initrd.conf"
    for group in "${!groups[@]}"; do
        check "$1: group $group has its number" grep -qx "$group:x:${groups[$group]}:" "$image/etc/group"
        check "$1: group $group has no other" [ "$(grep -c "^$group:" "$image/etc/group")" = 1 ]
    done
    for f in "$helpers/nvme-keyd" "$bin/nvme-keyctl"; do
        check "$1: $f finds its libraries" chroot "$image" "$f" --version
    done
    check "$1: no host key is made in it" grep -qx 'ConditionPathExists=!/etc/initrd-release' "$image$units/nvme-keyd-host-key.service"
    check "$1: no plaintext" no_canary
    check "$1: no key of systemd-creds" not_in_image /var/lib/systemd/credential.secret
}

check "an image for this machine" make_image host --hostonly --modules nvme-keyd || give_up "$tmp/host.log"
image=$root/var/tmp/host
check_common host
check "host: the store is there" cmp "$root/var/lib/nvme-keyd/store" "$image/var/lib/nvme-keyd/store"
check "host: it is private" mode_of /var/lib/nvme-keyd/store 600
check "host: it belongs to this host" grep -rq "^/*var/lib/nvme-keyd/store" "$image/lib/dracut/hostonly-files"
check "host: its directory is private" mode_of /var/lib/nvme-keyd 700
check "host: dracut warns of a store that will not open" grep -q 'the store has no tpm2 slot' "$tmp/host.log"
check "host: no leftover" not_in_image /var/lib/nvme-keyd/store.new
check "host: hostnqn" in_image /etc/nvme/hostnqn
check "host: drop-in of the configuration" in_image /etc/nvme-keyd/nvme-keyd.conf.d/10-test.conf
check "host: drop-in in /usr/lib" in_image /usr/lib/nvme-keyd/nvme-keyd.conf.d/20-usr.conf
check "host: a mask masks" in_image /etc/nvme-keyd/nvme-keyd.conf.d/30-masked.conf

for f in nvme-fabrics.conf nvme-stas.conf nvme-fabrics.conf.d/10-a.conf; do
    check "host: $f" in_image "/etc/nvme/$f"
done
check "host: no connection with a PSK in plain text" not_in_image /etc/nvme/nvme-fabrics.conf.d/20-b.conf
check "host: dracut says so" grep -q '/etc/nvme/nvme-fabrics.conf.d/20-b.conf has a PSK in plain text' "$tmp/host.log"

check "an image for any machine" make_image any --no-hostonly --modules nvme-keyd || give_up "$tmp/any.log"
image=$root/var/tmp/any
check_common any
check "any: no store" not_in_image /var/lib/nvme-keyd
check "any: no hostnqn" not_in_image /etc/nvme/hostnqn
check "any: no connections" not_in_image /etc/nvme/nvme-fabrics.conf
check "any: dracut says so" grep -q 'no keys in this image' "$tmp/any.log"

for name in host any; do
    image=$root/var/tmp/$name
    check "$name: no handshake daemon, which would take the place of that of the real root" \
        not_in_image "$units/nvme-keyd-tlshd.service"
done

# preload_starts FILE: whether the preload unit would start if only this file were there; "" for none
preload_starts() {
    local conditions status=0

    mapfile -t conditions < <(sed -n '/^Condition.*|/p' "$image$units/nvme-keyd-preload.service.d/10-initrd.conf")
    [ -z "$1" ] || { mkdir -p "$root${1%/*}" && touch "$root$1"; }
    chroot "$root" systemd-analyze condition "${conditions[@]}" || status=$?
    [ -z "$1" ] || rm "$root$1"
    return "$status"
}
preload_stays_away() { ! preload_starts ''; }

mv "$root/var/lib/nvme-keyd" "$tmp/away"
check "without store and credentials there is nothing to publish" preload_stays_away
for f in /var/lib/nvme-keyd/store /run/credentials/@system/nvme-keyd.psk.a /etc/credstore/nvme-keyd.psk \
    /etc/credstore.encrypted/nvme-keyd.psk.a /run/credstore/nvme-keyd.psk.a /usr/lib/credstore/nvme-keyd.psk; do
    check "with $f there is something to publish" preload_starts "$f"
done
rm -r "$root/var/lib/nvme-keyd"
mv "$tmp/away" "$root/var/lib/nvme-keyd"

# check_is STATUS HOSTONLY MISSING [SETTING]: what check() of the module returns
check_is() {
    local status=0

    chroot "$root" bash -c 'hostonly=$1 missing=$2; require_binaries() { [[ " $* " != *"/$missing "* ]]; }
                eval "${4:-}"; . "$3"; check' bash "$2" "$3" "$modules/module-setup.sh" "${4:-}" || status=$?
    echo "it is $status"
    [ "$status" = "$1" ]
}

# Only below our root: controllers over TLS, and one that is not.
mkdir -p "$root/sys/class"
mount -t tmpfs tmpfs "$root/sys/class"
mkdir -p "$root"/sys/class/nvme/nvme{0,1}
check "not by itself, for a machine without a controller over TLS" check_is 255 -h ''
echo >"$root/sys/class/nvme/nvme0/tls_key"
check "not by itself, for a controller without a key" check_is 255 -h ''
echo 2f0a1b3c >"$root/sys/class/nvme/nvme1/tls_key"
check "by itself, for a machine with a controller over TLS" check_is 0 -h ''
check "not by itself, for any machine" check_is 255 '' ''
check "by itself, for any machine, when keys are asked for" check_is 0 '' '' 'nvme_keyd_subsystems="*"'
check "by itself, for any machine, when the store is asked for" check_is 0 '' '' nvme_keyd_store=yes
# An image for kdump stays in memory while the machine runs. mkdumprd sets a variable, other tools add their module.
for kdump in 'IN_KDUMP=1' 'add_dracutmodules=" kdumpbase "' 'add_dracutmodules=" kdump "' 'dracutmodules="base kdumpbase"' \
    'mods_to_load=" base kdumpbase "'; do
    check "not for kdump: $kdump" check_is 255 -h '' "$kdump; nvme_keyd_subsystems='*' nvme_keyd_store=yes"
    check "for kdump when that is asked for: $kdump" check_is 0 -h '' "$kdump; nvme_keyd_kdump=yes"
done
check "for a module that is not that of kdump" check_is 0 -h '' 'add_dracutmodules=" earlykdump kdumpbase2 "'
check "for kdump with a value that makes no sense" check_is 1 -h '' 'IN_KDUMP=1 nvme_keyd_kdump=maybe'
for f in nvme-keyd request-key-shim nvme-keyctl; do
    check "never without $f" check_is 1 -h "$f"
done

echo '{"slots":[{"type":"systemd-creds"},{"type":"tpm2"}]}' >"$root/var/lib/nvme-keyd/store"
check "an image with a store that opens" make_image tpm2 --hostonly --modules nvme-keyd
check "dracut does not warn then" bash -c '! grep "the store has no tpm2 slot" "$1"' bash "$tmp/tpm2.log"

export IN_KDUMP=1
check "an image for kdump that asks for the module" make_image kdump --hostonly --modules nvme-keyd
image=$root/var/tmp/kdump
check "kdump: no store" not_in_image /var/lib/nvme-keyd
check "kdump: no daemon" not_in_image "$helpers/nvme-keyd"
check "kdump: no units" test -z "$(find "$image$units" -name '*nvme-keyd*' 2>/dev/null)"
echo nvme_keyd_kdump=yes >"$root/etc/dracut.conf.d/90-nvme-keyd.conf"
check "an image for kdump that asks for the keys" make_image kdump-keys --hostonly --modules nvme-keyd
image=$root/var/tmp/kdump-keys
check "kdump-keys: the store" in_image /var/lib/nvme-keyd/store
rm "$root/etc/dracut.conf.d/90-nvme-keyd.conf"
unset IN_KDUMP

# refuses WHY: dracut makes no image, and says why
refuses() {
    rm -f "$root/var/tmp/refused.img"
    if chroot "$root" dracut --force --no-kernel --hostonly --modules nvme-keyd /var/tmp/refused.img \
        >"$tmp/refused.log" 2>&1; then
        echo "it did not fail"
        return 1
    fi
    [ ! -e "$root/var/tmp/refused.img" ] && grep "$1" "$tmp/refused.log" >/dev/null && return
    cat "$tmp/refused.log"
    return 1
}

# spare NAME WHY: an image of that name is made without keys, and dracut says why
spare() {
    make_image "$1" --hostonly --modules nvme-keyd || {
        cat "$tmp/$1.log"
        return 1
    }
    [ ! -e "$root/var/tmp/$1/var/lib/nvme-keyd" ] && ! grep 'no tpm2 slot' "$tmp/$1.log" &&
        grep "$2.*This image does without" "$tmp/$1.log"
}

# The module's time limit for an error that may pass.
echo nvme_keyd_wait=1 >"$root/etc/dracut.conf.d/80-test.conf"
echo '# a hook of ours connects' >"$root/etc/nvme-keyd/connect.conf"
for f in tlshd nvme; do
    mv "$root/usr/sbin/$f" "$tmp/away"
    check "no image without $f, with a connect.conf" refuses "nvme-keyd: there is no $f, which connect.conf needs"
    mv "$tmp/away" "$root/usr/sbin/$f"
done
check "an image of one with a connect.conf" make_image root --hostonly --modules nvme-keyd
image=$root/var/tmp/root
check_common root
for f in /etc/nvme-keyd/connect.conf /usr/sbin/nvme "$helpers/initrd-connect" "$units/nvme-keyd-connect.service"; do
    check "root: $f" in_image "$f"
done
[ ! -e "$root/etc/tlshd.conf" ] || check "root: /etc/tlshd.conf" in_image /etc/tlshd.conf
check "root: the handshake daemon is enabled" wanted_by initrd.target nvme-keyd-tlshd.service
check "root: it is the same unit as in the real root" cmp "$root$units/nvme-keyd-tlshd.service" "$image$units/nvme-keyd-tlshd.service"
check "root: the handshake daemon gets its tree" check_tree
rm "$root/etc/nvme-keyd/connect.conf"

cp "$root/etc/group" "$tmp/group"
for group in "${!groups[@]}"; do
    sed -i "/^$group:/d" "$root/etc/group"
    check "no image without group $group" refuses "there is no group $group"
    cp "$tmp/group" "$root/etc/group"
done
# As in an image-based system (ostree, bootc).
for group in "${!groups[@]}"; do
    grep "^$group:" "$root/etc/group" >>"$root/usr/lib/group"
    sed -i "/^$group:/d" "$root/etc/group"
done

# --- real keys

# settings LINE...: of dracut.conf(5)
settings() { printf '%s\n' "$@" >"$root/etc/dracut.conf.d/90-nvme-keyd.conf"; }
ctl() { "$build/nvme-keyctl" --socket="$root/run/nvme-keyd/org.nvmekeyd.Manager" "$@"; }

# The service, on the store below $root. Root of a namespace has a user keyring of its own, so that no key of this
# machine is touched.
service_start() {
    unshare --user --map-root-user keyctl session - bash -c 'keyctl link @u @s && exec chroot "$1" \
                systemd-socket-activate --fdname=varlink -l /run/nvme-keyd/org.nvmekeyd.Manager \
                -E STATE_DIRECTORY=/var/lib/nvme-keyd "$2/nvme-keyd" -c /etc/nvme-keyd/test.conf' \
        bash "$root" "$helpers" >"$tmp/service.log" 2>&1 &
    service=$!
    for _ in {1..100}; do
        ctl status >/dev/null 2>&1 && return
        sleep 0.1
    done
    cat "$tmp/service.log"
    return 1
}
service_stop() {
    kill "$service"
    wait "$service" 2>/dev/null
    rm -f "$root/run/nvme-keyd/org.nvmekeyd.Manager"
}

# read_store DIRECTORY [OPTION]: below $root, by the reader that is not our code
read_store() { chroot "$root" python3 - ${2:+"$2"} "$1" <"$here/read-store.py"; }
ids_in() { read_store "$1" | sed -n 's/^{"id": "\([0-9a-f]*\)".*/\1/p' | sort | tr '\n' ' '; }
ids() { printf '%s\n' "$@" | sort | tr '\n' ' '; }

# Each key's configured PSK and TLS PSKs, the text of the first, and parts of the host key of systemd-creds.
list_secrets() {
    read_store /var/lib/nvme-keyd --show-secrets | python3 -c '
import json, sys
for line in sys.stdin:
    o = json.loads(line)
    data, part = bytes.fromhex(o["secret"]), 0
    while data:
        print("%s/%d" % (o["id"], part), data[2 : 2 + data[1]].hex())
        data, part = data[2 + data[1] :], part + 1'
    echo "text $(od -An -v -tx1 <"$tmp/psk" | tr -d ' \n')"
    for at in 16 48 1040 2032; do
        echo "host-key-$at $(tail -c +$((at + 1)) "$root/var/lib/systemd/credential.secret" |
            head -c 32 | od -An -v -tx1 | tr -d ' \n')"
    done
}
no_plaintext() { "$here/find-plaintext.py" "$@" <"$tmp/secrets"; }

# finds_each NAME: every form of a secret, in a file where it stands between other things
finds_each() {
    local form forms=0

    while read -r form; do
        {
            head -c 100 /dev/urandom
            python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.argv[1]))' "$form"
            head -c 100 /dev/urandom
        } >"$image/usr/planted"
        ! no_plaintext "$image/usr/planted" >/dev/null || return
        forms=$((forms + 1))
    done < <("$here/find-plaintext.py" --forms "$1" <"$tmp/secrets")
    no_plaintext "$image" | grep -q "usr/planted: $1," && rm "$image/usr/planted" && [ "$forms" -ge 9 ]
}

mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -m 755 "$root/run/nvme-keyd"
rm -rf "$root/var/lib/nvme-keyd" "$root/var/lib/systemd/credential.secret"
mkdir -m 700 "$root/var/lib/nvme-keyd"
printf '[Keyring]\nStandIn=yes\n' >"$root/etc/nvme-keyd/test.conf"
A=nqn.2026-11.org.example:a B=nqn.2026-11.org.example:b C=nqn.2026-11.org.example:c
service=
if ! service_start >"$tmp/start.log" 2>&1; then
    diag "$(<"$tmp/start.log")"
    skip_rest "the service cannot be run here"
fi
defer '[ -z "$service" ] || kill "$service"'
for f in "$A host" "$B target" "$C host"; do
    ctl generate --subsysnqn="${f% *}" --role="${f#* }" --print-key --hostnqn=nqn.2026-11.org.example:host \
        >"$tmp/made" 2>"$tmp/made.err" || give_up "$tmp/made.err"
    keys+=("$(head -n 1 "$tmp/made")")
    [ "${f% *}" != "$A" ] || tail -n 1 "$tmp/made" | tr -d '\n' >"$tmp/psk"
done
list_secrets >"$tmp/secrets"
check "secrets to look for" [ "$(wc -l <"$tmp/secrets")" -ge 11 ]
check "the search finds them where they are" bash -c '! "$@"' bash "$here/find-plaintext.py" "$root/var/lib/systemd" "$tmp/psk" <"$tmp/secrets"

# image_of NAME TEXT DRACUT-OPTIONS...: an image with keys or without, in which there is no secret.
image_of() {
    local name=$1 text=$2
    shift 2
    image=$root/var/tmp/$name
    check "$text" make_image "$name" --modules nvme-keyd "$@" || {
        diag "$(tail -n 60 "$tmp/$name.log")"
        return 1
    }
    check "$name: no plaintext, nor the key of systemd-creds" no_plaintext "$image"
}
# has_keys NAME ID...: these and no others
has_keys() {
    local name=$1
    shift
    check "$name: the keys that were asked for, no others" [ "$(ids_in "/var/tmp/$name/var/lib/nvme-keyd")" = "$(ids "$@")" ]
    check "$name: the store is private" [ "$(find "$image/var/lib/nvme-keyd" -printf '%m\n' | sort -u | tr '\n' ' ')" = "600 700 " ]
    check "$name: it belongs to this host" [ "$(grep -c '^/*var/lib/nvme-keyd/' "$image/lib/dracut/hostonly-files")" = \
        "$(find "$image/var/lib/nvme-keyd" -type f | wc -l)" ]
    check "$name: hostnqn" in_image /etc/nvme/hostnqn
}
is_copy() { grep -q '"image":' "$image/var/lib/nvme-keyd/store"; }
is_whole() { ! is_copy; }

settings
image_of whole "hostonly: the whole store" --hostonly
has_keys whole "${keys[@]}"
check "whole: it is the store as it is" is_whole
for secret in text "${keys[0]}/1" host-key-1040; do
    check "whole: $secret would be found" finds_each "$secret"
done

settings "nvme_keyd_subsystems=\"$C $A\""
image_of some "hostonly: keys of two subsystems" --hostonly
has_keys some "${keys[0]}" "${keys[2]}"
check "some: it is a copy" is_copy

settings 'nvme_keyd_subsystems="*"'
image_of all-any "no hostonly: a copy of all keys" --no-hostonly
has_keys all-any "${keys[@]}"
check "all-any: it is a copy" is_copy

settings 'nvme_keyd_store=yes'
image_of whole-any "no hostonly: the whole store, when asked for" --no-hostonly
has_keys whole-any "${keys[@]}"
check "whole-any: it is the store as it is" is_whole

settings 'nvme_keyd_store=no'
image_of none "hostonly: no keys, when asked for" --hostonly
check "none: no store" not_in_image /var/lib/nvme-keyd
check "none: dracut says so" grep -q 'no keys in this image' "$tmp/none.log"

settings 'nvme_keyd_store=maybe'
check "neither yes nor no" refuses 'nvme_keyd_store= is yes or no'
settings "nvme_keyd_subsystems=\"$A nqn.x\""
check "no image without a key that was asked for" refuses 'no key is for the subsystem NQN "nqn.x"'

# The counter makes files of the store useless after the next change. Our service does not look at the file again.
settings
sed -i '1s/"slots"/"rollbackCounter":{},"slots"/' "$root/var/lib/nvme-keyd/store"
image_of counter "a store with a rollback counter" --hostonly
has_keys counter "${keys[@]}"
check "counter: it is a copy" is_copy
service_stop
service=
check "a store with a rollback counter, and no service" refuses 'rollback counter.*\(cannot reach\|the group .* is missing\).*nvme-keyctl status.* Then run: dracut'
check "a rescue image is made without its keys" spare initramfs-0-rescue-4567 'rollback counter.*\(cannot reach\|the group .* is missing\)'
rm "$root/etc/dracut.conf.d/80-test.conf"
# a stand-in whose first call says that the store is locked
mv "$root$bin/nvme-keyctl" "$root$bin/nvme-keyctl.real"
printf '#!/bin/sh\n[ -e /run/asked ] || { : >/run/asked; echo "the store is locked" >&2; exit 8; }\nfor dir; do :; done\nmkdir -p "$dir" && echo {} >"$dir/store"\n' \
    >"$root$bin/nvme-keyctl"
chmod 755 "$root$bin/nvme-keyctl"
check "while the store is locked the module asks again" make_image again --hostonly --modules nvme-keyd
check "again: its copy is there" cmp "$root/var/tmp/again/var/lib/nvme-keyd/store" <(echo '{}')
mv "$root$bin/nvme-keyctl.real" "$root$bin/nvme-keyctl"
echo nvme_keyd_wait=1 >"$root/etc/dracut.conf.d/80-test.conf"
sed -i '1s/"rollbackCounter":{},//' "$root/var/lib/nvme-keyd/store"
image_of alone "the whole store, without the service" --hostonly
has_keys alone "${keys[@]}"

# --- the size of an image

# Without the kernel's modules, which are the same in most images.
size_of() { printf '%s bytes, %s with gzip' "$(stat -c %s "$root/var/tmp/$1.img")" "$(gzip -6 <"$root/var/tmp/$1.img" | wc -c)"; }
check "an image without nvme-keyd" make_image bare --hostonly --modules 'systemd-initrd systemd-modules-load systemd-tmpfiles'
diag "user space without nvme-keyd: $(size_of bare)"
diag "user space with nvme-keyd:    $(size_of whole)"

rm "$root$helpers/request-key-shim"
check "no image without the shim" refuses "nvme-keyd.*cannot be.* installed"
finish
