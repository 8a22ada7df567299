#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# Many probes at once, whose helpers a service manager of this machine's systemd starts: it refuses none, and
# no unit is left.
. "$(dirname "$0")/lib.sh"

# It runs as the manager of a user, in a /run of its own, with our units and no others.
if [ -z "${KEYD_TEST_MANAGER-}" ]; then
    [ -x /lib/systemd/systemd ] || skip_all "needs systemd"
    KEYD_TEST_MANAGER=1 exec unshare --mount "$0" "$@"
fi
units=$tmp/units
mkdir "$units"
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system /run/manager
export XDG_RUNTIME_DIR=/run/manager HOME=$tmp SYSTEMD_UNIT_PATH=$units
systemctl() { timeout -s KILL 60 systemctl --user "$@"; }

# The socket as it is, and of the service what a manager of a user can do.
sed "s,=/run/nvme-keyd/,=$tmp/,; /^\(PartOf\|Before\|Conflicts\)=/d" "$source/units/nvme-keyd-probe.socket" >"$units/nvme-keyd-probe.socket"
{
    printf '[Unit]\nDefaultDependencies=no\n'
    grep -E '^(\[Service\]|CollectMode|StartLimit.*|Type|Standard.*|RuntimeMaxSec|Limit.*)(=|$)' "$source/units/nvme-keyd-probe@.service.in"
    echo "ExecStart=$build/src/probe/nvme-keyd-probe"
} >"$units/nvme-keyd-probe@.service"
printf '[Unit]\nDefaultDependencies=no\n' >"$units/start.target"
/lib/systemd/systemd --user --unit=start.target </dev/null >"$log" 2>&1 &
manager=$!
defer "kill -KILL $manager && wait $manager 2>/dev/null"
is_up() { systemctl is-active --quiet start.target 2>/dev/null; }
wait_for 30 is_up || skip_all "systemd --user does not run here"
check "the socket listens" systemctl start nvme-keyd-probe.socket

export NVME_KEYD_CONTROLLERS=$tmp/controllers
mkdir "$NVME_KEYD_CONTROLLERS"
daemon_start -E "NVME_KEYD_PROBE=$tmp/probe" -E "NVME_KEYD_CONTROLLERS=$NVME_KEYD_CONTROLLERS"
id=$(add one a 2>/dev/null)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
openssl s_server -quiet -nocert -tls1_3 -accept "127.0.0.1:$port" -psk_identity "$(ring_names)" \
    -psk "$(keyctl pipe "$(keyctl rlist "$(ring)" | awk '{ print $1 }')" | od -An -v -tx1 | tr -d ' \n')" </dev/null &>/dev/null &
server=$!
defer "kill $server"
listens() { grep -qi "0100007F:$(printf %04X "$port") 00000000:0000 0A" /proc/net/tcp; }
wait_for 60 listens || bail "s_server"

for i in {1..60}; do
    dir=$NVME_KEYD_CONTROLLERS/nvme$i
    mkdir "$dir"
    echo "traddr=127.0.0.1,trsvcid=$port" >"$dir/address"
    echo live >"$dir/state"
    echo "$HOST" >"$dir/hostnqn"
    echo "$SUBSYSTEM" >"$dir/subsysnqn"
    echo 00000007 >"$dir/tls_key"
done
answers=$(ctl probe "$id" --no-legend | awk '{ print $3 }' | sort | uniq -c | xargs)
is "60 controllers: each has an answer" "$answers" "60 accepted"
counts() { systemctl show nvme-keyd-probe.socket -p NAccepted -p NRefused -p NConnections | sort | xargs; }
becomes "60 helpers, none refused, and all have ended" "NAccepted=60 NConnections=0 NRefused=0" counts
becomes "no unit of a helper is left" "" systemctl list-units --all --plain --no-legend 'nvme-keyd-probe@*'
daemon_stop
finish
