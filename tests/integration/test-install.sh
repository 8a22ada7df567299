#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# meson install installs every file that a distribution wants, and nothing else, with all options on and
# with all options off.
. "$(dirname "$0")/lib.sh"

# variable PACKAGE NAME DEFAULT: a directory as pkg-config knows it, without a slash before it.
variable() {
    local value
    value=$(pkg-config --variable="$2" "$1" 2>/dev/null)
    value=${value:-$3}
    echo "${value#/}"
}
unit_dir=$(variable systemd systemdsystemunitdir /usr/lib/systemd/system)
tmpfiles_dir=$(variable systemd tmpfilesdir /usr/lib/tmpfiles.d)
preset_dir=$(variable systemd systemdsystempresetdir /usr/lib/systemd/system-preset)
sysusers_dir=$(variable systemd sysusersdir /usr/lib/sysusers.d)
catalog_dir=$(variable systemd catalogdir /usr/lib/systemd/catalog)
modules_load_dir=$(variable systemd modulesloaddir /usr/lib/modules-load.d)
udev_dir=$(variable udev udevdir /usr/lib/udev)

# Mode and path of what is always installed.
minimum() {
    cat <<END
755 usr/bin/nvme-keyctl
755 usr/lib/nvme-keyd/nvme-keyctl-fleet
755 usr/lib/nvme-keyd/nvme-keyd
755 usr/lib/nvme-keyd/nvme-keyd-probe
755 usr/lib/nvme-keyd/request-key-shim
644 usr/lib/nvme-keyd/request-key.conf
755 usr/lib/nvme-keyd/wait-for-keys
644 etc/request-key.d/nvme-keyd.conf
644 usr/share/bash-completion/completions/nvme-keyctl
644 usr/share/fish/vendor_completions.d/nvme-keyctl.fish
644 usr/share/zsh/site-functions/_nvme-keyctl
644 usr/share/varlink/org.nvmekeyd.Manager.varlink
644 $unit_dir/nvme-keyd.service
644 $unit_dir/nvme-keyd.socket
644 $unit_dir/nvme-keyd-request.socket
644 $unit_dir/nvme-keyd-credentials.service
644 $unit_dir/nvme-keyd-host-key.service
644 $unit_dir/nvme-keyd-inbox.path
644 $unit_dir/nvme-keyd-inbox.service
644 $unit_dir/nvme-keyd-preload.service
644 $unit_dir/nvme-keyd-probe.socket
644 $unit_dir/nvme-keyd-probe@.service
644 $unit_dir/nvme-keyd-rotate.service
644 $unit_dir/nvme-keyd-rotate.timer
644 $unit_dir/nvme-keyd-stop.target
644 $unit_dir/nvmf-connect@.service.d/10-nvme-keyd.conf
644 $unit_dir/tlshd.service.d/10-nvme-keyd.conf
644 $udev_dir/rules.d/90-nvme-keyd.rules
644 $tmpfiles_dir/nvme-keyd.conf
644 $sysusers_dir/nvme-keyd.conf
644 $preset_dir/90-nvme-keyd.preset
644 $catalog_dir/nvme-keyd.catalog
644 $modules_load_dir/nvme-keyd.conf
644 usr/share/doc/nvme-keyd/NEWS.md
644 usr/share/doc/nvme-keyd/README.md
644 usr/share/doc/nvme-keyd/SECURITY.md
644 usr/share/doc/nvme-keyd/docs/0001-nvme-keyring-request-missing-TLS-PSKs.patch
644 usr/share/doc/nvme-keyd/docs/ARCHITECTURE.md
644 usr/share/doc/nvme-keyd/docs/BOOT.md
644 usr/share/doc/nvme-keyd/docs/COMPARISON.md
644 usr/share/doc/nvme-keyd/docs/CREDSTORE.md
644 usr/share/doc/nvme-keyd/docs/FLEET.md
644 usr/share/doc/nvme-keyd/docs/OPERATIONS.md
644 usr/share/doc/nvme-keyd/docs/OTHER-GROUND.md
644 usr/share/doc/nvme-keyd/docs/ROOT-ON-TLS.md
644 usr/share/doc/nvme-keyd/docs/ROTATION.md
644 usr/share/doc/nvme-keyd/docs/THREAT-MODEL.md
644 usr/share/doc/nvme-keyd/docs/TROUBLESHOOTING.md
644 usr/share/doc/nvme-keyd/docs/UPSTREAM.md
644 usr/share/doc/nvme-keyd/docs/pictures/boot.svg
644 usr/share/doc/nvme-keyd/docs/pictures/house.svg
644 usr/share/doc/nvme-keyd/docs/pictures/rotation.svg
644 usr/share/doc/nvme-keyd/dracut/README.md
644 usr/share/doc/nvme-keyd/examples/apparmor.d/nvme-keyd-request-key-shim
644 usr/share/doc/nvme-keyd/examples/modprobe.d/nvme-keyd.conf
644 usr/share/doc/nvme-keyd/examples/nvme-keyd/nvme-keyd.conf
644 usr/share/doc/nvme-keyd/examples/selinux/nvme_keyd.fc
644 usr/share/doc/nvme-keyd/examples/selinux/nvme_keyd.te
644 usr/share/doc/nvme-keyd/initramfs-tools/README.md
644 usr/share/doc/nvme-keyd/kernel/README.md
644 usr/share/doc/nvme-keyd/packaging/README.md
END
}

