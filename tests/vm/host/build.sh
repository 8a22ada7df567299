# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Builds the project in a chroot of the guest's tree, by the compiler of its release.

# in_chroot TREE SRC DIR COMMAND...: with TREE, a directory or a disk, as its root. It sees that through an overlay that
# is thrown away, SRC as /src (read only), and DIR as /build. The mounts live in a mount namespace and the processes in a
# PID namespace, so that nothing is left, however this ends.
in_chroot() {
    local overlay=$work_dir/build-overlay

    rm -rf "$overlay"
    mkdir -p "$overlay"/{disk,upper,work,root}
    nice -n 10 unshare --mount --propagation private --pid --fork --kill-child \
        bash "$vm_dir/host/in-chroot.sh" "$overlay" "$@"
}

# build_in_image IMAGE SRC DIR COMMAND...
build_in_image() {
    local image=$1
    shift
    in_chroot "$image/tree" "$@"
}

# The files that git would take; all files of a tree without git.
build_source_files() {
    if git -c safe.directory="$top_dir" -C "$top_dir" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git -c safe.directory="$top_dir" -C "$top_dir" ls-files -z --cached --others --exclude-standard
    else
        (cd "$top_dir" && find . -type f -not -path './.git/*' -not -path './tests/vm/out/*' -print0)
    fi | while IFS= read -r -d '' f; do
        # removed, but git still knows it
        [ ! -e "$top_dir/$f" ] || printf '%s\0' "$f"
    done
}

# Touches files whose content changed, and gives them the time of now: then ninja sees each change, even one that
# brings back an older file, and nothing else.
build_sync_source() {
    local src=$1 snapshot=$work_dir/source

    mkdir -p "$snapshot" "$src"
    build_source_files |
        tar -C "$top_dir" --no-recursion --ignore-failed-read --null --files-from=- -cf - | tar -C "$snapshot" -xf -
    rsync --recursive --links --perms --checksum --delete "$snapshot/" "$src/"
    rm -rf "$snapshot"
}

build_payload() {
    local image=$1 payload=$2 dir

    dir=$cache_dir/build-$(basename "$image")
    mkdir -p "$dir/obj"
    build_sync_source "$dir/src"
    if [ ! -e "$dir/src/meson.build" ]; then
        echo "There is no meson.build yet: use --no-build."
        return 1
    fi
    build_in_image "$image" "$dir/src" "$dir/obj" sh -exc '
                opts="--buildtype=debugoptimized -Dwerror=true --prefix=/usr --sysconfdir=/etc --localstatedir=/var"
                # A build directory that failed to configure, or has other options, is made again.
                made="$opts $(cksum </src/meson_options.txt)"
                if [ "$(cat /build/options 2>/dev/null)" != "$made" ]; then
                        find /build -mindepth 1 -delete
                        meson setup $opts /build/b /src
                        echo "$made" >/build/options
                fi
                # The tests are built by the suites of the host, and take half of the time.
                cd /build/b
                # introspect shows the targets of the last configuration
                ninja build.ninja
                ninja $(meson introspect --targets | jq -r ".[] | select(.installed) | .filename[] | ltrimstr(\"/build/b/\")")
                cd /
                rm -rf /build/dest
                meson install -C /build/b --destdir /build/dest --no-rebuild
                ninja -C /build/b bench
                mkdir -p /build/dest/opt/vm/bench
                cp /src/tests/bench/*.sh /build/dest/opt/vm/bench/
                find /build/b/tests/bench -maxdepth 1 -type f -perm -100 -exec cp -t /build/dest/opt/vm/bench {} +
                # as DKMS does it
                for kernel in $(ls /usr/lib/modules); do
                        rm -rf /build/kernel
                        cp -r /src/kernel /build/kernel
                        make -C /build/kernel KERNEL="$kernel"
                        install -D -m 644 -t "/build/dest/usr/lib/modules/$kernel/updates/dkms" /build/kernel/*.ko
                done'
    tar -C "$dir/obj/dest" --owner=0 --group=0 -cf "$payload" .
}

# Small C programs of the scenarios, not of the product. They are static, because one of them runs where there is no C
# library, except those that use OpenSSL, whose static library would need others.
build_helpers() {
    local image=$1 dest=$2

    mkdir -p "$dest"
    build_in_image "$image" "$vm_dir/guest" "$dest" sh -exc '
                for c in /src/*.c; do
                        libraries="-static -lkeyutils"
                        ! grep -q "^#include <openssl/" "$c" || libraries="-lssl -lcrypto"
                        cc -O2 -Wall -Wextra -Werror -o "/build/$(basename "$c" .c)" "$c" $libraries
                done'
}

# build_next_debs DIR DEST: the packages in DIR, and in DEST/next nvme-keyd once more, as the next version.
build_next_debs() {
    local unpacked=$work_dir/unpacked

    mkdir -p "$2/next"
    cp "$1"/*.deb "$2/"
    dpkg-deb -R "$2"/nvme-keyd_*.deb "$unpacked"
    sed -i 's/^Version: .*/&+1/' "$unpacked/DEBIAN/control"
    dpkg-deb -b "$unpacked" "$2/next"
    rm -rf "$unpacked"
}
