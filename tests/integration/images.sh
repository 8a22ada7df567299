# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# The tests of initramfs images share this: a script that runs a second time in namespaces of its
# own, where the files that the build installs are laid over those of the machine.
# shellcheck disable=SC2034,SC2154

. "$(dirname "${BASH_SOURCE[0]}")/../tap.sh"

# give_up LOG: ends the test after a failed check, because nothing after this point makes sense.
give_up() {
    diag "$(tail -n 60 "$1")"
    finish
}

skip_rest() {
    skip "images" "$1"
    finish
}

# make_overlay DIRECTORY: mounts one on $DIRECTORY/mnt/root, in which the machine's files can be changed.
make_overlay() {
    mount -t tmpfs -o mode=755 tmpfs "$1/mnt" && mkdir "$1/mnt"/{upper,work,root} &&
        mount -t overlay overlay -o "lowerdir=/,upperdir=$1/mnt/upper,workdir=$1/mnt/work" "$1/mnt/root"
}

# in_namespaces TMP COMMAND-THAT-MAKES-THEM...: installs the build in TMP, and runs the test again.
in_namespaces() {
    local dir=$1
    shift
    mkdir "$dir/mnt"
    unshare --mount --propagation private "$@" bash -c "$(declare -f make_overlay); make_overlay \"\$1\"" bash "$dir" \
        >/dev/null 2>&1 || skip_rest "no overlay may be mounted here"
    DESTDIR=$dir/dest meson install -C "$build" --no-rebuild --quiet >"$dir/install.log" 2>&1 || {
        not_ok "meson install"
        give_up "$dir/install.log"
    }
    relay unshare --mount --propagation private "$@" bash "$0" "$build" --in-namespace "$dir"
    finish
}

# lay_over: the machine as it is, and nvme-keyd on top, at $root.
lay_over() {
    local d
    root=$tmp/mnt/root
    make_overlay "$tmp"
    # not another layer: an overlay wants layers that do not lie in each other
    tar -C "$tmp/dest" -cf - . | tar -C "$root" --keep-directory-symlink -xf -
    for d in proc sys dev; do mount --rbind "/$d" "$root/$d"; done
    mount -t tmpfs tmpfs "$root/var/tmp"
    helpers=$(dirname "$(find "$tmp/dest" -name request-key-shim -perm -100 -printf '/%P')")
    bin=$(dirname "$(find "$tmp/dest" -name nvme-keyctl -perm -100 -printf '/%P')")
}