manuals() {
    cat <<END
644 usr/share/man/man1/nvme-keyctl.1
644 usr/share/man/man5/nvme-keyd.conf.5
644 usr/share/man/man5/nvme-keyd-fetch.conf.5
644 usr/share/man/man7/nvme-keyd-rotation.7
644 usr/share/man/man7/nvme-keyd-recovery.7
644 usr/share/man/man7/nvme-keyd-credentials.7
644 usr/share/man/man7/nvme-keyd-varlink.7
644 usr/share/man/man8/nvme-keyd-fetch.service.8
644 usr/share/man/man8/nvme-keyd.service.8
777 usr/share/man/man8/nvme-keyd.8
777 usr/share/man/man8/nvme-keyd.socket.8
777 usr/share/man/man8/nvme-keyd-request.socket.8
777 usr/share/man/man8/nvme-keyd-credentials.service.8
777 usr/share/man/man8/nvme-keyd-host-key.service.8
777 usr/share/man/man8/nvme-keyd-preload.service.8
777 usr/share/man/man8/nvme-keyd-probe.socket.8
777 usr/share/man/man8/nvme-keyd-probe@.service.8
777 usr/share/man/man8/nvme-keyd-tlshd.service.8
644 usr/share/man/man8/request-key-shim.8
END
}

dracut() {
    cat <<END
755 usr/lib/dracut/modules.d/50nvme-keyd/module-setup.sh
644 usr/lib/dracut/modules.d/50nvme-keyd/nvme-keyd-connect.service
644 usr/lib/dracut/modules.d/50nvme-keyd/preload.conf
644 usr/lib/dracut/modules.d/50nvme-keyd/stop.conf
644 usr/lib/dracut/modules.d/50nvme-keyd/tlshd.conf
END
}

# With either of the two.
handshake() {
    cat <<END
755 usr/lib/nvme-keyd/handshake-loop
755 usr/lib/nvme-keyd/handshake-tree
755 usr/lib/nvme-keyd/initrd-connect
644 $unit_dir/nvme-keyd-tlshd.service
END
}

fetch() {
    cat <<END
755 usr/lib/nvme-keyd/nvme-keyd-fetch
644 $unit_dir/nvme-keyd-fetch.service
644 usr/share/doc/nvme-keyd/examples/nvme-keyd/nvme-keyd-fetch.conf
END
}

initramfs_tools() {
    cat <<END
644 usr/share/initramfs-tools/conf-hooks.d/nvme-keyd
644 usr/share/initramfs-tools/scripts/nvme-keyd-functions
755 usr/share/initramfs-tools/hooks/nvme-keyd
755 usr/share/initramfs-tools/scripts/local-block/nvme-keyd
755 usr/share/initramfs-tools/scripts/local-top/nvme-keyd
END
}

