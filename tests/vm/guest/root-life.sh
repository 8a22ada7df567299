#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/vm/root-on-tls: the machine with its root on TLS, in multi-user. It checks what came over from the initramfs,
# and then writes and reads without a pause until the host stops it.

. /opt/vm/lib.sh

sub=$(kernel_param subnqn)
resets=$(kernel_param resets)
kind=$(kernel_param initramfs)
tree=/run/initramfs/nvme-keyd-tlshd
unit=nvme-keyd-tlshd.service
loads=/var/tmp/load

host_mount || bail "no directory of the host"
psk=$(cat "$HOST/psk")

# The handshake daemon. Without systemd in the initramfs the unit has taken over from a process there.
daemon() { unit_property $unit MainPID; }
pid=$(daemon)

sysfs() { cat "/sys/class/nvme/$(ctrl_of "$sub")/$1"; }
root_device() { findmnt --noheadings --output SOURCE /; }

# Files of the root file system that the daemon has open or runs from.
on_the_root() {
    find -L /proc/"$1"/{fd,exe,cwd,root} -maxdepth 1 -printf '%D %p\n' 2>/dev/null | grep "^$(stat -c %d /) "
}
# Not by name: its root directory is a mount of the initramfs, whose name is gone.
same_directory() { [ "$(stat -L -c %d:%i "$1")" = "$(stat -c %d:%i "$2")" ]; }
# The devices of the files that it has mapped.
devices_of() { awk '$6 ~ /^\// { print $4 }' "/proc/$1/maps" | sort -u; }
device_of() { stat -c '%Hd:%Ld' "$1" | awk -F: '{ printf "%02x:%02x\n", $1, $2 }'; }
# As nvme-keyd sees it.
tlshd_is_ready() { tlshd_is "$unit ready"; }
before_switch_root() {
    [ "$(awk '{ printf "%.0f\n", $22 * 10000 }' "/proc/$pid/stat")" -lt "$(unit_property local-fs.target ActiveEnterTimestampMonotonic)" ] &&
        ! journalctl --boot --quiet --output=cat --unit=$unit | grep -q Stopped
}
# Without the secret on a command line. $HOST is of the machine that runs this.
plaintext_in() {
    grep -raslF --exclude-dir=vm-host --file=<(echo "${psk#NVMeTLSkey-1:*:}") "$@"
}
# Without those of a path (nvme0c0n1): commands that fail with the connection are sent again.
errors_in_log() {
    dmesg | grep -E 'I/O error|EXT4-fs error|EXT4-fs warning|Remounting filesystem|Removing controller|lost async page write' |
        grep -vE 'I/O error, dev nvme[0-9]+c[0-9]+n[0-9]+,'
}

came_over() {
    is "host: the root is on NVMe" "$(root_device)" "$(bdev_of "$sub")"
    check "host: over TLS" test -n "$(sysfs tls_key)"
    is "host: multi-user" "$(unit_property multi-user.target ActiveState)" active
    check "host: the handshake daemon runs" test "${pid:-0}" != 0
    is "host: as a unit" "$(unit_property $unit ActiveState)" active
    if [ "$kind" = dracut ]; then
        check "host: since the initramfs" before_switch_root
    else
        is "host: nothing else of the tree's is left" "$(pgrep --full '^@' | grep -vx "$pid")" ""
    fi
    is "host: it has the keyring" "$(tlshd_status)" "$unit ready"
    check "host: in its tree" same_directory "/proc/$pid/root" $tree
    is "host: all that it has mapped is there" "$(devices_of "$pid")" "$(device_of $tree)"
    is "host: it has nothing of the root open" "$(on_the_root "$pid")" ""
    is "host: tlshd.service of the real root is not started" "$(unit_property tlshd.service ActiveState)" inactive
    is "host: there is one" "$(pgrep --count --full '^[^ ]*tlshd( |$)')" 1
    diag "tree: $(du -sk $tree | cut -f 1) KiB, $(findmnt --noheadings --output OPTIONS $tree)"
}
took_over() {
    is "host: nvme-keyd of the real root has run" "$(unit_property nvme-keyd-preload.service Result)" success
    is "host: the TPM has opened the store" "$(store_slot)" tpm2
    is "host: one key" "$(ring_count)" 1
    is "host: which is that of the connection" "0x$(sysfs tls_key)" \
        "0x$(printf %08x "$(nvme-keyctl list --json=short | jq -r '.keys[0].identities[0].serial')")"
    is "host: no plaintext in /run" "$(plaintext_in /run)" ""
    is "host: none in the journal" "$(journalctl --boot --quiet | plaintext_in -)" ""
}

