#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-initramfs-tools.sh BUILD-DIRECTORY: has mkinitramfs make images, looks at what is in them, and
# runs the scripts of one, by klibc's shell, as far as that goes without its kernel.
#
# The files that the build installs are laid over the machine's own, in a mount namespace that ends with
# the test. There are no kernel modules.

# Functions are called by check(), and the text in quotes is for another shell.
# shellcheck disable=SC2016,SC2317

set -u

build=$(realpath "$1")
source=$(realpath "$(dirname "$0")/../..")
# shellcheck source=SCRIPTDIR/images.sh
. "$(dirname "$0")/images.sh"

# The second stage of this script, in namespaces of its own.
if [ "${2:-}" != --in-namespace ]; then
    tmp=$(mktemp -d)
    defer 'rm -rf "$tmp"'

    [ -d "$build/initramfs-tools" ] || skip_all "built without -Dinitramfs-tools=true"
    command -v mkinitramfs >/dev/null || skip_rest "initramfs-tools is not installed"
    [ -x /usr/lib/klibc/bin/sh ] || skip_rest "klibc-utils is not installed"
    [ "$(id -u)" = 0 ] || skip_rest "needs root"
    # The script leaves a daemon running, which ends with the PID namespace.
    in_namespaces "$tmp" --pid --fork --kill-child --mount-proc
fi

tmp=$3
canary=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
version=6.0.0-none
group=nvme-keyd:x:46711:
lay_over
mkdir -p "$root/usr/lib/modules/$version" "$root/boot"
echo CONFIG_RD_GZIP=y >"$root/boot/config-$version"
rm -f "$root"/etc/initramfs-tools/conf.d/* "$root"/etc/nvme-keyd/*.conf
printf '%s\n' MODULES=list COMPRESS=gzip BUSYBOX=n >"$root/etc/initramfs-tools/conf.d/test"
# A handshake daemon that ends at once, and is started again.
cp /usr/bin/true "$root/usr/sbin/tlshd"
printf '#!/bin/sh\necho "no such target" >&2\nexit 1\n' >"$root/usr/sbin/nvme"
chmod 755 "$root/usr/sbin/nvme"

# The files of a machine in use. Of its secrets only the sealed store may go into an image. The group is in
# /usr/lib, as in an image-based system (ostree, bootc).
sed -i '/^nvme-keyd:/d' "$root/etc/group"
echo "$group" >>"$root/usr/lib/group"
rm -rf "$root/var/lib/nvme-keyd"
(umask 077 && mkdir -p "$root"/var/lib/nvme-keyd && echo '{}' >"$root/var/lib/nvme-keyd/store")
echo leftover >"$root/var/lib/nvme-keyd/store.new"
mkdir -p "$root"/etc/nvme "$root"/{etc,usr/lib}/nvme-keyd/nvme-keyd.conf.d "$root/var/lib/systemd"
echo nqn.2014-08.org.nvmexpress:uuid:6f1f3c0a-52c4-4b0b-9d1c-3a5d7e0c9b21 >"$root/etc/nvme/hostnqn"
echo '[Manager]' >"$root/etc/nvme-keyd/nvme-keyd.conf.d/10-test.conf"
echo '[Manager]' | tee "$root/usr/lib/nvme-keyd/nvme-keyd.conf.d/20-usr.conf" >"$root/usr/lib/nvme-keyd/nvme-keyd.conf.d/30-masked.conf"
ln -s /dev/null "$root/etc/nvme-keyd/nvme-keyd.conf.d/30-masked.conf"
# The plaintext keys of nvme-cli, and the key that opens credentials without a TPM.
for f in /etc/nvme/tls-keys /var/lib/systemd/credential.secret; do
    rm -f "$root$f"
    echo "$canary" >"$root$f"
done

# make_image NAME: makes and unpacks an image; the output is in NAME.log
make_image() {
    image=$tmp/mnt/$1
    chroot "$root" mkinitramfs -o "/var/tmp/$1.img" "$version" >"$tmp/$1.log" 2>&1 &&
        chroot "$root" unmkinitramfs "/var/tmp/$1.img" "/var/tmp/$1" && cp -a "$root/var/tmp/$1" "$image"
}
# refuses WHY: mkinitramfs makes no image, and says why
refuses() {
    ! chroot "$root" mkinitramfs -o /var/tmp/refused.img "$version" >"$tmp/refused.log" 2>&1 &&
        grep -e "$1" "$tmp/refused.log"
}
in_image() { [ -e "$image$1" ] || [ -L "$image$1" ]; }
not_in_image() { ! in_image "$1"; }
mode_of() { [ "$(stat -c %a "$image$1")" = "$2" ]; }
not_said() { ! grep "$1" "$2"; }

# --- images

check "an image of a machine that does not ask for it" make_image none || give_up "$tmp/none.log"
check "none: no daemon" not_in_image "$helpers/nvme-keyd"
check "none: no store" not_in_image /var/lib/nvme-keyd
mkdir -p "$image/proc"
mount --bind /proc "$image/proc"
for script in local-top local-block; do
    check "none: scripts/$script/nvme-keyd has nothing to do" \
        bash -c 'test -z "$(chroot "$1" "$2" 2>&1)"' bash "$image" "/scripts/$script/nvme-keyd"
done

echo --transport=tcp --traddr=192.0.2.1 --nqn=nqn.2026-11.org.example:a >"$root/etc/nvme-keyd/connect.conf"
check "an image of one with a connect.conf" make_image host || give_up "$tmp/host.log"
for f in "$helpers"/{nvme-keyd,handshake-tree,handshake-loop,initrd-connect} /usr/sbin/{tlshd,nvme} /usr/bin/{keyctl,timeout} \
    /etc/nvme-keyd/{connect.conf,nvme-keyd.conf.d/10-test.conf} /etc/nvme/hostnqn; do
    check "host: $f" in_image "$f"
done
check "host: drop-in in /usr/lib" in_image /usr/lib/nvme-keyd/nvme-keyd.conf.d/20-usr.conf
check "host: a mask masks" test -e "$image/etc/nvme-keyd/nvme-keyd.conf.d/30-masked.conf" -a ! -s "$image/etc/nvme-keyd/nvme-keyd.conf.d/30-masked.conf"
check "host: the store is there" cmp "$root/var/lib/nvme-keyd/store" "$image/var/lib/nvme-keyd/store"
check "host: it is private" mode_of /var/lib/nvme-keyd/store 600
check "host: its directory is private" mode_of /var/lib/nvme-keyd 700
check "host: no leftover" not_in_image /var/lib/nvme-keyd/store.new
check "host: the group has its number" test "$(cat "$image/etc/group")" = "$group"
check "host: the image is for root only" test "$(stat -c %a "$root/var/tmp/host.img")" = 600
check "host: no plaintext" bash -c '! grep -rlF "$1" "$2"' bash "$canary" "$image"
check "host: a warning of a store that will not open" grep 'the store has no tpm2 slot' "$tmp/host.log"
check "host: the daemon finds its libraries" chroot "$image" "$helpers/nvme-keyd" --version
for f in "$root"/usr/lib/*/libtss2-tcti-device.so.0; do
    [ ! -e "$f" ] || check "host: the library for the TPM's device" in_image "${f#"$root"}"