# dkms(8) looks below /usr/src for NAME-VERSION.
kernel() {
    cat <<END
644 usr/src/nvme-keyd-$version/Makefile
644 usr/src/nvme-keyd-$version/README.md
644 usr/src/nvme-keyd-$version/dkms.conf
644 usr/src/nvme-keyd-$version/nvme_keyd_upcall.c
END
}

# installs TEXT BUILD: exactly what standard input lists. Installed by a packager with a strict umask.
installs() {
    local root=$tmp/root
    rm -rf "$root"
    (umask 077 && DESTDIR=$root meson install -C "$2" --no-rebuild --quiet) >"$tmp/install.log" 2>&1
    check "$1: meson install" test $? -eq 0
    sort -k 2 >"$tmp/expected"
    find "$root" ! -type d -printf '%m %P\n' | sort -k 2 >"$tmp/installed"
    diff -u "$tmp/expected" "$tmp/installed" >"$tmp/diff"
    result $? "$1: every file, and nothing else" || diag "$(tail -n +3 "$tmp/diff")"
    is "$1: no placeholder is left" "$(grep -rlE '@[A-Z_]+@' "$root" --include='*.service' --include='*.socket' --include='*.conf' --include='*.sh' --include='*.[158]')" ""
    is "$1: no path of the build" "$(grep -rlF -e "$2" -e "$source" "$root" --include='*.service' --include='*.socket' --include='*.conf' --include='*.sh' --include='*.[158]')" ""
}

version=$(meson introspect --projectinfo "$build" | json 'o["version"]')

# fresh DIRECTORY OPTION...
fresh() {
    local directory=$1
    shift
    # Without optimisation, because it does not change which files are installed, and is much faster.
    meson setup "$directory" "$source" -Doptimization=0 "$@" >"$tmp/setup.log" 2>&1 && ninja -C "$directory" >>"$tmp/setup.log" 2>&1
    result $? "builds with $*" || diag "$(grep -E 'error|ERROR|FAILED' "$tmp/setup.log" | head -n 20)"
}

if command -v scdoc >/dev/null; then
    man=(-Dman=enabled)
else
    man=(-Dman=disabled)
fi
fresh "$tmp/full" "${man[@]}" -Dkernel=true -Ddracut=true -Dinitramfs-tools=true -Dfetch=enabled -Dtests=false
installs "all" "$tmp/full" < <(
    minimum
    dracut
    initramfs_tools
    handshake
    fetch
    kernel
    [ "${man[0]}" = -Dman=disabled ] || manuals
)

fresh "$tmp/least" -Dtpm2=disabled -Dman=disabled -Dstatic-shim=disabled -Dfetch=disabled -Dtests=false -Dkernel=false -Ddracut=false -Dinitramfs-tools=false
installs "least" "$tmp/least" < <(minimum)
for program in nvme-keyd nvme-keyctl; do
    is "least: $program does without tpm2-tss" "$(ldd "$tmp/least/$program" | grep -c tss2)" 0
done
shim=src/request-key-shim/request-key-shim
is "the shim loads nothing" "$(readelf -d "$tmp/full/$shim" | grep -c NEEDED)" 0
is "least: the shim loads libc only" "$(readelf -d "$tmp/least/$shim" | sed -n 's/.*NEEDED.*\[\(.*\)\.so.*/\1/p')" libc

# --- the preset enables the units that the manual names

root=$tmp/root
mkdir -p "$root/etc/systemd/system"
run systemctl --root="$root" preset nvme-keyd.socket nvme-keyd-request.socket nvme-keyd-preload.service
is "preset: enables" "$status $(cd "$root/etc/systemd/system" && ls -d sockets.target.wants/* sysinit.target.wants/* | tr '\n' ' ')" \
    "0 sockets.target.wants/nvme-keyd-request.socket sockets.target.wants/nvme-keyd.socket sysinit.target.wants/nvme-keyd-preload.service "
run systemctl --root="$root" is-enabled nvme-keyd.service nvme-keyd-credentials.service nvme-keyd-probe.socket
is "preset: and nothing else" "$out" "static
static
static"

