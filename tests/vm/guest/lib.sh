# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Shared by the scenarios. Everything on stdout is TAP or a diagnostic.

set -u

. /opt/vm/common.sh

PATH=/opt/vm/bin:/usr/sbin:/usr/bin
HOSTNQN=$(cat /etc/nvme/hostnqn)
HOSTID=$(cat /etc/nvme/hostid)
MESSAGE_STORE_UNAVAILABLE=d7dabd904759410d8fa505d064780d7e
MESSAGE_SLOTS_FAILED=4e81252d83a04adca971786d97a1c908
MESSAGE_STORE_SLOW=56a87091815244e1b435b0818ec91c1e
MESSAGE_RING_ABSENT=82f6f98b947c42adae1138baf9aeb245
NVMET=/sys/kernel/config/nvmet

tmp=$(mktemp -d /run/vm.XXXXXX)

# --- results: those of tap.sh, and

# explain COMMAND...: the status of a unit that did not start, for check()
explain() {
    [[ $1 == systemctl && ${2-} =~ ^(re|try-re)?start$ ]] || return 0
    systemctl status --no-pager --full --lines=20 -- "${@: -1}" 2>&1 | sed 's/^/#   /'
}

# Status 1 means "a check failed and said so"; a script that broke must not look like that.
_at_exit() {
    local status=$?
    tap_clean_up
    rm -rf "$tmp"
    [ "$tap_failed" = 0 ] || exit 1
    [ "$status" != 1 ] || exit 3
    exit "$status"
}
trap _at_exit EXIT
trap 'exit 143' TERM

# io_begin DEVICE: writes a pattern and reads it back, round by round, until io_end. What fails is in $tmp/io.errors.
io_begin() {
    dd if=/dev/urandom of="$tmp/pattern" bs=64k count=16 status=none
    touch "$tmp/io"
    io_loop "$1" >"$tmp/io.errors" 2>&1 &
    io=$!
}

io_loop() {
    local n=0
    while [ -e "$tmp/io" ]; do
        dd if="$tmp/pattern" of="$1" bs=64k oflag=direct status=none &&
            dd if="$1" of="$tmp/io.back" bs=64k count=16 iflag=direct status=none &&
            cmp "$tmp/pattern" "$tmp/io.back" || echo "round $n failed"
        n=$((n + 1))
        echo "$n" >"$tmp/io.rounds"
    done
}

# io_end: waits for the end of the last round.
io_end() {
    rm "$tmp/io"
    wait "$io"
}

# wait_until SECONDS COMMAND...
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}

# Milliseconds since boot, to take times with.
now_ms() { awk '{ printf "%d\n", $1 * 1000 }' /proc/uptime; }

# mark=$(journal_mark); ...; journal_since "$mark" [journalctl arguments]
journal_mark() {
    journalctl --sync
    journalctl --lines=1 --show-cursor --quiet | sed -n 's/^-- cursor: //p'
}
journal_since() {
    local mark=$1
    shift
    journalctl --sync
    journalctl --after-cursor="$mark" --output=cat --quiet "$@"
}

# unit_property UNIT PROPERTY
unit_property() { systemctl show --property="$2" --value "$1"; }

# After the next restart of the guest this same script is run with VM_PHASE=$1.
next_phase() {
    echo "$(basename "$0" .sh) $1" >"$VM_STATE/phase"
    sync -f "$VM_STATE"
}

reboot_into() {
    next_phase "$1"
    exit 0
}

# Restarts without shutdown and sync: unwritten data are lost. From the outside: host_request power-cut.
power_cut() {
    echo b >/proc/sysrq-trigger
    sleep infinity
}

# --- the host

# host_request tpm-replace: another TPM from the next phase on
# host_request tpm-remove, tpm-return: from the next phase on there is no TPM, or the one of before
# host_request credentials LINES: the next phase has these system credentials, lines WAY NAME=BASE64. WAY is smbios, fw_cfg,
#   or stub for one that is sealed, which only an initramfs with systemd takes.
# host_request initrd [KIND]: from the next phase on the guest starts with the initrd that is in $HOST/initrd.img. With
#   KIND, dracut or initramfs-tools, the host makes one of this machine and puts it there (host/initramfs.sh).
# host_request power-cut MS: pull the plug within that many milliseconds, and switch on again
host_request() {
    host_mount && echo "${2:-}" >"$HOST/$1.new" && mv "$HOST/$1.new" "$HOST/$1"
}

