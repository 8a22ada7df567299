# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An initrd with only what it takes to mount the disk, for guests whose boot is not what is tested: Debian's takes
# longer than the kernel under emulation.

early_modules=(virtio_blk ext4)

# early_make IMAGE KERNEL HELPERS FILE
early_make() {
    local image=$1 kernel=$2 helpers=$3 file=$4 root=$work_dir/early name n=100

    mkdir -p "$root"/{dev,modules}
    cp "$helpers/early" "$root/init"
    # the console, before there is a devtmpfs
    mknod -m 600 "$root/dev/console" c 5 1
    while read -r name; do
        n=$((n + 1))
        # unpacked here, because that takes seconds in the guest
        xz -dc "$image/tree$name" >"$root/modules/$n-$(basename "$name" .xz)"
    done < <(for name in "${early_modules[@]}"; do
        chroot "$image/tree" modprobe --show-depends --set-version="$kernel" "$name"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }')
    (cd "$root" && find . | cpio --quiet -o -H newc) >"$file"
    rm -rf "$root"
}
