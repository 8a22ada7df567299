#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# A crash loop of the service, or many starts of the preload, must not leave a unit in a state that only a
# reboot or an administrator can undo. The units run in a service manager of this machine's systemd.
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

# unit NAME COMMAND: a unit with the restarts and start limits of the real one, and little else of it. It
# restarts after 1 ms.
unit() {
    local kept='^\[(Unit|Service|Socket)\]|^(DefaultDependencies|StartLimit.*|TriggerLimit.*|Restart.*|SuccessExitStatus)='
    {
        grep -E "$kept|^(Type|Service|Sockets)=" "$build/units/$1" | sed '/^Restart\(Sec\|Steps\|MaxDelaySec\)=/d'
        case $1 in
        *.socket) sed -n "s,^\(Listen.*\)=/.*/,\1=$tmp/,p" "$build/units/$1" ;;
        *) printf '%s\n' RestartSec=1ms "ExecStart=/bin/sh -c 'echo >>$tmp/starts.$1; $2'" ;;
        esac
    } >"$units/$1"
    : >"$tmp/starts.$1"
}
unit nvme-keyd.service 'exit 1'
unit nvme-keyd.socket ''
unit nvme-keyd-request.socket ''
unit nvme-keyd-preload.service 'exit 0'
# systemd forgets an ended unit, and how often it was started, if no other unit names it.
printf '[Unit]\nDefaultDependencies=no\nAfter=nvme-keyd-preload.service\n' >"$units/start.target"

/lib/systemd/systemd --user --unit=start.target </dev/null >"$log" 2>&1 &
manager=$!
defer "kill -KILL $manager && wait $manager 2>/dev/null"
is_up() { systemctl is-active --quiet start.target 2>/dev/null; }
wait_for 30 is_up || skip_all "systemd --user does not run here"

# --- the service ends at once, with a connection pending

starts() { wc -l <"$tmp/starts.$1"; }
has_started() { [ "$(starts nvme-keyd.service)" -ge "$1" ]; }
check "the sockets are there" systemctl start nvme-keyd.socket nvme-keyd-request.socket
python3 -c '
import socket, sys, time
s = [socket.socket(socket.AF_UNIX, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)]
s[0].connect(f"{sys.argv[1]}/org.nvmekeyd.Manager")
s[1].connect(f"{sys.argv[1]}/request")
time.sleep(600)' "$tmp" &
client=$!
defer "kill $client && wait $client 2>/dev/null"
check "a crash loop goes on" wait_for 120 has_started 60
for unit in nvme-keyd.socket nvme-keyd-request.socket; do
    is "$unit: stays up" "$(systemctl show -p ActiveState -p Result "$unit" | paste -sd ' ')" "Result=success ActiveState=active"
done

# --- the preload is started often

failed=0
for _ in {1..30}; do
    systemctl start nvme-keyd-preload.service 2>>"$log" || failed=$((failed + 1))
done
is "the preload: started as often as it is wanted" "$failed $(starts nvme-keyd-preload.service)" "0 30"

# --- a reload with a mistake in the configuration fails, and does not reach the service

{
    printf '[Unit]\nDefaultDependencies=no\n[Service]\nType=notify\nNotifyAccess=all\n'
    printf '%s\n' "ExecStart=/bin/bash -c 'trap \"echo >>$tmp/reloads\" HUP; systemd-notify --ready; while :; do sleep 0.1; done'"
    sed -n "s,^ExecReload=.*/nvme-keyd --check$,ExecReload=$build/nvme-keyd --check -c $conf,p; /^ExecReload=.*kill/p" "$build/units/nvme-keyd.service"
} >"$units/reload.service"
: >"$tmp/reloads"
reloads() { wc -l <"$tmp/reloads"; }
check "reload: a service" systemctl start reload.service
check "reload: succeeds" systemctl reload reload.service
becomes "reload: reaches the service" 1 reloads
cp "$conf" "$tmp/good.conf"
printf '[Keyring]\nStandIn=perhaps\n' >"$conf"
run systemctl reload reload.service
is "reload, bad: fails" "$status" 1
cp "$tmp/good.conf" "$conf"
check "reload: succeeds again" systemctl reload reload.service
becomes "reload, bad: did not reach the service" 2 reloads
systemctl stop reload.service

# --- a start before /var is mounted, below a root that is read-only: nothing can be made in there

# sandboxed NAME: starts another program with the unit's view of the file system
sandboxed() {
    {
        printf '[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/true\n'
        grep -E '^(StateDirectory|PrivateMounts|PrivateTmp|PrivateDevices|Protect(System|Home)|TemporaryFileSystem|[A-Za-z]*Paths)=' "$build/units/$1"
    } >"$units/sandbox-$1"
    systemctl daemon-reload
    run systemctl start "sandbox-$1"
    echo "$status $(systemctl show -p ExecMainStatus --value "sandbox-$1")"
}
mkdir -p /run/systemd/inaccessible/dir # as the manager of the system makes it
mount -t tmpfs -o ro tmpfs /var
# The other units need /var/lib/systemd.
is "no /var yet: nvme-keyd-preload.service starts" "$(sandboxed nvme-keyd-preload.service)" "0 0"
mount -o remount,rw /var && mkdir -p /var/lib && mount -o remount,ro /var && mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/systemd
for unit in nvme-keyd.service nvme-keyd-host-key.service nvme-keyd-credentials.service nvme-keyd-preload.service; do
    is "/var/lib alone is mounted: $unit starts" "$(sandboxed "$unit")" "0 0"
done

# --- the pauses in a crash loop

service=$(<"$build/units/nvme-keyd.service")
pause=$(sed -n 's/^RestartSec=//p' "$build/units/nvme-keyd.service")
like "the service: pauses before a restart" "$pause" '^[0-9]+(s|ms)$'
# systemd before 254 ignores these, with a warning at each boot.
if [ "$(pkg-config --modversion libsystemd | cut -d . -f 1)" -ge 254 ]; then
    like "the service: the pauses become longer" "$service" $'\nRestartSteps=[0-9]+\nRestartMaxDelaySec=[0-9]+s\n'
else
    check "the service: has no option that this systemd does not know" test -z "$(grep -E '^Restart(Steps|MaxDelaySec)=' <<<"$service")"
fi

finish
