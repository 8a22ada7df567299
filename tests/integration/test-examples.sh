#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The examples of README.md, docs/ and the manual pages do what they say, on a machine with nvme-keyd installed, beside
# a target with another nvme-keyd. Output that a page shows is what the commands print, but for ids, serials and times.
# The file examples-elsewhere lists the commands that need a kernel with .nvme, a TPM or systemd.
if [ -n "${KEYD_TEST_INSIDE-}" ] && [ -z "${KEYD_TEST_MOUNTS-}" ]; then
    KEYD_TEST_MOUNTS=1 exec unshare --mount "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/probe.sh"

# --- the machine: this one, with an installed nvme-keyd, in a place where nothing that is written stays

readonly NQN=nqn.2014-08.org.nvmexpress:uuid:0d4e0c5a-70a4-4b5e-9a5c-2f6f2a1b3c4d PAIR=nqn.2024-01.com.example:storage
readonly PLACE=$tmp/place
mkdir "$PLACE" && mount -t tmpfs -o mode=755 place "$PLACE" || bail "tmpfs"
for folder in usr etc var root run; do
    mkdir -p "$PLACE/$folder/upper" "$PLACE/$folder/work"
    mount -t overlay -o "lowerdir=/$folder,upperdir=$PLACE/$folder/upper,workdir=$PLACE/$folder/work" "$folder" "/$folder" 2>"$tmp/mount" ||
        skip_all "needs overlayfs in a user namespace: $(<"$tmp/mount")"
