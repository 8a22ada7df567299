# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Starts QEMU: console on the first serial port, TAP on the second, the journal on the third.

boot_accel=tcg

# A /dev/kvm that opens is no proof (nested set-ups): only a kernel that got as far as starting its init is.
boot_select_accel() {
        local work=$1 log=$1/kvm-probe.log

        if [ "$arg_kvm" = 0 ] || [ ! -w /dev/kvm ]; then
                return
        fi
        # A subshell, because the shell would say so when QEMU aborts.
        (timeout --kill-after=1 5 qemu-system-x86_64 -machine q35,accel=kvm -cpu host -m 512 -display none \
                -no-reboot -serial "file:$log" -kernel "$work/vmlinuz" -initrd "$work/initrd" \
                -append "console=ttyS0 panic=-1" </dev/null || :) >/dev/null 2>&1
        if grep -qs 'Run /init as init process' "$log"; then
                boot_accel=kvm
        fi
}

boot_machine() {
        if [ "$boot_accel" = kvm ]; then
                echo -machine q35,accel=kvm -cpu host
        else
                echo -machine q35 -accel tcg,thread=multi,tb-size=512 -cpu max
        fi
}

# boot_run NAME SCENARIO...
boot_run() {
        local name=$1 start=$SECONDS dir=$out_dir/$1 status=0 cmdline machine
        shift

        mkdir -p "$dir"
        # A panic restarts the guest, which finds that it did not get to the end (guest/init.sh).
        cmdline="root=/dev/vda rw console=ttyS0 panic=1 systemd.show_status=false"
        cmdline+=" nvme_keyd_vm.scenarios=$(IFS=, && echo "$*")"
        [ -z "${NVME_KEYD_VM_KEYS:-}" ] || cmdline+=" nvme_keyd_vm.keys=$NVME_KEYD_VM_KEYS"
        read -r -a machine < <(boot_machine)

        # TMPDIR: the guest's writes of this boot (snapshot=on) go there and may be large
        set -m
        TMPDIR=$work_dir timeout --kill-after=5 "$boot_timeout" \
                qemu-system-x86_64 "${machine[@]}" -smp 2 -m 2G -nodefaults -display none \
                -kernel "$work_dir/vmlinuz" -initrd "$work_dir/initrd" -append "$cmdline" \
                -drive "file=$work_dir/root.img,format=raw,if=virtio,snapshot=on,cache=unsafe" \
                -device virtio-rng-pci \
                -serial "file:$dir/console.log" -serial "file:$dir/tap.log" -serial "file:$dir/journal.log" \
                </dev/null >"$dir/qemu.log" 2>&1 &
        job=$!
        set +m
        wait "$job" || status=$?
        job=

        tap_report "$name" "$dir" "$status" "$@"
        note "boot $name: $((SECONDS - start)) s"
}
