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
        -no-reboot -serial "file:$log" -kernel "$work/vmlinuz-stock" -initrd "$work/initrd-stock" \
        -append "console=ttyS0 panic=-1" </dev/null || :) >/dev/null 2>&1
    if grep -qs 'Run /init as init process' "$log"; then
        boot_accel=kvm
    fi
}

# boot_machine SCENARIO...: QEMU's options for the machine. A livepatch writes into code that the other processor may be
# running, and emulation lets that one hit an int3 which is gone already; so the processors take turns then.
boot_machine() {
    local s thread=multi

    for s in "$@"; do
        [ -z "$(scenario_header "$s" livepatch)" ] || thread=single
    done
    if [ "$boot_accel" = kvm ]; then
        echo -machine q35,accel=kvm -cpu host
    else
        echo -machine q35 -accel "tcg,thread=$thread,tb-size=512" -cpu max
    fi
}

# What a scenario asks for with its headers, as kernel parameters and QEMU options.
boot_cmdline() {
    local s

    # A panic restarts the guest, which finds that it did not get to the end (guest/init.sh); the console has its trace.
    # After an oops the kernel would go on, with whatever the task held.
    echo "root=/dev/vda rw console=ttyS0 panic=1 oops=panic systemd.show_status=false"
    # The kernel's test of its timer panics where the guest gets too little time.
    echo no_timer_check
    echo "nvme_keyd_vm.scenarios=$(IFS=, && echo "$*")"
    [ -z "${NVME_KEYD_VM_KEYS:-}" ] || echo "nvme_keyd_vm.keys=$NVME_KEYD_VM_KEYS"
    [ -z "${NVME_KEYD_VM_CONNECTS:-}" ] || echo "nvme_keyd_vm.connects=$NVME_KEYD_VM_CONNECTS"
    [ -z "${NVME_KEYD_VM_BOOTS:-}" ] || echo "nvme_keyd_vm.boots=$NVME_KEYD_VM_BOOTS"
    [ -z "${NVME_KEYD_VM_POWER_CUTS:-}" ] || echo "nvme_keyd_vm.power_cuts=$NVME_KEYD_VM_POWER_CUTS"
    [ -z "${NVME_KEYD_VM_RELOADS:-}" ] || echo "nvme_keyd_vm.reloads=$NVME_KEYD_VM_RELOADS"
    for s in "$@"; do scenario_header "$s" cmdline; done
    [ "$(scenario_header "$1" boot)" != lean ] || echo "init=/opt/vm/lean.sh"
}

# Seconds from one start of QEMU to its end; more where the scenarios may take more.
boot_limit() {
    local s timeout sum=120

    for s in "$@"; do
        timeout=$(scenario_header "$s" timeout)
        sum=$((sum + ${timeout:-120}))
    done
    echo $((sum > boot_timeout ? sum : boot_timeout))
}

# boot_start DIR KERNEL SCENARIO...: QEMU, in the background. The logs go on where the last start left them.
boot_start() {
    local dir=$1 kernel=$2 file=$work_dir/initrd-$2 initrd=() machine tpm=() credentials cmdline limit
    shift 2

    # one that the guest has made
    [ ! -e "$dir/host/initrd.img" ] || file=$dir/host/initrd.img
    # the kernel that has all built in has none
    [ ! -e "$file" ] || initrd=(-initrd "$(credentials_stub "$dir" "$file")")

    read -r -a machine < <(boot_machine "$@")
    if [ -n "$(scenario_header "$1" tpm)" ] && [ ! -e "$dir/no-tpm" ]; then
        tpm_start "$work_dir/tpm" >>"$dir/qemu.log" 2>&1 || return
        read -r -a tpm < <(tpm_machine "$work_dir/tpm")
    fi
    read -r -d '' -a credentials < <(credentials_qemu "$dir") || :
    cmdline=$(boot_cmdline "$@" | tr '\n' ' ')
    limit=$(boot_limit "$@")

    # cache=unsafe: what the guest has synced survives an end of QEMU, and that is all that ever ends here.
    set -m
    timeout --kill-after=5 "$limit" \
        qemu-system-x86_64 "${machine[@]}" ${tpm[@]+"${tpm[@]}"} \
        ${credentials[@]+"${credentials[@]}"} -smp 2 -m 2G -nodefaults -display none \
        -kernel "$work_dir/vmlinuz-$kernel" ${initrd[@]+"${initrd[@]}"} -append "$cmdline" \
        -drive "file=$work_dir/disk.img,format=raw,if=virtio,cache=unsafe" \
        -virtfs "local,path=$dir/host,mount_tag=host,security_model=none" \
        -device virtio-rng-pci \
        -chardev "file,id=console,path=$dir/console.log,append=on" -serial chardev:console \
        -chardev "file,id=tap,path=$dir/tap.log,append=on" -serial chardev:tap \
        -chardev "file,id=journal,path=$dir/journal.log,append=on" -serial chardev:journal \
        </dev/null >>"$dir/qemu.log" 2>&1 &
    job=$!
    set +m
}

# Waits for the end of QEMU, with a hand at the power plug: the guest asks for a cut within that many milliseconds.
boot_wait() {
    local host=$1/host status=0 within

    while kill -0 "$job" 2>/dev/null; do
        if [ -e "$host/power-cut" ]; then
            read -r within <"$host/power-cut"
            sleep "$(awk -v ms=$((SRANDOM % within)) 'BEGIN { printf "%.3f", ms / 1000 }')"
            kill -KILL -- "-$job" 2>/dev/null || :
            break
        fi
        sleep 0.2
    done
    wait "$job" 2>/dev/null || status=$?
    job=
    tpm_stop
    return "$status"
}

# boot_again DIR KERNEL: what the guest has asked for to be done between two starts; fails when there is nothing, and so
# no other start.
boot_again() {
    local dir=$1 kernel=$2 request kind again=1

    rm -f "$dir/credentials"
    for request in power-cut tpm-replace tpm-remove tpm-return credentials initrd; do
        [ -e "$dir/host/$request" ] || continue
        again=0
        case $request in
        power-cut) echo cut >>"$dir/host/cuts" ;;
        tpm-replace) rm -rf "$work_dir/tpm" ;;
        tpm-remove) touch "$dir/no-tpm" ;;
        tpm-return) rm -f "$dir/no-tpm" ;;
        credentials) cp "$dir/host/credentials" "$dir/credentials" ;;
        initrd)
            kind=$(<"$dir/host/initrd")
            [ -z "$kind" ] || initramfs_make "$kind" "$work_dir/disk.img" \
                "$(image_kernel "$image_dir" "$kernel")" "$dir/host" || again=1
            ;;
        esac
        rm "$dir/host/$request"
    done
    return "$again"
}

# boot_run NAME KERNEL SCENARIO...
boot_run() {
    local name=$1 kernel=$2 start=$SECONDS dir=$out_dir/$1 status
    shift 2

    mkdir -p "$dir/host"
    touch "$dir"/{console,tap,journal,qemu}.log
    # What the guest writes is kept as long as this lasts, and no longer.
    cp --sparse=always --reflink=auto "$work_dir/root.img" "$work_dir/disk.img"

    while :; do
        status=0
        boot_start "$dir" "$kernel" "$@" && boot_wait "$dir" || status=$?
        boot_again "$dir" "$kernel" || break
    done
    tpm_stop
    rm -rf "$work_dir/disk.img" "$work_dir/tpm"

    tap_report "$name" "$kernel" "$dir" "$status" "$@"
    note "boot $name: $((SECONDS - start)) s"
}
