# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# kernel: both
# needs: nvme-keyd
# long: yes
# shows: after a KeyUpdate of the target the kernel reconnects, or requests of a live controller stall: then status names it, and move --stalled frees it
# timeout: 400

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:keyupdate
STALLED=b646518862f04cf5887e3cafb121fcf5
io_timeout=/sys/module/nvme_core/parameters/io_timeout

# A port without TLS, for the proxy.
plain_port() {
    local dir=$NVMET/ports/6

    load_modules nvmet-tcp nvme-fabrics tls && mkdir "$dir" && echo 127.0.0.1 >"$dir/addr_traddr" &&
        echo ipv4 >"$dir/addr_adrfam" && echo tcp >"$dir/addr_trtype" && echo 4425 >"$dir/addr_trsvcid"
}
# proxy_start IDENTITY
proxy_start() {
    mkfifo "$tmp/orders"
    rekey-proxy 4440 4425 "$1" <"$tmp/orders" >"$tmp/proxy" 2>&1 &
    exec 7>"$tmp/orders"
    key_hex "$1" >&7
    wait_until 30 listens
}
listens() { [ -n "$(ss -Hltn 'src 127.0.0.1:4440')" ]; }
# counter NAME: of the kernel; nothing if it does not count that
counter() { awk -v n="$1" '$1 == n { print $2 }' /proc/net/tls_stat; }
# update: a KeyUpdate on each I/O queue; after the first one the host may have closed the others
update() {
    : >"$tmp/proxy"
    echo update >&7
    wait_until 30 grep -q 'KeyUpdate sent' "$tmp/proxy"
}
read_begin() {
    dd if="$dev" of="$tmp/read" bs=64k count=16 iflag=direct status=none 2>"$tmp/read.err" &
    reader=$!
}
read_ends() { ! kill -0 "$reader" 2>/dev/null; }
read_is_right() { wait "$reader" && cmp "$tmp/written" "$tmp/read"; }
leaves_live() { ! ctrl_live "$ctrl"; }
ends_or_leaves() { read_ends || leaves_live; }
# Debian 13's own kernel counts nothing.
counts_them() {
    [ "$(nvme-keyctl status --json=short | jq -r '.keyUpdates | if . then "\(.received) \(.done)" else " " end')" = \
        "$(counter TlsRxRekeyReceived) $(counter TlsRxRekeyOk)" ]
}
names_it() { grep -qF "requests of $ctrl of $sub do not end" <(nvme-keyctl status); }
is_logged() { journal_since "$mark" MESSAGE_ID=$STALLED NVME_SUBSYSNQN="$sub" | grep -qF "controller $ctrl "; }

check "a port without TLS" plain_port || bail "no port"
defer target_down
check "a target on it" target_up "$sub" 6 || bail "no target"
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove --force $id"
identity=$(record_identity "$id")
check "a proxy ends the TLS of the host" proxy_start "$identity" || bail "no proxy: $(cat "$tmp/proxy")"
# The kernel resets a controller after this time by itself.
default_timeout=$(cat $io_timeout)
defer "echo $default_timeout >$io_timeout"
echo 300 >$io_timeout
check "connect by the proxy" connect_tls "$sub" -s 4440 || bail "no connection: $(cat "$tmp/proxy")"
defer "disconnect $sub; exec 7>&-"
dev=$(bdev_of "$sub")
ctrl=$(ctrl_of "$sub")
dd if=/dev/urandom of="$tmp/written" bs=64k count=16 status=none
check "data goes through it" eval 'dd if="$tmp/written" of="$dev" bs=64k oflag=direct status=none && read_begin && read_is_right'

mark=$(journal_mark)
received=$(counter TlsRxRekeyReceived)
check "a KeyUpdate on the I/O queues" update
read_begin
wait_until 10 ends_or_leaves
diag "kernel $(uname -r): $(grep Rekey /proc/net/tls_stat | xargs)"

