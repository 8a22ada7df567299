# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Several guests at a time, each with a script of its own (guest/ROLE.sh), on one wire. For scripts that have $vm_dir,
# $out_dir, $work_dir, $subnqn, and $vm_names, all names of guests.

declare -A jobs=() reported=() ports=()

# vm_start NAME ROLE INITRD QEMU-OPTIONS...: its logs, and the directory it shares, are in $out_dir/NAME. A start after
# a kill goes on with them. $vm_cmdline has more kernel parameters.
vm_start() {
    local name=$1 role=$2 initrd=$3 dir=$out_dir/$1 machine cmdline
    shift 3

    mkdir -p "$dir/host"
    touch "$dir"/{console,tap,journal,qemu}.log
    read -r -a machine < <(boot_machine)
    # On a busy machine the timer test of the kernel panics.
    cmdline="no_timer_check console=ttyS0 panic=1 systemd.show_status=false net.ifnames=0 nvme_keyd_vm.role=$role"
    cmdline+=" nvme_keyd_vm.subnqn=$subnqn"
    # A handshake may take longer than 10 s where everything is emulated.
    cmdline+=" nvme_tcp.tls_handshake_timeout=60 nvmet_tcp.tls_handshake_timeout=60"
    # Tasks should wait while the target is away.
    cmdline+=" sysctl.kernel.hung_task_timeout_secs=0"
    cmdline+=" ${vm_cmdline:-}"
    set -m
    timeout --kill-after=5 "${vm_limit:-3600}" \
        qemu-system-x86_64 "${machine[@]}" -smp 2 -m 2G -nodefaults -display none -no-reboot \
        -kernel "$work_dir/vmlinuz-stock" -initrd "$initrd" -append "$cmdline" \
        -virtfs "local,path=$dir/host,mount_tag=host,security_model=none" \
        -device virtio-rng-pci -qmp "unix:$work_dir/$name.qmp,server=on,wait=off" \
        -chardev "file,id=console,path=$dir/console.log,append=on" -serial chardev:console \
        -chardev "file,id=tap,path=$dir/tap.log,append=on" -serial chardev:tap \
        -chardev "file,id=journal,path=$dir/journal.log,append=on" -serial chardev:journal \
        "$@" </dev/null >>"$dir/qemu.log" 2>&1 &
    jobs[$name]=$!
    set +m
}

vm_kill() {
    [ -n "${jobs[$1]:-}" ] || return 0
    kill -KILL -- "-${jobs[$1]}" 2>/dev/null || :
    wait "${jobs[$1]}" 2>/dev/null || :
    unset "jobs[$1]"
}

vm_runs() { kill -0 "${jobs[$1]}" 2>/dev/null; }

# Datagrams: each end may come and go. Packets that the other end does not take in time are lost, as on a wire.
wire() {
    echo -netdev "dgram,id=wire,local.type=inet,local.host=127.0.0.1,local.port=${ports[$1]},remote.type=inet,remote.host=127.0.0.1,remote.port=${ports[$2]}" \
        -device virtio-net-pci,netdev=wire,mac=52:54:00:0a:09:0"$3"
}
free_ports() {
    python3 -c 'import socket
sockets = [socket.socket(type=socket.SOCK_DGRAM) for i in range(2)]
for s in sockets:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])'
}
disk() { echo -drive "file=$1,format=raw,if=virtio,cache=unsafe"; }

# qmp NAME COMMAND ARGUMENTS
qmp() {
    python3 - "$work_dir/$1.qmp" "$2" "$3" <<'END'
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile("rw")
f.readline()
for command in {"execute": "qmp_capabilities"}, {"execute": sys.argv[2], "arguments": json.loads(sys.argv[3])}:
    f.write(json.dumps(command))
    f.flush()
    while "return" not in (answer := json.loads(f.readline())):
        if "error" in answer:
            sys.exit(answer["error"]["desc"])
END
}

# wait_for SECONDS COMMAND...
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.5
    done
}

# said NAME LINE [TIMES]: the guest has printed the line, that often
said() { [ "$(tr -d '\r' <"$out_dir/$1/tap.log" | grep -cxF "$2")" -ge "${3:-1}" ]; }
ended() { ! vm_runs "$1"; }
said_or_ended() { said "$@" || ended "$1"; }
# await NAME LINE [TIMES]
await() { wait_for 900 said_or_ended "$@" && said "$@"; }

# Relays what a guest has printed since the last call.
report() {
    local line n=0 from=${reported[$1]:-0}

    while IFS= read -r line; do
        n=$((n + 1))
        [ "$n" -gt "$from" ] || continue
        case $line in
        "ok - "* | "not ok - "*) relay_line "$line" ;;
        *) diag "$1: ${line#\# }" ;;
        esac
    done < <(tr -d '\r' <"$out_dir/$1/tap.log")
    reported[$1]=$n
}

# give_up TEXT: ends the test with all that is known, because nothing after this point makes sense.
give_up() {
    local name

    for name in "${vm_names[@]}"; do
        [ ! -d "$out_dir/$name" ] || {
            report "$name"
            tap_tail "$out_dir/$name"
        }
    done
    bail "$*"
}
