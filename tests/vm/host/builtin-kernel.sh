# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The kernel builtin, from the source package of Debian 13 with builtin.config. A build takes minutes, so it happens
# on request only, and the result outlives the image.

# Another recipe or another source makes another kernel.
builtin_key() {
    cat "$vm_dir"/host/builtin{-kernel.sh,.config} "$1/kernel-stock" | sha256sum | cut -c1-16
}

# builtin_build IMAGE DIR: DIR has the kernel, its configuration, and the version of the source package
builtin_build() {
    local image=$1 dir=$2 tmp series

    rm -rf "$cache_dir"/kernel.tmp.*
    tmp=$(mktemp -d "$cache_dir/kernel.tmp.XXXXXX")
    series=$(image_kernel "$image" stock | cut -d. -f1,2)
    build_in_image "$image" "$vm_dir/host" "$tmp" bash -exc '
                export DEBIAN_FRONTEND=noninteractive
                apt-get update
                apt-get install --yes --no-install-recommends "linux-source-$1" flex bison bc libelf-dev
                mkdir /build/source /build/kernel
                tar -C /build/source --strip-components=1 -xf "/usr/src/linux-source-$1.tar.xz"
                make -C /build/source KCONFIG_ALLCONFIG=/src/builtin.config allnoconfig
                # Kconfig drops unknown options, and options whose dependencies are missing.
                if grep -E "^(# )?CONFIG_" /src/builtin.config | grep -vxFf /build/source/.config; then
                        echo "is not in the configuration"
                        exit 1
                fi
                make -C /build/source -j"$(nproc)" bzImage
                cp /build/source/arch/x86/boot/bzImage /build/kernel/vmlinuz
                cp /build/source/.config /build/kernel/config
                dpkg-query --show "linux-source-$1" >/build/kernel/version' \
        bash "$series"
    # the build of nvme-keyd does not need the packages of this one
    rm -rf "$work_dir/build-overlay"
    sync "$tmp"/kernel/*
    mv "$tmp/kernel" "$dir"
    rm -rf "$tmp"
}