done

# The programs that an image must have.
for f in "$helpers"/{nvme-keyd,handshake-tree,handshake-loop,initrd-connect} /usr/bin/{keyctl,timeout} /usr/sbin/{tlshd,nvme}; do
    mv "$root$f" "$tmp/away"
    case $f in
    /usr/sbin/*) why="there is no ${f##*/}, which connect.conf needs" ;;
    *) why="cannot copy $f" ;;
    esac
    check "no image without $f" refuses "^E: nvme-keyd: $why.* Then run: update-initramfs -u -k $version\$"
    mv "$tmp/away" "$root$f"
done
mv "$root/var/lib/nvme-keyd" "$tmp/away"
check "an image without keys" make_image keyless
check "keyless: for root only, because of connect.conf" test "$(stat -c %a "$root/var/tmp/keyless.img")" = 600
mv "$tmp/away" "$root/var/lib/nvme-keyd"

echo 'NVME_KEYD=no' >"$root/etc/nvme-keyd/initramfs.conf"
check "an image of one that does not want it" make_image not
check "not: no store" not_in_image /var/lib/nvme-keyd
rm "$root"/etc/nvme-keyd/{connect,initramfs}.conf

mkdir -p "$root/sys/class"
mount -t tmpfs tmpfs "$root/sys/class"
mkdir -p "$root"/sys/class/nvme/nvme{0,1}
echo >"$root/sys/class/nvme/nvme0/tls_key"
echo 2f0a1b3c >"$root/sys/class/nvme/nvme1/tls_key"
echo '{"slots":[{"type":"systemd-creds"},{"type":"tpm2"}]}' >"$root/var/lib/nvme-keyd/store"
check "an image of one with a controller over TLS" make_image tls
in_script() { grep -q "$1" "$image/scripts/local-top/nvme-keyd"; }
check "tls: the store is there" in_image /var/lib/nvme-keyd/store
check "tls: no handshake daemon, which would take the place of that of the real root" not_in_image /usr/sbin/tlshd
check "tls: no warning" not_said 'W: nvme-keyd' "$tmp/tls.log"