# --- NVMe

# target_up SUBNQN [PORT [FILE]]: a subsystem with a 64 MB namespace on a TLS port, 4420 for PORT 1, 4421 for 2.
target_up() {
    local sub=$1 port=$NVMET/ports/${2:-1} dir=$NVMET/subsystems/$1 file=${3:-}

    # Not nvme-tcp: the kernel loads that for the first connection. The units of nvme-cli load nvme-fabrics at boot,
    # and never again.
    load_modules nvmet-tcp nvme-fabrics || return
    if [ ! -d "$port" ]; then
        mkdir "$port"
        echo 127.0.0.1 >"$port/addr_traddr"
        echo ipv4 >"$port/addr_adrfam"
        echo tcp >"$port/addr_trtype"
        echo $((4419 + ${2:-1})) >"$port/addr_trsvcid"
        echo tls1.3 >"$port/addr_tsas"
    fi
    file=${file:-$(mktemp /run/vm-namespace.XXXXXX)}
    truncate -s 64M "$file"
    mkdir "$dir" || return
    echo 1 >"$dir/attr_allow_any_host"
    mkdir "$dir/namespaces/1"
    echo "$file" >"$dir/namespaces/1/device_path"
    echo 1 >"$dir/namespaces/1/buffered_io"
    echo 1 >"$dir/namespaces/1/enable"
    ln -s "$dir" "$port/subsystems/$sub"
}

# target_down: all of them.
target_down() {
    local f

    for f in "$NVMET"/ports/*/subsystems/*; do [ ! -L "$f" ] || rm "$f"; done
    for f in "$NVMET"/subsystems/*/namespaces/*; do
        [ ! -d "$f" ] || { echo 0 >"$f/enable" && rmdir "$f"; }
    done
    for f in "$NVMET"/subsystems/* "$NVMET"/ports/*; do [ ! -d "$f" ] || rmdir "$f"; done
    rm -f /run/vm-namespace.*
}

# connect_tls SUBNQN [nvme arguments]. The long keep-alive is for slow guests.
connect_tls() {
    local sub=$1
    shift
    timeout 60 nvme connect -t tcp -a 127.0.0.1 -s 4420 -n "$sub" --hostnqn="$HOSTNQN" --hostid="$HOSTID" \
        --keep-alive-tmo=30 --tls "$@" || return
    wait_until 60 bdev_of "$sub"
}

# connect_with SUBNQN KERNEL-OPTIONS: with options that nvme-cli does not pass on, such as keyring= without tls_key=
connect_with() {
    [ -c /dev/nvme-fabrics ] || return
    timeout 60 bash -c 'printf %s "$1" >&3 && cat <&3' \
        bash "transport=tcp,traddr=127.0.0.1,trsvcid=4420,nqn=$1,hostnqn=$HOSTNQN,hostid=$HOSTID,keep_alive_tmo=30,tls,$2" \
        3<>/dev/nvme-fabrics
}

disconnect() { nvme disconnect -n "$1"; }

# ctrls_of SUBNQN: all of its controllers, such as nvme0
ctrls_of() {
    local f

    for f in /sys/class/nvme/*/subsysnqn; do
        [ "$(cat "$f" 2>/dev/null)" != "$1" ] || basename "$(dirname "$f")"
    done
}
# ctrl_of SUBNQN: the first of them
ctrl_of() { ctrls_of "$1" | head -n 1 | grep .; }
# watch_paths SUBNQN: looks at the states of its two controllers while $tmp/paths exists, and prints "looks N misses N
# outages N": looks that found none live, and those that found one that was not. Looks at both again before it counts a
# miss: the first may have come back before the second was reset.
watch_paths() {
    local looks=0 misses=0 outages=0 a b c

    mapfile -t c < <(ctrls_of "$1")
    while [ -e "$tmp/paths" ]; do
        for _ in 1 2; do
            read -r a <"/sys/class/nvme/${c[0]}/state"
            read -r b <"/sys/class/nvme/${c[1]}/state"
            [ "$a" != live ] && [ "$b" != live ] || break
        done
        looks=$((looks + 1))
        [ "$a" = live ] || [ "$b" = live ] || misses=$((misses + 1))
        [ "$a" = live ] && [ "$b" = live ] || outages=$((outages + 1))
    done
    echo "looks $looks misses $misses outages $outages"
}