if read_ends; then
    diag "this kernel goes on after a KeyUpdate"
    check "the data is right" read_is_right
    is "each KeyUpdate was carried out" "$(counter TlsRxRekeyOk)" "$(counter TlsRxRekeyReceived)"
    check "no controller is stalled" eval '! names_it'
    exit 0
fi
start=$(now_ms)
if leaves_live; then
    diag "this kernel reconnects after a KeyUpdate"
    like "it could not read" "$(journal_since "$mark" -k)" "nvme.*queue [0-9]+:? receive failed:? *-[0-9]+"
    check "the controller comes back by itself" wait_until 60 ctrl_live "$ctrl"
    check "the read ends" wait_until 30 read_ends
    check "with the right data" read_is_right
    diag "after $(($(now_ms) - start)) ms"
    check "status has the counters of the kernel" wait_until 20 counts_them
    is "the same controller" "$(ctrl_of "$sub")" "$ctrl"
    is "the connection uses the key" "$(tls_key_of "$sub")" "$(record_serial "$id")"
    check "no controller is stalled" eval '! names_it'
    exit 0
fi
diag "this kernel stalls after a KeyUpdate"
check "the controller stays live" ctrl_live "$ctrl"
if [ -n "$received" ]; then
    check "the kernel counts KeyUpdates" test "$(counter TlsRxRekeyReceived)" -gt "$received"
    is "and has carried out none" "$(counter TlsRxRekeyOk)" 0
    is "status has the counters" "$(nvme-keyctl status --json=short | jq -r '.keyUpdates | "\(.received) \(.done)"')" \
        "$(counter TlsRxRekeyReceived) 0"
fi
check "status names the subsystem and the controller" wait_until 60 names_it
diag "named $(($(now_ms) - start)) ms after ten seconds" "$(nvme-keyctl status | grep -iE 'do not end|key updates')"
check "the journal too" wait_until 20 is_logged
diag "$(journal_since "$mark" MESSAGE_ID=$STALLED)"
is "status counts one" "$(nvme-keyctl status --json=short | jq .controllers.stalled)" 1
nvme-keyctl status --check >"$tmp/check"
is "status --check fails" "$? $(cut -d ' ' -f 1 "$tmp/check")" "1 CRITICAL"
like "controllers says so" "$(nvme-keyctl controllers --no-legend)" "$ctrl .*stalled"
check_fails "the read waits still" read_ends
check "the controller is still live" ctrl_live "$ctrl"

start=$(now_ms)
nvme-keyctl move --stalled >"$tmp/move" 2>&1
is "move --stalled" "$?" 0
diag "move --stalled: $(($(now_ms) - start)) ms" "$(cat "$tmp/move")"
check "the read ends" wait_until 30 read_ends
check "with the right data" read_is_right
is "the same controller" "$(ctrl_of "$sub")" "$ctrl"
check "it is live" ctrl_live "$ctrl"
not_named() { ! names_it; }
check "status names it no longer" wait_until 30 not_named
is "the connection uses the key" "$(tls_key_of "$sub")" "$(record_serial "$id")"

# --- the kernel's own end of it

echo 30 >$io_timeout
disconnect "$sub"
check "connect with the timeout that is the kernel's default" connect_tls "$sub" -s 4440 || bail "no connection"
dev=$(bdev_of "$sub")
ctrl=$(ctrl_of "$sub")
mark=$(journal_mark)
check "a KeyUpdate" update
start=$(now_ms)
read_begin
check "status names it before the kernel gives up" wait_until 30 names_it
check "the read ends by itself" wait_until 90 read_ends
diag "the kernel gave up after $(($(now_ms) - start)) ms" "$(journal_since "$mark" -k | grep -E "$ctrl|timeout" | head -n 5)"
check "with the right data" read_is_right
is "the same controller is back" "$(ctrl_of "$sub")" "$ctrl"
