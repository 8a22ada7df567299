# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The guest's base tree: a plain Debian that can also build the project. Its release is trixie, or sid with the nvme-cli
# of experimental. What else a release adds is in image-RELEASE.sh.

image_release=trixie
image_packages=(
    # the machine
    systemd systemd-sysv udev kmod linux-image-amd64 procps iproute2 util-linux
    # programs that nvme-keyd works with
    nvme-cli ktls-utils keyutils dracut-core dracut-network zstd
    # the build of nvme-keyd
    gcc make meson ninja-build pkgconf libc6-dev libsystemd-dev systemd-dev libkeyutils-dev
    libssl-dev libjson-c-dev libtss2-dev libinih-dev libsmartcols-dev scdoc linux-headers-amd64
    # libtss2 opens this one with dlopen(), so no dependency names it
    libtss2-tcti-device0t64
    # the scenarios
    strace jq openssl python3-minimal fio
)

# A second nvme-cli that derives TLS PSKs as RFC 8446 says, and a tlshd that takes the keyring from the kernel: those in
# Debian 13 are older.
image_second_suite=sid

image_hostnqn=nqn.2014-08.org.nvmexpress:uuid:6f1f3c0a-52c4-4b0b-9d1c-3a5d7e0c9b21
image_hostid=6f1f3c0a-52c4-4b0b-9d1c-3a5d7e0c9b21

# Its directory. A changed recipe makes another image. The versions of the packages are not part of the key: remove the
# cache directory to get newer ones.
image_path() {
    local key

    key=$(cat "$vm_dir/host/image.sh" "$vm_dir/host/image-$image_release.sh" "$vm_dir/guest/nvme-keyd-vm.service" |
        sha256sum | cut -c1-16)
    echo "$cache_dir/guest-$image_release-$key"
}

# The kernels that the release has.
image_kernels() {
    case $image_release in
    trixie) echo stock backports ;;
    sid) echo stock ;;
    esac
}

image_build() {
    local dir=$1 tmp

    # A killed build leaves a directory image.tmp.*, which is never taken for an image.
    rm -rf "$cache_dir"/image.tmp.*
    tmp=$(mktemp -d "$cache_dir/image.tmp.XXXXXX")

    image_tree "$tmp/tree"
    image_kernel_versions "$tmp"
    if [ "$image_release" != "$image_second_suite" ]; then
        image_second_suite "$tmp"
        image_other_units "$tmp"
    fi
    image_settings "$tmp/tree"
    image_verify "$tmp/tree"
    sync -f "$tmp"
    rm -rf "$cache_dir/guest-$image_release"-* "$cache_dir/build-guest-$image_release"-*
    mv "$tmp" "$dir"
}

image_tree() {
    local list

    list=$(IFS=, && echo "${image_packages[*]}")
    # The manual pages and translations would only make the disk bigger. The release file of sid may be past its date on
    # a slow mirror; its signature is still checked.
    mmdebstrap --mode=root --variant=minbase --include="$list" \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --aptopt='Acquire::Check-Valid-Until "false"' \
        --customize-hook="$vm_dir/host/image-$image_release.sh" \
        "$image_release" "$1"
}

# Their versions, each in a file of its name.
image_kernel_versions() {
    mv "$1/tree/kernel-stock" "$1/"
    [[ $(image_kernels) != *backports* ]] || ls --ignore="$(image_kernel "$1" stock)" "$1/tree/usr/lib/modules" >"$1/kernel-backports"
}

# image_kernel IMAGE NAME: its version
image_kernel() { cat "$1/kernel-$2"; }

# Unpacks them with their own C library: nothing of that suite may leak into the Debian 13 under test.
image_second_suite() {
    local unpacked=$1/second dest=$1/tree/opt/sid name

    mmdebstrap --mode=root --variant=extract --include=nvme-cli,ktls-utils \
        --aptopt='Acquire::Check-Valid-Until "false"' \
        "$image_second_suite" "$unpacked"
    mkdir -p "$dest/lib"
    cp -L "$unpacked"/usr/lib/x86_64-linux-gnu/*.so.* "$dest/lib/"
    for name in nvme tlshd; do
        cp "$unpacked/usr/sbin/$name" "$dest/$name.bin"
        cat >"$dest/$name" <<EOF
#!/bin/sh
exec /opt/sid/lib/ld-linux-x86-64.so.2 --library-path /opt/sid/lib --argv0 $name /opt/sid/$name.bin "\$@"
EOF
        chmod 755 "$dest/$name"
    done
    rm -rf "$unpacked"
}

# Units for the order at boot: those of the next nvme-cli, which is in experimental only, and of nvme-stas.
image_other_units() {
    local unpacked=$1/units dest=$1/tree/opt/units mirror

    mirror=$(awk '$1 == "deb" { print $2; exit }' "$1/tree/etc/apt/sources.list")
    mmdebstrap --mode=root --variant=extract --include=nvme-cli/experimental,nvme-stas \
        --aptopt='Acquire::Check-Valid-Until "false"' \
        "$image_second_suite" "$unpacked" \
        "deb $mirror $image_second_suite main" "deb $mirror experimental main"
    mkdir -p "$dest"
    cp -r "$unpacked"/usr/lib/systemd/system/{nvm,sta}* "$dest/"
    rm -rf "$unpacked"
}

image_settings() {
    local tree=$1

    echo "$image_hostnqn" >"$tree/etc/nvme/hostnqn"
    echo "$image_hostid" >"$tree/etc/nvme/hostid"
    echo nvme-keyd-vm >"$tree/etc/hostname"
    echo '127.0.0.1 localhost nvme-keyd-vm' >"$tree/etc/hosts"
    echo '/dev/vda / ext4 rw 0 1' >"$tree/etc/fstab"
    # A fixed one: without it systemd assumes a first boot and enables units by preset.
    echo 6f1f3c0a52c44b0b9d1c3a5d7e0c9b22 >"$tree/etc/machine-id"

    # The journal goes to a serial port as it is written, so that a guest that hangs leaves it.
    mkdir -p "$tree/etc/systemd/journald.conf.d"
    cat >"$tree/etc/systemd/journald.conf.d/vm.conf" <<'EOF'
[Journal]
Storage=volatile
ForwardToConsole=yes
TTYPath=/dev/ttyS2
MaxLevelConsole=debug
RateLimitBurst=0
EOF
    install -m 644 "$vm_dir/guest/nvme-keyd-vm.service" "$tree/etc/systemd/system/"

    # Timers and logins would take time from the scenarios.
    chroot "$tree" systemctl enable nvme-keyd-vm.service
    chroot "$tree" systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
        e2scrub_all.timer fstrim.timer e2scrub_reap.service getty@tty1.service getty-static.service \
        serial-getty@ttyS0.service
}

image_verify() {
    local version

    chroot "$1" nvme version
    test -e "$1/usr/sbin/tlshd"
    if [ "$image_release" != "$image_second_suite" ]; then
        chroot "$1" /opt/sid/nvme version
        chroot "$1" /opt/sid/tlshd --version
        ls "$1"/opt/units/{nvme-discoverd,stafd,nvmf-autoconnect}.service
    fi
    for version in $(cat "$1"/../kernel-*); do
        ls "$1/boot/vmlinuz-$version" "$1/boot/initrd.img-$version" "$1/usr/lib/modules/$version/build"
    done
}