# A file a second or so: written, synced, and another read back from the disk. $HOST is not on the root.
load() {
    local n=0 f

    mkdir -p $loads
    while [ ! -e "$HOST/stop" ]; do
        n=$((n + 1)) f=$loads/$((n % 32))
        dd if=/dev/urandom of="$tmp/load" bs=256k count=2 status=none
        dd if="$tmp/load" of="$f" bs=64k conv=fsync status=none || echo "write $n" >>"$HOST/errors"
        dd if="$f" iflag=direct bs=64k status=none | cmp - "$tmp/load" || echo "read $n" >>"$HOST/errors"
        sha256sum "$f" >"$f.sum" || echo "sum $n" >>"$HOST/errors"
        f=$loads/$((RANDOM % 32))
        [ ! -e "$f.sum" ] || sha256sum --quiet --check "$f.sum" || echo "check $f in $n" >>"$HOST/errors"
        echo "$n" >>"$HOST/beats"
    done
}
beats() { wc -l <"$HOST/beats"; }
is_live() { [ "$(sysfs state)" = live ]; }

reset_controller() { echo 1 >"/sys/class/nvme/$(ctrl_of "$sub")/reset_controller"; }

reset_all() {
    local i before

    for ((i = 1; i <= resets; i++)); do
        before=$(beats)
        reset_controller
        check "host: reset $i, live again" wait_until 240 is_live || return
        check "host: reset $i, the load goes on" wait_until 240 eval "[ \$(beats) -gt $((before + 2)) ]" || return
    done
}

# Kills the daemon, and has the controller connect again.
is_another() { [ "$(daemon)" -gt 1 ] && [ "$(daemon)" != "$pid" ]; }
writes() { dd if=/dev/urandom of=$loads/last bs=256k count=1 conv=fsync status=none && dd if=$loads/last of=/dev/null iflag=direct status=none; }
killed() {
    kill -KILL "$pid"
    check "host: a handshake daemon that is killed is started again" wait_until 60 is_another || return
    pid=$(daemon)
    is "host: from memory" "$(devices_of "$pid")" "$(device_of $tree)"
    is "host: with nothing of the root open" "$(on_the_root "$pid")" ""
    check "host: it has the keyring" wait_until 60 tlshd_is_ready
    reset_controller
    check "host: it serves a reset" wait_until 240 is_live
    check "host: over TLS" test -n "$(sysfs tls_key)"
    check "host: the disk works" writes
}

came_over
took_over
# seconds since the kernel's start
first=$(dmesg | sed -n 's/^\[ *\([0-9]*\)\..*nvme nvme0: mapped .*/\1/p' | head -n 1)
diag "connected after $first s, multi-user after $(($(unit_property multi-user.target ActiveEnterTimestampMonotonic) / 1000000)) s"
echo "booted"
if [ "$resets" != 0 ]; then
    : >"$HOST/beats"
    load 2>>"$HOST/errors" &
    wait_until 240 test -s "$HOST/beats"
    reset_all
    echo "resets done"
    wait
    is "host: no error of the load" "$(cat "$HOST/errors")" ""
    check "host: every file is what was written" sha256sum --quiet --check $loads/*.sum
    is "host: the handshake daemon is the one of before" "$(daemon)" "$pid"
    is "host: it was never started again" "$(unit_property $unit NRestarts)" 0
    killed
    diag "$(beats) files, $(dmesg | grep -c 'starting error recovery') error recoveries, $(dmesg | grep -c 'Successfully reconnected') reconnects"
fi
is "host: no I/O error in the kernel's log" "$(errors_in_log)" ""
is "host: one key" "$(ring_count)" 1
report_kernel_log dmesg
echo "done"
systemctl reboot
sleep infinity
