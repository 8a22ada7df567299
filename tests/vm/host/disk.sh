# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The guest's root disk: the image's tree with nvme-keyd installed and enabled as a package would do it, and the
# scenarios. So the first boot of the guest is an ordinary boot of a machine that has nvme-keyd.

disk_make() {
    local image=$1 work=$2 kernel

    mkdir -p "$work/disk-overlay"/{upper,work,root}
    for kernel in $(image_kernels); do
        cp "$image/tree/boot/vmlinuz-$(image_kernel "$image" $kernel)" "$work/vmlinuz-$kernel"
        cp "$image/tree/boot/initrd.img-$(image_kernel "$image" $kernel)" "$work/initrd-$kernel"
    done
    unshare --mount --propagation private bash -exc '
                . "$1/host/disk.sh"
                mount -t overlay overlay -o "lowerdir=$2/tree,upperdir=$3/disk-overlay/upper,workdir=$3/disk-overlay/work" \
                        "$3/disk-overlay/root"
                mount -t proc proc "$3/disk-overlay/root/proc"
                disk_fill "$1" "$3" "$3/disk-overlay/root"
                umount "$3/disk-overlay/root/proc"
                mke2fs -q -t ext4 -d "$3/disk-overlay/root" "$3/root.img" 4G' \
        bash "$vm_dir" "$image" "$work"
    rm -rf "$work/disk-overlay"
}

disk_fill() {
    local vm_dir=$1 work=$2 root=$3 kernel dir

    mkdir -p "$root/opt/vm/bin"
    cp -r "$vm_dir/guest/." "$vm_dir/scenarios" "$vm_dir"/../{tap.sh,integration/{varlink,read-store,find-plaintext}.py} \
        "$root/opt/vm/"
    cp "$work"/helpers/* "$root/opt/vm/bin/"
    # The guest does not need these, and copying them, or removing them one by one, takes as long as all the rest.
    for dir in "$root"/{usr/{src,include,lib/gcc,libexec/gcc},boot} \
        "$root"/usr/lib/modules/*/kernel/{sound,drivers/{gpu,media,net/wireless,infiniband,iio}}; do
        mount -t tmpfs -o mode=755 tmpfs "$dir"
    done
    rm -f "$root"/usr/lib/x86_64-linux-gnu/{*.a,lib*san.so*} "$root"/usr/bin/*lto-dump*

    # An emulated processor takes seconds to unpack these.
    find "$root"/usr/lib/modules/*/kernel/{crypto,lib,arch/x86/crypto,drivers/{nvme,net/virtio_net.ko.xz},net/{9p,tls},fs/{9p,netfs}} \
        -name '*.ko.xz' -exec xz -df {} +
    if [ -e "$work/payload.tar" ]; then disk_install "$work" "$root"; fi
    if [ -e "$work/debs" ]; then
        cp -r "$work/debs" "$root/opt/"
        cp "$vm_dir/../../README.md" "$root/opt/vm/"
    fi
    for kernel in "$root"/usr/lib/modules/*; do
        chroot "$root" depmod -a "$(basename "$kernel")"
    done
    # Its caches are those of a system that has been up before, so no boot makes them again.
    touch "$root"/{etc,var}/.updated
}

# disk_install WORK ROOT: nvme-keyd, as a package would do it.
disk_install() {
    local work=$1 root=$2 unit

    tar -C "$root" --keep-directory-symlink -xf "$work/payload.tar"
    chroot "$root" systemd-sysusers
    chroot "$root" journalctl --update-catalog
    for unit in nvme-keyd.socket nvme-keyd-request.socket nvme-keyd-preload.service; do
        chroot "$root" systemctl enable "$unit"
    done
}
