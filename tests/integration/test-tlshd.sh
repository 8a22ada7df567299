#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# tlshd with and without the keyring: the state in status and journal, and whether the service
# manager is asked to restart it.
. "$(dirname "$0")/lib.sh"

units=$tmp/units manager=$tmp/service-manager
mkdir "$units"

# A process with a session keyring as systemd makes it for a unit's; the ring is linked into it if there is one.
invocation=
tlshd_start() {
    tlshd_stop
    invocation=$(systemd-id128 new)
    # shellcheck disable=SC2016 # expands inside
    keyctl session - bash -c '
        key=$(printf "$(sed "s/../\\\\x&/g" <<<"$1")" | keyctl padd user invocation_id @s) &&
            keyctl setperm "$key" 0x0b0b0000 && { [ -z "$2" ] || keyctl link "$2" @s; } && touch "$3" &&
            for _ in {1..6000}; do [ ! -e "$3.unlink" ] || { keyctl unlink "$2" @s; rm "$3.unlink"; }; sleep 0.1; done' \
        bash "$invocation" "${1-}" "$tmp/started" >"$tmp/keyctl" 2>&1 &
    handshake=$!
    wait_for 60 test -e "$tmp/started" || bail "no session: $(<"$tmp/keyctl")"
    ln -sfn "$invocation" "$units/invocation:tlshd.service"
}
# As newer versions of tlshd do after each handshake.
tlshd_unlinks() {
    touch "$tmp/started.unlink"
    wait_for 60 test ! -e "$tmp/started.unlink"
}
handshake=
tlshd_stop() {
    rm -f "$units/invocation:tlshd.service" "$tmp/started"
    [ -z "$handshake" ] || { kill "$handshake" && wait "$handshake"; } 2>/dev/null
    handshake=
}
defer tlshd_stop

state() { ctl status --json=short | json 'o.get("tlshd", {}).get("unit"), o.get("tlshd", {}).get("state")'; }
remedy() { ctl status --json=short | json 'o["tlshd"].get("remedy")'; }
warnings() { grep -c "tlshd.service links an older keyring" "$log"; }
has_warnings() { [ "$(warnings)" -eq "$1" ]; }
start=(-E "NVME_KEYD_RUNNING_UNITS=$units" -E "NVME_KEYD_SERVICE_MANAGER=unix:path=$manager")

daemon_start
run ctl status
is "a stand-in is for no handshake" "$status$([[ $out == *Handshakes* ]] && echo "$out")" 0
daemon_stop

daemon_start "${start[@]}"
is "nothing is running" "$(state)" "('tlshd.service', 'stopped')"
tlshd_start "$(ring)"
is "tlshd has the keyring: ready" "$(state)" "('tlshd.service', 'ready')"
run ctl status
like "status: the service" "$out" $'Handshakes: tlshd.service, ready\n +Provision:'
# The one from memory, which takes the place of the other.
mv "$units/invocation:tlshd.service" "$units/invocation:nvme-keyd-tlshd.service"
is "the tlshd in memory has the keyring: ready" "$(state)" "('nvme-keyd-tlshd.service', 'ready')"
mv "$units/invocation:nvme-keyd-tlshd.service" "$units/invocation:tlshd.service"
ln -sfn 0123456789abcdef0123456789abcdef "$units/invocation:tlshd.service"
is "another invocation of the unit: unknown" "$(state)" "('tlshd.service', 'unknown')"
ln -sfn "$invocation" "$units/invocation:tlshd.service"
is "there is no warning so far" "$(warnings)" 0
check "tlshd unlinks the keyring" tlshd_unlinks
is "tlshd has unlinked the keyring itself: ready" "$(state) $(remedy)" "('tlshd.service', 'ready') None"
tlshd_start "$(ring)"
is "another tlshd has the keyring: ready" "$(state)" "('tlshd.service', 'ready')"