# --- tmpfiles.d links what request-key(8) and varlinkctl(1) look for

is "the rule has a copy in /usr" "$(<"$root/usr/lib/nvme-keyd/request-key.conf")" "$(<"$root/etc/request-key.d/nvme-keyd.conf")"
run systemd-tmpfiles --root="$root" --create nvme-keyd.conf
check "tmpfiles: keeps the rule of /etc" test ! -L "$root/etc/request-key.d/nvme-keyd.conf"
is "tmpfiles: links the socket by its interface" "$(readlink "$root/run/varlink/registry/org.nvmekeyd.Manager")" /run/nvme-keyd/org.nvmekeyd.Manager
rm -r "$root/etc/request-key.d"
run systemd-tmpfiles --root="$root" --create nvme-keyd.conf
is "tmpfiles: links the rule into an /etc without it" "$status $(readlink "$root/etc/request-key.d/nvme-keyd.conf")" "0 /usr/lib/nvme-keyd/request-key.conf"

# --- an installation on this machine makes the group, one into a directory does not

mkdir "$tmp/bin"
printf '#!/bin/sh\necho "$*" >>"%s/sysusers"\nexit "$(cat "%s/fails")"\n' "$tmp" "$tmp" >"$tmp/bin/systemd-sysusers"
chmod +x "$tmp/bin/systemd-sysusers"
echo 0 >"$tmp/fails"
run env PATH="$tmp/bin:$PATH" sh "$source/units/run-sysusers.sh" /usr/lib/sysusers.d/nvme-keyd.conf
is "sysusers: is run for our file" "$status$err $(<"$tmp/sysusers")" "0 /usr/lib/sysusers.d/nvme-keyd.conf"
echo 1 >"$tmp/fails"
run env PATH="$tmp/bin:$PATH" sh "$source/units/run-sysusers.sh" /usr/lib/sysusers.d/nvme-keyd.conf
like "sysusers: a failure is a warning" "$status$err" "^0warning: systemd-sysusers .* failed"
rm "$tmp/sysusers"
(PATH=$tmp/bin:$PATH DESTDIR=$tmp/dest meson install -C "$tmp/least" --no-rebuild --quiet) >/dev/null 2>&1
check "sysusers: not with DESTDIR" test ! -e "$tmp/sysusers"
is "sysusers: meson runs it without DESTDIR" "$(meson introspect --install-plan "$tmp/least" >/dev/null && grep -c 'run-sysusers.sh' "$tmp/least/meson-private/install.dat")" 1

fresh "$tmp/local" --prefix=/opt/keyd -Dtpm2=disabled -Dman=disabled -Dfetch=disabled -Dtests=false -Dkernel=false -Ddracut=false -Dinitramfs-tools=false -Dgroup=keyring
rm -rf "$tmp/root"
DESTDIR=$tmp/root meson install -C "$tmp/local" --no-rebuild --quiet >/dev/null 2>&1
check "another prefix: the daemon" test -x "$tmp/root/opt/keyd/lib/nvme-keyd/nvme-keyd"
is "another prefix: the units have it" "$(grep -rh ^ExecStart=/ "$tmp/root" | sort | tr '\n' ' ')" \
    "ExecStart=/bin/sleep infinity ExecStart=/opt/keyd/bin/nvme-keyctl inbox ExecStart=/opt/keyd/bin/nvme-keyctl schedule run ExecStart=/opt/keyd/bin/nvme-keyctl sync --no-legend ExecStart=/opt/keyd/lib/nvme-keyd/nvme-keyd ExecStart=/opt/keyd/lib/nvme-keyd/nvme-keyd --setup-host-key ExecStart=/opt/keyd/lib/nvme-keyd/nvme-keyd-probe "
check "another prefix: the rule of request-key has it" grep -rq "/opt/keyd/lib/nvme-keyd/request-key-shim %k" "$tmp/root"
is "another group: every file has it" "$(grep -rlE '^(Group=|SocketGroup=|g )keyring' "$tmp/root" | wc -l)" 3

finish