# An image as the hook of kdump-tools makes it, and one in another place.
make_kdump_image() {
    local dir=$2
    mkdir -p "$root$dir"
    cp -a "$root/etc/initramfs-tools/." "$root$dir"
    [ -z "${3-}" ] || echo "$3" >>"$root$dir/initramfs.conf"
    image=$tmp/mnt/$1
    chroot "$root" mkinitramfs -d "$dir" -o "/var/tmp/$1.img" "$version" >"$tmp/$1.log" 2>&1 &&
        chroot "$root" unmkinitramfs "/var/tmp/$1.img" "/var/tmp/$1" && cp -a "$root/var/tmp/$1" "$image"
}
check "an image for kdump" make_kdump_image kdump /var/lib/kdump/initramfs-tools KDUMP=y
check "kdump: no store" not_in_image /var/lib/nvme-keyd
check "kdump: no daemon" not_in_image "$helpers/nvme-keyd"
echo NVME_KEYD=yes >"$root/etc/nvme-keyd/initramfs.conf"
check "an image for kdump with a configuration elsewhere" make_kdump_image kdump-other /var/tmp/kdump KDUMP=y
check "kdump-other: no store" not_in_image /var/lib/nvme-keyd
check "an image with a configuration elsewhere" make_kdump_image other /var/tmp/other
check "other: the store is there" in_image /var/lib/nvme-keyd/store
echo NVME_KEYD_KDUMP=yes >"$root/etc/nvme-keyd/initramfs.conf"
check "an image for kdump that asks for the keys" make_kdump_image kdump-keys /var/lib/kdump/initramfs-tools
check "kdump-keys: the store is there" in_image /var/lib/nvme-keyd/store

# The hook's time limit for an error that may pass.
settings() { printf '%s\n' "$@" >"$root/etc/nvme-keyd/initramfs.conf"; }
settings 'NVME_KEYD_SUBSYSTEMS="nqn.a nqn.b"' NVME_KEYD_WAIT=1
check "no image where the service has no copy of some keys" refuses 'there is no export of the store.*nvme-keyctl status.* Then run: update-initramfs'
settings 'NVME_KEYD_SUBSYSTEMS="nqn.a nqn.b"'
cp "$root$bin/nvme-keyctl" "$tmp/nvme-keyctl"
printf '#!/bin/sh\n[ -e /var/tmp/asked ] || { : >/var/tmp/asked; echo "the store is locked" >&2; exit 8; }\nfor dir; do :; done\necho {} >"$dir/store"\n' >"$root$bin/nvme-keyctl"
check "while the store is locked the hook asks again" make_image again
check "again: its copy is there" in_image /var/lib/nvme-keyd/store
printf '#!/bin/sh\necho "no key is for it" >&2\nexit 4\n' >"$root$bin/nvme-keyctl"
check "for an error that cannot pass the hook does not wait" refuses 'no key is for it. Then run'
printf '#!/bin/sh\nfor dir; do :; done\necho "$@" >"$dir/store"\n' >"$root$bin/nvme-keyctl"
check "an image with the keys of some subsystems" make_image some
check "some: these are what was asked for" grep '^store image --no-legend --subsysnqn=nqn.a --subsysnqn=nqn.b /' \
    "$image/var/lib/nvme-keyd/store"
