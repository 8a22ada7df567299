#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# usage: test-initrd.sh - the scripts of handshake/ that images of initramfs-tools and of dracut
# share

# Functions are called by check(), and the text in quotes is for another shell.
# shellcheck disable=SC2016,SC2317

set -u

here=$(realpath "$(dirname "$0")")
scripts=$here/../../handshake
. "$here/images.sh"
tmp=$(mktemp -d)
defer 'rm -rf "$tmp"'

# --- initrd-connect

conf=$tmp/connect.conf bin=$tmp/bin
mkdir "$bin"
# This nvme prints $tmp/answer.TRADDR and fails, or succeeds without such a file. This sleep counts its calls, and
# the fourth fails.
cat >"$bin/nvme" <<'END'
#!/bin/sh
for f in "$@"; do case $f in --traddr=*) ! cat "$TMP/answer.${f#*=}" 2>/dev/null || exit 1 ;; esac; done
END
cat >"$bin/sleep" <<'END'
#!/bin/sh
echo >>"$TMP/pauses"
[ "$(wc -l <"$TMP/pauses")" -lt 4 ]
END
ln -s /bin/true "$bin/modprobe"
chmod 755 "$bin"/*

# connect [OPTION] FILE: out has what it said
connect() {
    : >"$tmp/pauses"
    timeout 20 env TMP="$tmp" PATH="$bin:$PATH" sh "$scripts/initrd-connect.sh" "$@" >"$tmp/out" 2>&1
}
ends_with() {
    local want=$1 status=0
    shift
    connect "$@" || status=$?
    cat "$tmp/out"
    [ "$status" = "$want" ]
}
said() {
    cat "$tmp/out"
    [ "$(grep -cF "$2" "$tmp/out")" = "$1" ]
}

check "a missing file: it fails" ends_with 2 "$conf"
check "a missing file: it says which" said 1 "$conf: cannot be read"
check "a missing file: --once fails, too" ends_with 2 --once "$conf"
check "a directory is refused" ends_with 2 "$tmp"
printf '# nothing\n\n' >"$conf"
check "a file of comments: all is connected" ends_with 0 "$conf"
check "a file of comments: nothing is said" [ ! -s "$tmp/out" ]
printf '%s\n' '# two' --traddr=192.0.2.1 --traddr=192.0.2.2 >"$conf"
check "both lines connect" ends_with 0 "$conf"
check "both lines connect: line 2 is reported" said 1 "line 2 is connected"
check "both lines connect: line 3 is reported" said 1 "line 3 is connected"
echo "no route" >"$tmp/answer.192.0.2.1"
check "one of two fails: --once says so by its status" ends_with 1 --once "$conf"
check "one of two fails: the other is connected" said 1 "line 3 is connected"
echo "no target" >"$tmp/answer.192.0.2.2"
check "two that fail for ever: it ends when it cannot wait" ends_with 2 "$conf"
check "two that fail for ever: it tried more than once" [ "$(wc -l <"$tmp/pauses")" = 4 ]
check "two that fail for ever: the first reason is printed once" said 1 "line 2: no route"
check "two that fail for ever: the second reason is printed once" said 1 "line 3: no target"
check "two that fail for ever: it says that it cannot wait" said 1 "cannot wait"

# --- handshake-tree

command -v flock >/dev/null || skip_rest "flock is not installed"
unshare --mount --propagation private mount -t tmpfs tmpfs "$tmp" 2>/dev/null || skip_rest "nothing may be mounted here"

# Any program will do for tlshd. The tree is where no other namespace sees it.
in_namespace() { unshare --mount --propagation private env TLSHD=/bin/true tree="$tmp/tree" make="sh $scripts/handshake-tree.sh" bash -euc "$1"; }

check "a tree: one file system" in_namespace '$make "$tree"; [ "$(grep -c " $tree " /proc/mounts)" = 1 ] && test -x "$tree/usr/sbin/tlshd"'
check "a tree that is there is kept" in_namespace '$make "$tree"; $make "$tree"; [ "$(grep -c " $tree " /proc/mounts)" = 1 ]'
check "a half-made tree is made again" in_namespace '
        mkdir -p "$tree"; mount -t tmpfs tmpfs "$tree"; mkdir -p "$tree"/{proc,usr/sbin,half}
        : >"$tree/proc/keys"; mount -o bind /proc/keys "$tree/proc/keys"; : >"$tree/usr/sbin/@tlshd"
        $make "$tree"; [ "$(grep -c " $tree " /proc/mounts)" = 1 ] && [ ! -e "$tree/half" ] && test -s "$tree/usr/sbin/tlshd"'
mkdir "$tmp/slow"
printf '#!/bin/sh\n/bin/sleep 0.5\nexec /bin/cp "$@"\n' >"$tmp/slow/cp"
chmod 755 "$tmp/slow/cp"
export slow="$tmp/slow"
check "two at once make one tree" in_namespace 'PATH=$slow:$PATH
        $make "$tree" & $make "$tree" & wait; [ "$(grep -c " $tree " /proc/mounts)" = 1 ]'
check "a tree that cannot be made leaves nothing" in_namespace '
        ! TLSHD=/bin/false $make "$tree"; [ "$(grep -c " $tree " /proc/mounts)" = 0 ] && [ ! -e "$tree" ]'
finish