# bdev_of SUBNQN: /dev/nvme0n1
bdev_of() {
    local f n

    for f in /sys/class/nvme-subsystem/*/subsysnqn; do
        [ "$(cat "$f" 2>/dev/null)" = "$1" ] || continue
        for n in "$(dirname "$f")"/nvme*n*; do
            n=/dev/$(basename "$n")
            [ -b "$n" ] || continue
            echo "$n"
            return 0
        done
    done
    return 1
}

# Decimal, as nvme-keyctl prints it; sysfs has hex.
tls_key_of() {
    local hex

    hex=$(cat "/sys/class/nvme/$(ctrl_of "$1")/tls_key") && [ -n "$hex" ] && echo $((16#$hex))
}

ctrl_live() { [ "$(cat "/sys/class/nvme/$1/state")" = live ]; }

# data_check DEVICE: random bytes that are written past the caches are read back.
data_check() {
    dd if=/dev/urandom of="$tmp/data" bs=1M count=4 status=none &&
        dd if="$tmp/data" of="$1" bs=1M oflag=direct status=none &&
        dd if="$1" of="$tmp/back" bs=1M count=4 iflag=direct status=none &&
        cmp "$tmp/data" "$tmp/back"
}

# --- keys

nvme_ring() {
    local hex

    # A ring of an unloaded nvme_keyring stays for a while, revoked.
    hex=$(awk '$8 == "keyring" && $9 == ".nvme:" && $2 !~ /R/ { print $1 }' /proc/keys)
    [ -n "$hex" ] && echo $((16#$hex))
}

# All of .nvme, one line each: SERIAL HEX DESCRIPTION (guest/ringls.c)
ring_list() { ringls; }
ring_count() { ringls | wc -l; }
key_hex() { ringls | awk -v d="$1" '{ h = $2; sub(/^[^ ]* [^ ]* /, ""); if ($0 == d) print h }'; }
key_serial() { ringls | awk -v d="$1" '{ s = $1; sub(/^[^ ]* [^ ]* /, ""); if ($0 == d) print s }'; }
# key_identity SERIAL
key_identity() { ringls | awk -v s="$1" '$1 == s { sub(/^[^ ]* [^ ]* /, ""); print }'; }

# Straight from the machine's random source, not through the code under test.
new_psk() {
    nvme gen-tls-key --hmac="${1:-1}" --hostnqn="$HOSTNQN" --subsysnqn=nqn.unused 2>/dev/null |
        grep '^NVMeTLSkey-1:'
}

# --- nvme-keyd

# The record of a subsystem as JSON.
record_of() { nvme-keyctl list --json=short | jq -ce --arg s "$1" '.keys[] | select(.subsystemNQN == $s)'; }
# record_serial ID [VERSION]: the serial of its key, if that is published
record_serial() {
    nvme-keyctl list --json=short |
        jq -re --arg id "$1" --argjson v "${2:-1}" \
            '.keys[] | select(.id == $id) | .identities[] | select(.version == $v) | .serial // empty'
}
# record_identity ID [VERSION]
record_identity() {
    nvme-keyctl list --json=short |
        jq -re --arg id "$1" --argjson v "${2:-1}" \
            '.keys[] | select(.id == $id) | .identities[] | select(.version == $v) | .identity'
}

guard_conf=/etc/nvme-keyd/nvme-keyd.conf.d/10-guard.conf
# guard_off: what is taken out of .nvme stays out, until the end of the scenario
guard_off() {
    [ ! -e "$guard_conf" ] || return 0
    mkdir -p "${guard_conf%/*}"
    printf '[Keyring]\nGuard=no\n' >"$guard_conf"
    ! systemctl is-active --quiet nvme-keyd.service || systemctl reload nvme-keyd.service
}
guard_on() {
    [ -e "$guard_conf" ] || return 0
    rm -f "$guard_conf"
    ! systemctl is-active --quiet nvme-keyd.service || systemctl reload nvme-keyd.service
}

# forget_keys: empties .nvme, so the next connect has to ask
forget_keys() { guard_off && keyctl clear "$(nvme_ring)" && [ "$(ring_count)" = 0 ]; }

# The kernel keeps 15 characters of a name.
shim_runs() { pgrep -x request-key-shi; }

# --- the handshake daemon

# tlshd_status: its unit and state by nvme-keyctl status, as "UNIT STATE"
tlshd_status() { nvme-keyctl status --json=short | jq -r '.tlshd | "\(.unit) \(.state)"'; }
tlshd_is() { [ "$(tlshd_status)" = "$1" ]; }

# tlshd_with NAME LINE...: a drop-in with these lines of its section [Service], and tlshd started with it
tlshd_with() {
    local dir=/run/systemd/system/tlshd.service.d

    mkdir -p $dir
    printf '%s\n' '[Service]' "${@:2}" >"$dir/$1.conf"
    systemctl daemon-reload && systemctl restart tlshd.service
}
# tlshd_without NAME: removes the drop-in
tlshd_without() {
    rm -f "/run/systemd/system/tlshd.service.d/$1.conf"
    systemctl daemon-reload && systemctl restart tlshd.service
}
# The tlshd of the second suite, which from the kernel takes the keyring of each handshake and unlinks it afterwards.
newer_tlshd() { tlshd_with 90-vm-newer ExecStart= ExecStart=/opt/sid/tlshd; }
older_tlshd() { tlshd_without 90-vm-newer; }

# --- the livepatch

PATCH=nvme_keyd_upcall
patch_file() { echo "/sys/kernel/livepatch/$PATCH/$1"; }
patch_settled() { [ "$(cat "$(patch_file transition)")" = 0 ]; }
patch_gone() { [ ! -e "/sys/kernel/livepatch/$PATCH" ]; }
patch_load() { modprobe "$PATCH" && wait_until 60 patch_settled; }
patch_unload() {
    [ -e "/sys/module/$PATCH" ] || return 0
    patch_gone || echo 0 >"$(patch_file enabled)"
    wait_until 60 patch_gone && patch_remove
}
# A udev rule publishes all keys when the module goes; wait for that before the next step.
patch_remove() {
    local before

    before=$(preload_ended)
    rmmod "$PATCH" && wait_until 60 preload_ended_since "$before"
}
preload_ended() { unit_property nvme-keyd-preload.service ExecMainExitTimestampMonotonic; }
preload_ended_since() { [ "$(preload_ended)" != "$1" ] && [ "$(preload_ended)" != 0 ]; }

# The slot that opened the store.
store_slot() { nvme-keyctl status --json=short | jq -re '.store.slot // empty'; }
# store_is STATE: open, absent or unavailable
store_is() { [ "$(nvme-keyctl status --json=short | jq -r .store.state)" = "$1" ]; }

# The slots, as the header has them: their types; the one of a type as JSON.
header_slots() { head -n 1 /var/lib/nvme-keyd/store | jq -re '[.slots[].type] | join(" ")'; }
header_slot() { head -n 1 /var/lib/nvme-keyd/store | jq -ce --arg t "$1" '.slots[] | select(.type == $t)'; }

# only_tpm: leaves the slot of the TPM as the only one that opens the store.
only_tpm() {
    local slot

    slot=$(header_slot systemd-creds) || return 0
    systemctl restart nvme-keyd.service && [ "$(store_slot)" = tpm2 ] &&
        nvme-keyctl slot remove "$(jq -r .id <<<"$slot")" && [ "$(header_slots)" = tpm2 ]
}

have_product() { command -v nvme-keyctl >/dev/null; }

# --- boots

# The jobs of the boot that are left, without that of the scenario itself.
boot_jobs() { systemctl list-jobs --no-legend | grep -v 'nvme-keyd-vm\.service'; }
boot_is_over() { systemctl is-active --quiet multi-user.target && ! boot_jobs; }
boot_went_on() {
    wait_until 60 boot_is_over || {
        boot_jobs
        return 1
    }
}
failed_units() { systemctl list-units --failed --no-legend --plain | awk '{ print $1 }'; }

# The messages of nvme-keyd in this boot above priority info, each with its MESSAGE_ID.
keyd_complaints() {
    journalctl --sync
    journalctl --boot --quiet --priority=notice --output=json \
        --identifier=nvme-keyd --identifier=nvme-keyctl |
        jq -r '"\(.MESSAGE_ID // "-") \(.MESSAGE)"'
}

# complains_once TEXT MESSAGE_ID: logged once, and nothing else, except that a slow machine is slow.
complains_once() {
    keyd_complaints >"$tmp/complaints"
    sed 's/^/# journal: /' "$tmp/complaints"
    [ "$2" = $MESSAGE_STORE_SLOW ] || sed -i "/^$MESSAGE_STORE_SLOW /d" "$tmp/complaints"
    # one line for each slot that does not open the store
    is "$1" "$(cut -d ' ' -f 1 "$tmp/complaints" | uniq) $(sort "$tmp/complaints" | uniq -d)" "$2 "
}

# Begin and end of the first publishing, in microseconds. The unit has the times of its last run, because the udev rule
# starts it again for the module. Messages of systemd from before the journal have no fields. The time is that of the
# message, because a busy journal receives it later.
preload_times() {
    journalctl --boot --quiet --output=json --identifier=systemd \
        --grep='^(Starting|Finished|Failed to start) nvme-keyd-preload\.service' |
        jq -rs 'def us(f): f | tonumber;
                        def said: if ._SOURCE_MONOTONIC_TIMESTAMP then us(._SOURCE_MONOTONIC_TIMESTAMP) else
                                us(.__MONOTONIC_TIMESTAMP) - us(.__REALTIME_TIMESTAMP) +
                                us(._SOURCE_REALTIME_TIMESTAMP // .__REALTIME_TIMESTAMP) end;
                        group_by(.MESSAGE | startswith("Starting") | not) | map(.[0] | said | tostring) | join(" ")'
}
# How long the boot waited for it, in milliseconds.
preload_ms() {
    local from to

    read -r from to < <(preload_times)
    [ "$from" -gt 0 ] && [ "$to" -gt 0 ] && echo $(((to - from) / 1000))
}
# preload_within SECONDS
preload_within() {
    local ms

    ms=$(preload_ms) && [ "$ms" -lt "$(($1 * 1000))" ]
}

# boot_unit NAME TARGET SCRIPT LINE...: from the next boot on, TARGET wants a unit that runs SCRIPT with lib.sh. The
# lines are its section [Unit].
boot_unit() {
    local name=$1 target=$2 script=$3
    shift 3

    printf '%s\n' '. /opt/vm/lib.sh' "$script" >"/opt/vm/$name.sh"
    printf '%s\n' '[Unit]' "$@" '[Service]' Type=oneshot RemainAfterExit=yes \
        "ExecStart=/bin/bash /opt/vm/$name.sh" >"/etc/systemd/system/$name"
    systemctl daemon-reload
    systemctl add-wants "$target" "$name"
}
boot_unit_gone() {
    systemctl disable "$1"
    rm -f "/etc/systemd/system/$1" "/opt/vm/$1.sh"
    systemctl daemon-reload
}

# Leaves a guest without connections, targets, records and keys.
clean_slate() {
    local id ring status=0

    nvme disconnect-all
    target_down
    patch_unload || status=1
    if have_product; then
        systemctl reset-failed
        guard_on || status=1
        systemctl start nvme-keyd.socket nvme-keyd-request.socket || status=1
        for id in $(nvme-keyctl list --json=short | jq -r '.keys[].id'); do
            nvme-keyctl remove "$id" || status=1
        done
    fi
    if ring=$(nvme_ring); then
        keyctl clear "$ring" || status=1
    fi
    systemctl is-active --quiet tlshd || systemctl restart tlshd || status=1
    return "$status"
}

# --- an initramfs of dracut

LOOKED=/run/vm-looked
look_unit=/etc/systemd/system/vm-look.service
look_conf=/etc/dracut.conf.d/vm-look.conf

# Makes the next images write .nvme, after our keys and before dracut's queue, to $LOOKED of the real root.
look_in_initramfs() {
    local wants=${look_unit%/*}/initrd.target.wants

    printf '%s\n' '[Unit]' DefaultDependencies=no After=nvme-keyd-preload.service \
        'Before=dracut-initqueue.service initrd-parse-etc.service initrd.target' \
        '[Service]' Type=oneshot "ExecStart=sed -n '/ psk /p' /proc/keys" "StandardOutput=file:$LOOKED" >$look_unit
    mkdir -p "$wants"
    ln -s $look_unit "$wants/"
    echo "install_items+=\" sed $look_unit $wants/${look_unit##*/} \"" >$look_conf
}
stop_looking() { rm -r $look_conf $look_unit "${look_unit%/*}/initrd.target.wants"; }