check "some: there is nothing else" test "$(find "$image/var/lib/nvme-keyd" -type f | wc -l)" = 1
echo 'NVME_KEYD_SUBSYSTEMS="nqn.a *"' >"$root/etc/nvme-keyd/initramfs.conf"
check "an image with a copy of all keys" make_image all
check "all: the star is not expanded to file names" grep '^store image --no-legend /' "$image/var/lib/nvme-keyd/store"
rm "$root/etc/nvme-keyd/initramfs.conf"
cp "$root/var/lib/nvme-keyd/store" "$tmp/header"
echo '{"slots":[{"type":"tpm2"}],"rollbackCounter":{}}' >"$root/var/lib/nvme-keyd/store"
check "an image with a store that has a rollback counter" make_image counter
check "counter: the image has an export, not the file of the store" grep '^store image --no-legend /' "$image/var/lib/nvme-keyd/store"
cp "$tmp/header" "$root/var/lib/nvme-keyd/store"

printf '#!/bin/sh\necho "the store is locked" >&2\nexit 8\n' >"$root$bin/nvme-keyctl"
settings NVME_KEYD_WAIT=1 'NVME_KEYD_SUBSYSTEMS="nqn.a"'
check "no image while the store stays locked" refuses 'the store is locked.* Then run: update-initramfs -u -k'
# As kdump-tools makes it.
mkdir -p "$root/var/lib/kdump"
cp -a "$root/etc/initramfs-tools" "$root/var/lib/kdump/"
spare() {
    chroot "$root" mkinitramfs -d /var/lib/kdump/initramfs-tools -o /var/tmp/spare.img "$version" >"$tmp/spare.log" 2>&1 &&
        chroot "$root" lsinitramfs /var/tmp/spare.img >"$tmp/spare.list" && ! grep nvme-keyd/store "$tmp/spare.list"
}
# An interface on a bus that needs a driver too, and one without a device; what modprobe is asked for.
mkdir -p "$root"/sys/class/{net,vm/bus0/nic0/net/eth9,vm/lo}
for d in eth9 lo; do ln -s "$(cd "$root" && find sys/class/vm -name "$d" -printf '/%p')" "$root/sys/class/net/$d"; done
echo of:bus0 >"$root/sys/class/vm/bus0/modalias"
echo bus0:nic0 >"$root/sys/class/vm/bus0/nic0/modalias"
mv "$root/sbin/modprobe" "$tmp/away"
printf '#!/bin/sh\necho "$*" >>/var/tmp/modprobe\n' >"$root/sbin/modprobe"
chmod 755 "$root/sbin/modprobe"
settings NVME_KEYD_WAIT=1 NVME_KEYD_KDUMP=yes 'NVME_KEYD_SUBSYSTEMS="nqn.a"'
check "the image of a crash kernel that asks for keys is made without them" spare
check "spare: the log says so" grep 'the store is locked.*This image does without' "$tmp/spare.log"
for f in of:bus0 bus0:nic0; do
    check "a driver for $f is asked for" grep -E "(^| )$f( |\$)" "$root/var/tmp/modprobe"
done
mv "$tmp/away" "$root/sbin/modprobe"
rm -r "$root"/sys/class/{net,vm}
settings

# modules_of FILE: the kernel modules that a hook or dracut module asks for by name, and directories of them
modules_of() {
    sed -e ':a' -e '/\\$/{N; s/\\\n//; ba' -e '}' "$1" |
        sed -nE "s/^ *(hostonly='' )?(instmods|manual_add_modules|copy_modules_dir) //p" | tr -d "'" |
        tr ' ' '\n' | sed -E 's|^=?(kernel/)?drivers/|drivers/|' | grep -E '^[a-z]' | sort
}
modules_of "$root/usr/share/initramfs-tools/hooks/nvme-keyd" >"$tmp/modules"
check "modules are asked for" grep -x nvme-tcp "$tmp/modules"
check "the hook asks for the same modules as the dracut module" diff "$tmp/modules" <(modules_of "$source/dracut/50nvme-keyd/module-setup.sh.in")
sed -i '/^nvme-keyd:/d' "$root/usr/lib/group"
check "no image without the group" refuses 'there is no group nvme-keyd'

# --- the scripts of an image, on a machine that has no .nvme

image=$tmp/mnt/host
tree=/run/initramfs/nvme-keyd-tlshd
mkdir -p "$image"/{proc,sys,dev}
for d in proc sys; do mount --rbind "/$d" "$image/$d"; done
mount -t tmpfs tmpfs "$image/dev"
mount -t tmpfs tmpfs "$image/run"
mkdir -m 700 "$image/run/initramfs"
mknod -m 666 "$image/dev/null" c 1 3
mkfifo "$image/dev/kmsg"
cat <>"$image/dev/kmsg" >"$tmp/kmsg" &