# Unloading the module revokes the keyring.
keyctl revoke "$(ring)"
is "tlshd does not have the new keyring: stale" "$(state)" "('tlshd.service', 'stale')"
check "the log has a warning" wait_for 60 has_warnings 1
run ctl status
like "status: what to do" "$out" $'Handshakes: tlshd.service, stale\n.*\n +systemctl restart tlshd.service\n +Provision:'
ctl sync >/dev/null
is "there is one warning" "$(warnings)" 1
is "no restart was tried" "$(grep -cE "Cannot restart|Restarting" "$log")" 0
daemon_stop

# Without any link it may have been started this moment, so it gets 5 seconds. A machine may be too slow to look within
# these, but not three times.
unlinked() { grep -c "tlshd.service has no link to the keyring" "$log"; }
has_unlinked() { [ "$(unlinked)" -eq "$1" ]; }
for _ in 1 2 3; do
    tlshd_start
    before=$(unlinked)
    daemon_start "${start[@]}"
    early=$(state)
    kill -STOP "$daemon"
    ! [ "$(unlinked)" -gt "$before" ] || { kill -CONT "$daemon" && daemon_stop && continue; }
    break
done
is "a new tlshd has no link yet: unknown" "$early" "('tlshd.service', 'unknown')"
tlshd_start "$(ring)"
sleep 6
kill -CONT "$daemon"
is "a new tlshd has a link by now: ready" "$(state)" "('tlshd.service', 'ready')"
sleep 0.5
is "no message was logged" "$(unlinked)" "$before"
daemon_stop
tlshd_start
daemon_start "${start[@]}"
check "it never links it: a message says so" wait_for 60 has_unlinked "$((before + 1))"
is "a missing link is no warning" "$(warnings)" 1
run ctl status
like "status: says which versions of tlshd need a link" "$out" $'Handshakes: tlshd.service, unknown\n.*1\\.1 and newer need none.*\n +systemctl restart tlshd.service\n'

# --- a restart that does not help: before 0.12 tlshd links only the keyrings of its configuration

tlshd_start
is "restarted in vain" "$(state) $(remedy)" "('tlshd.service', 'unknown') configure"
run ctl status
like "status: what to configure" "$out" $'keyrings=\\.nvme\n.*/etc/tlshd\\.conf'
cp "$conf" "$tmp/conf"
printf '[Manager]\nRestartTlshd=yes\n' >>"$conf"
kill -HUP "$daemon"
configured() { grep -q "tlshd.service was restarted, but has not linked the keyring .nvme: .*keyrings=.nvme" "$log"; }
check "the log says what to configure" wait_for 60 configured
is "it is not restarted again" "$(grep -cE "Cannot restart|Restarting" "$log")" 0
daemon_stop

# --- RestartTlshd=, when it is stale already

cp "$tmp/conf" "$conf"
tlshd_start "$(ring)"
keyctl revoke "$(ring)"
before=$(warnings)
daemon_start "${start[@]}"
check "stale" wait_for 60 has_warnings "$((before + 1))"
printf '[Manager]\nRestartTlshd=yes\n' >>"$conf"
kill -HUP "$daemon"
restarts() { [ "$(grep -c "Cannot restart tlshd.service: " "$log")" -eq "$1" ]; }
check "the reload tries a restart; without a service manager a message says that it failed" wait_for 60 restarts 1
is "after a failed restart the daemon goes on" "$(state)" "('tlshd.service', 'stale')"
ctl sync >/dev/null
kill -HUP "$daemon"
ctl sync >/dev/null
is "each message is there once" "$(grep -c "Cannot restart tlshd.service: " "$log") $(warnings)" "1 $((before + 1))"
daemon_stop

# --- and at the start

tlshd_start "$(ring)"
keyctl revoke "$(ring)"
daemon_start "${start[@]}"
check "at the start it is restarted as well" wait_for 60 restarts 2
daemon_stop

finish