done
DESTDIR=/ meson install -C "$build" --no-rebuild --quiet >"$tmp/install.log" 2>&1 || bail "meson install: $(tail "$tmp/install.log")"
rm -rf /var/lib/nvme-keyd /etc/nvme /etc/nvme-keyd/nvme-keyd.conf* /root/*psk* /run/nvme-keyd
mkdir -p /run/nvme-keyd /etc/nvme-keyd /etc/nvme /etc/credstore.encrypted /etc/modprobe.d /etc/dracut.conf.d "$PLACE/bin" "$PLACE/run/target"
printf '[Keyring]\nGuard=no\nStandIn=yes\n' >/etc/nvme-keyd/nvme-keyd.conf
echo "$NQN" >/etc/nvme/hostnqn
cp /etc/machine-id "$tmp/machine-id" || skip_all "this machine has no machine id"
export PATH=$PLACE/bin:$PATH NVME_KEYD_TLS_STAT=$tmp/tls_stat NVME_KEYD_PROBE=$probe TERM=dumb
export PLACE tmp image=$tmp/image

# machine STATE SOCKETS: a daemon that starts with the first connection to one of the sockets
machine() {
    local each=(-E "STATE_DIRECTORY=$1" -E NVME_KEYD_CONTROLLERS -E NVME_KEYD_TLS_STAT -E NVME_KEYD_PROBE -E NVME_KEYD_TARGET_PORTS
        -E NVME_KEYD_TLSHD_PROGRAM)
    install -d -m 700 "$1"
    exec systemd-socket-activate --fdname=varlink -l "$2/org.nvmekeyd.Manager" "${each[@]}" \
        systemd-socket-activate --seqpacket --fdname=varlink:request -l "$2/request" "${each[@]}" /usr/lib/nvme-keyd/nvme-keyd
}

host_start() {
    rm -f /run/nvme-keyd/*
    machine /var/lib/nvme-keyd /run/nvme-keyd 2>>"$log" &
    daemon=$!
    wait_for 60 is_listening /run/nvme-keyd/org.nvmekeyd.Manager || bail "systemd-socket-activate"
}

host_restart() {
    daemon_stop
    host_start
}

# The target is root of a user namespace in this one, so it has another keyring.
target_start() {
    # shellcheck disable=SC2016 # expands inside
    unshare --user --map-root-user keyctl session - bash -c 'keyctl link @u @s; eval "$1"; machine "$2" "$3"' bash \
        "$(declare -f machine)" "$tmp/target" "$PLACE/run/target" >>"$log" 2>&1 &
    target=$!
    defer "kill $target"
    wait_for 60 is_listening "$PLACE/run/target/org.nvmekeyd.Manager" || bail "the target's systemd-socket-activate"
}

# --- programs that are not here, or are not for tests

# program NAME: from standard input
program() {
    { printf '#!/bin/bash\n' && cat; } >"$PLACE/bin/$1"
    chmod 755 "$PLACE/bin/$1"
}

# It knows the units that are installed, and asks for a restart of the one that runs.
program systemctl <<'END'
verb=$1
shift
for unit in "$@"; do
    [[ $unit != --* && $unit != tlshd.service ]] || continue
    [ -e "$(pkg-config --variable=systemdsystemunitdir systemd)/$unit" ] || { echo "systemctl: there is no unit $unit" >&2; exit 1; }
    [[ $verb:$unit != *[rt]:nvme-keyd.service ]] || touch "$tmp/restart"
done
END
program on-target <<'END'
exec nvme-keyctl --socket="$PLACE/run/target/org.nvmekeyd.Manager" "$@"
END
# A command for the target, which then answers with the new key before its output goes on.
program ssh <<'END'
shift 2
output=$(on-target "$@") && target-answers && echo "$output"
END
# The target's end of TLS, with the newest key of the target.
program target-answers <<'END'
umask 077
if [ -e "$tmp/server" ]; then
    kill "$(<"$tmp/server")" 2>/dev/null
    while [ -e "/proc/$(<"$tmp/server")" ]; do sleep 0.02; done
fi
on-target export "$(on-target list --state=active --no-legend | awk 'END { print $1 }')" >"$tmp/exported" || exit 1
read -r version host subsystem digest psk < <(grep ^NVMe1R "$tmp/exported")
hex=$(cut -d : -f 3 <<<"$psk" | base64 -d | head -c -4 | od -An -v -tx1 | tr -d ' \n')
setsid openssl s_server -quiet -nocert -tls1_3 -accept 127.0.0.1:4420 -psk "$hex" \
    -psk_identity "$version $host $subsystem $digest" </dev/null &>"$tmp/server.log" &
echo "$!" >"$tmp/server"
for _ in $(seq 100); do
    ! (: <>/dev/tcp/127.0.0.1/4420) 2>/dev/null || exit 0
    sleep 0.05
done
exit 1
END
defer 'kill "$(<"$tmp/server")"'

# --- what the examples begin with

active_id() { "$@" list --no-legend --state=active 2>/dev/null | awk 'NR == 1 { print $1 }'; }
serial_of() { nvme-keyctl list --no-legend | awk -v id="$1" '$1 == id { print $4 }'; }

# connected: the host has a controller that uses the active key, and a reset brings it to the key that is active then
connected() {
    local dir=$NVME_KEYD_CONTROLLERS/nvme0 serial
    serial=$(serial_of "$(active_id nvme-keyctl)")
    mkdir -p "$dir"
    [ -e "$dir/tls_key" ] || echo "$serial" >"$dir/tls_key"
    echo "$serial" >"$dir/next_key"
    echo "$NQN" >"$dir/hostnqn"
    echo "$PAIR" >"$dir/subsysnqn"
    echo tcp >"$dir/transport"
    echo traddr=127.0.0.1,trsvcid=4420 >"$dir/address"
    echo 1 >"$dir/cntlid"
    : >"$dir/reset_controller"
    echo live >"$dir/state"
}

# begin: both ends have one key, with the same PSK, and the files that examples name are there.
begin() {
    local id
    daemon_stop
    rm -rf /var/lib/nvme-keyd /etc/nvme-keyd/nvme-keyd.conf.d /root/*psk* "${NVME_KEYD_CONTROLLERS:?}"/* "$tmp/printed" "$tmp/recovery" ./* "$image"
    host_start
    for id in $(on-target list --no-legend | cut -d ' ' -f 1); do on-target remove --force "$id" >/dev/null; done
    on-target generate --role=target --hostnqn="$NQN" --subsysnqn="$PAIR" --print-key | (umask 077 && tail -n 1 >/root/psk)
    echo "$NQN" >/etc/nvme/hostnqn
    cat "$tmp/machine-id" >/etc/machine-id
    nvme-keyctl add --subsysnqn="$PAIR" --key-file=/root/psk >/dev/null
    echo "$PAIR ${psks[0]}" >psks
    cp "$source/tests/samples/tls-keys-2.9" /etc/nvme/tls-keys
    cp "$source/tests/samples/nvme-fabrics.conf" /etc/nvme
    mkdir -p "$image/var/lib"
}

# psks: PSKs that no key has yet
mapfile -t psks < <(
    python3 - <<'PY'
import base64, secrets, zlib
for _ in range(100):
    key = secrets.token_bytes(32)
    print(f"NVMeTLSkey-1:01:{base64.b64encode(key + zlib.crc32(key).to_bytes(4, 'little')).decode()}:")
PY
)

# adapt LINE: with the ids of the keys that are there, and for the target what is for it
adapt() {
    local line=$1
    [[ ! $line =~ ^nvme-keyctl.*(5f0c2ab19c3e7d44|role=target|--generate\ --print-key|rotate\ ID|revoke\ ID) ]] || line="on-target ${line#nvme-keyctl }"
    [[ $line != *5f0c2ab19c3e7d44* ]] || line=${line//5f0c2ab19c3e7d44/$(active_id on-target)}
    [[ $line != *91b7d0e2c65fa380* ]] || line=${line//91b7d0e2c65fa380/$(active_id nvme-keyctl)}
    [[ $line != on-target*" ID"* ]] || line=${line//" ID"/" $(active_id on-target)"}
    [[ $line != *" ID"* ]] || line=${line//" ID"/" $(active_id nvme-keyctl)"}
    echo "${line//\/sys\/kernel\/config/$tmp/config}"
}

# given LINE: what one line needs beyond that, and its standard input
given() {
    { cat "$tmp/printed" 2>/dev/null || echo "${psks[next++]}"; } >"$tmp/stdin"
    case $1 in
    "nvme-keyctl rotate "*--key-file*)
        on-target rotate "$(active_id on-target)" --generate --print-key 2>/dev/null | (umask 077 && tail -n 1 >/root/new-psk)
        connected && target-answers
        ;;
    "nvme-keyctl rotate --revert"*)
        nvme-keyctl rotate --force --generate "$(active_id nvme-keyctl)" >/dev/null
        connected && target-answers
        ;;
    *--derivation=rfc8446*) on-target rotate --same-psk --derivation=compat "$(active_id on-target)" &>/dev/null ;;
    "nvme-keyctl rotate nqn"* | "ssh "* | *"nvme-keyctl controllers" | *"nvme-keyctl move"*) connected && target-answers ;;
    "nvme-keyctl add"*--identity-version=0*) nvme-keyctl remove --force "$(active_id nvme-keyctl)" >/dev/null ;;
    "nvme-keyctl remove nqn"*) rm -rf "$NVME_KEYD_CONTROLLERS/nvme0" ;;
    *"store image"*) nvme-keyctl add --subsysnqn=nqn.2026-11.org.example:root <"$tmp/stdin" >/dev/null ;;
    "cd /sys/kernel/config/nvmet") mkdir -p "$tmp/config/nvmet"/{hosts,ports/1/subsystems,"subsystems/$PAIR/allowed_hosts"} ;;
    *systemd/credential.secret*) nvme-keyctl slot add recovery 2>/dev/null | tail -n 1 >"$tmp/recovery" ;;
    *"slot unlock")
        if [ ! -e "$tmp/recovery" ]; then
            # A store that only the recovery key opens.
            nvme-keyctl slot add recovery 2>/dev/null | tail -n 1 >"$tmp/recovery"
            rm -f /var/lib/systemd/credential.secret
            host_restart
        fi
        mv "$tmp/recovery" "$tmp/stdin"
        ;;
    esac
}

# mask: what differs from run to run
mask() {
    sed -E 's/nvme-keyd-stand-in/.nvme/g; s/traddr=127.0.0.1/traddr=192.0.2.10/; s/\b[0-9a-f]{16}\b/ID/g; s/\b[0-9a-f]{8}\b/SERIAL/g; s/NVMeTLSkey-1:01:[^:]*:/PSK/g
        s/[0-9A-Z]{5}(-[0-9A-Z]{5}){12}/RECOVERY KEY/g; s/\b20[0-9]{2}-[0-9]{2}-[0-9]{2}( [0-9:]{5,8})?\b/TIME/g; s/[0-9.]+ s\b/SECONDS/g
        s/(^| )[0-9A-Za-z+/]{12}( |$)/\1FINGERPRINT\2/g; s/ +/ /g; s/ $//'
}

# example LINE: runs it where the last one ended. Adds to $tmp/shown.
example() {
    local adapted
    given "$1"
    adapted=$(adapt "$1")
    (cd "$(<"$tmp/cwd")" && eval "$adapted" && pwd >"$tmp/cwd") <"$tmp/stdin" >"$tmp/out" 2>"$tmp/err"
    result "$?" "$where: $1" || diag "$adapted" "$(tail -n 20 "$tmp/out" "$tmp/err")"
    cat "$tmp/out" >>"$tmp/shown"
    ! grep -E '^NVMeTLSkey-1:[^ ]*$' "$tmp/out" >"$tmp/new" || mv "$tmp/new" "$tmp/printed"
    if [ -e "$tmp/restart" ]; then
        rm "$tmp/restart"
        host_restart
    fi
}

: >"$tmp/resets"
python3 "$source/tests/integration/fake-kernel.py" "$NVME_KEYD_CONTROLLERS" "$tmp/resets" &
defer "kill $!"
helpers_start -E NVME_KEYD_TLSHD_PROGRAM -E NVME_KEYD_TARGET_PORTS
target_start
host_start
mkdir "$tmp/examples" "$tmp/work"
next=1
cd "$tmp/work" || bail "cd"
check "the commands that run elsewhere are in tests" "$source/tests/integration/examples.py" "$source" "$tmp/examples"
for file in "$tmp/examples"/*.sh; do
    where=$(basename "$file" .sh | sed 's/^[0-9]*-//; s/+/\//g')
    # README.md is one procedure, and the rest are examples on their own.
    [[ $where == README.md:* ]] || begin
    : >"$tmp/shown"
    pwd >"$tmp/cwd"
    while IFS= read -r line; do example "$line"; done <"$file"
    if [ -e "${file%.sh}.out" ]; then
        is "$where: prints what the page shows" "$(mask <"$tmp/shown")" "$(mask <"${file%.sh}.out")" || diag "$(<"$tmp/shown")"
    fi
done
for file in "$tmp/examples"/*.conf; do
    where=$(basename "$file" .conf | sed 's/^[0-9]*-//; s/+/\//g')
    check "$where: a valid nvme-keyd.conf" /usr/lib/nvme-keyd/nvme-keyd --check -c "$file"
done
cd /
finish