# run_script NAME: as the init of the initramfs does it, with a network that is up already (IP=none)
run_script() {
    env -i PATH=/sbin:/usr/sbin:/bin:/usr/bin quiet=y IP=none ROOT=/dev/null \
        chroot "$image" /bin/sh -c "exec /scripts/$1/nvme-keyd"
}
# soon COMMAND...: within 10 s
soon() {
    local end=$((SECONDS + 10))
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}
# said REGEX: once, in the kernel's log
said_once() { [ "$(grep -cE "$1" "$tmp/kmsg")" = 1 ]; }
said() {
    soon said_once "$1" || {
        cat "$tmp/kmsg"
        return 1
    }
}
daemons() { pgrep --oldest --full '^@sh '; }
runs() { daemons >/dev/null; }
ended() { ! pgrep --list-full --full '^@'; }
in_tree() { [ "$(readlink "/proc/$(daemons)/root")" = "$image$tree" ]; }

check "the shell is klibc's" cmp "$image/bin/sh" /usr/lib/klibc/bin/sh
if ! grep -q ' keyring *\.nvme: ' /proc/keys; then
    check "local-top goes on, whatever fails" run_script local-top
    check "no keyring: one line, that is always shown" said '^<3>nvme-keyd: Nothing published: the kernel has no keyring'
    check "no target: one line" said '^<3>nvme-keyd: .*connect.conf: line 1: no such target$'
    check "the handshake daemon has a tree" test -x "$image$tree/usr/sbin/tlshd"
    check "the tree is in memory" test "$(stat -f -c %T "$image$tree" 2>/dev/null)" = tmpfs
    check "the handshake daemon runs" soon runs
    check "it runs in the tree" in_tree
    check "it holds no file of the initramfs" \
        bash -c '! find "/proc/$1"/{exe,cwd,fd} -type l -printf "%l\n" | grep -vE "^($2(/|$)|.*/dev/(null|kmsg)$|pipe:)"' \
        bash "$(daemons)" "$image$tree"
    run_script local-block
    check "local-block does not say it again" said 'no such target'
    printf '#!/bin/sh\necho "another reason" >&2\nexit 1\n' >"$image/usr/sbin/nvme"
    run_script local-block
    check "local-block says another reason" said 'another reason'
    printf '#!/bin/sh\nprintf "long %%02000d" 0 >&2\nexit 1\n' >"$image/usr/sbin/nvme"
    run_script local-block
    check "a line is no longer than the kernel takes" said '^.{900,950}$'

    # The steps of systemd in the real root.
    unit=$image/run/systemd/system/nvme-keyd-tlshd.service.d/10-initramfs.conf
    start=$(sed -n 's/^ExecStart=@\([^ ]*\) @tlshd /\1 /p' "$unit")
    check "the unit runs a program of the tree" test -x "$image$tree${start%% *}"
    check "the same program is in the real root, where systemd looks for it" test -x "$root${start%% *}"
    check "the unit starts at boot" test -L "$image/run/systemd/system/sysinit.target.wants/nvme-keyd-tlshd.service"
    # shellcheck disable=SC2086 # words
    check "the unit ends the daemon of the initramfs" env -i PATH=/sbin:/usr/sbin:/bin:/usr/bin LD_LIBRARY_PATH=/lib \
        timeout 20 chroot "$image$tree" $start
    check "that daemon is gone before the unit's begins" ended
    # shellcheck disable=SC2086
    check "without a daemon of the initramfs it does not wait" env -i PATH=/sbin:/usr/sbin:/bin:/usr/bin LD_LIBRARY_PATH=/lib \
        timeout 20 chroot "$image$tree" $start

    has_connections() { chroot "$image" /bin/sh -c '. /scripts/nvme-keyd-functions && nvme_keyd_has_connections'; }
    check "a line of connect.conf is a connection" has_connections
    printf '# nothing\n\n' >"$image/etc/nvme-keyd/connect.conf"
    check "comments are no connections" bash -c '! "$@"' bash chroot "$image" /bin/sh -c \
        '. /scripts/nvme-keyd-functions && nvme_keyd_has_connections'
else
    skip "the scripts" "this kernel has .nvme"
fi
finish
