# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# needs: nvme-keyd
# suite: boot
# shows: tlshd finds a new keyring by the user keyring; a tlshd that cannot is named, and restarted if the configuration asks for it
# timeout: 360

. /opt/vm/lib.sh

MESSAGE_TLSHD_STALE=704bbc6a08e641559b9b1945177a869d
config=/etc/nvme-keyd/nvme-keyd.conf.d/90-vm.conf
sub=nqn.2026-11.org.example:handshake

# messages MARK: how many there were since
messages() { journal_since "$1" -u nvme-keyd.service MESSAGE_ID=$MESSAGE_TLSHD_STALE | wc -l; }
has_messages() { [ "$(messages "$1")" -gt 0 ]; }
preloaded() { unit_property nvme-keyd-preload.service ExecMainExitTimestampMonotonic; }
preloaded_since() { [ "$(preloaded)" != "$1" ] && [ "$(preloaded)" != 0 ]; }
keys_are_back() { [ "$(ring_count)" = 1 ]; }
# Another .nvme, with the keys in it. The event makes preload run, which asks the daemon to sync.
reload_keyring() {
    local before

    nvme disconnect-all
    target_down
    before=$(preloaded)
    # A controller that is disconnected may hold the modules a moment longer.
    wait_until 20 modprobe -r nvmet-tcp nvme-tcp nvmet nvme-fabrics nvme-keyring && modprobe nvme-keyring &&
        wait_until 30 preloaded_since "$before" && wait_until 10 keys_are_back
}
tlshd_invocation() { unit_property tlshd.service InvocationID; }
tlshd_is_another() { [ -n "$(tlshd_invocation)" ] && [ "$(tlshd_invocation)" != "$1" ]; }

modprobe nvme-keyring
defer target_down
defer "rm -f $config; systemctl restart nvme-keyd.service"
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove $id"

# --- at boot tlshd starts after the keyring is there; another scenario may have replaced it since

preloads() { journalctl --boot --output=short-monotonic --quiet -u nvme-keyd-preload.service --grep='^Finished '; }
tlshds() { journalctl --boot --output=short-monotonic --quiet -u tlshd.service --grep='^Started '; }
# first_usec LINES: the time of the first of them
first_usec() { sed -n '1s/^\[ *\([0-9]*\)\.\([0-9]*\)\].*/\1\2/p' <<<"$1"; }

check "boot: the keys are published, then tlshd is started" test "$(first_usec "$(preloads)")" -lt "$(first_usec "$(tlshds)")"
if [ "$(preloads | wc -l)" = 1 ]; then
    is "boot: tlshd has the keyring" "$(tlshd_status)" "tlshd.service ready"
else
    skip "boot: tlshd has the keyring" "nvme_keyring may be another one by now"
    systemctl restart tlshd
fi
check "it has the keyring" wait_until 20 tlshd_is "tlshd.service ready"

# --- another keyring

mark=$(journal_mark)
check "unload nvme_keyring, and load it" reload_keyring || bail "no keyring"
is "it has the new one" "$(tlshd_status)" "tlshd.service ready"
check "a target with TLS" target_up "$sub"
check "a connect succeeds without a restart" connect_tls "$sub"
is "there is no warning" "$(messages "$mark")" 0
is "the user keyring links no other" "$(keyctl rlist @u | wc -w)" 1

# --- another keyring, for a daemon that has its own session alone

defer "tlshd_without 80-vm-private"
check "KeyringMode=private" tlshd_with 80-vm-private KeyringMode=private
check "it has the keyring" wait_until 20 tlshd_is "tlshd.service ready"
mark=$(journal_mark)
check "unload nvme_keyring, and load it" reload_keyring || bail "no keyring"
check "it does not have the new one" wait_until 10 tlshd_is "tlshd.service stale"
check "the journal has a warning" wait_until 20 has_messages "$mark"
nvme-keyctl status >"$tmp/status"
check "status says what to do" grep -q 'systemctl restart tlshd.service' "$tmp/status"
nvme-keyctl sync >/dev/null
nvme-keyctl status >/dev/null
sleep 6
is "there is one warning" "$(messages "$mark")" 1
is "the warning names the unit" "$(journal_since "$mark" -u nvme-keyd.service MESSAGE_ID=$MESSAGE_TLSHD_STALE | grep -c '^tlshd.service ')" 1
is "the warning has an explanation in the catalog" "$(journalctl --after-cursor="$mark" -x MESSAGE_ID=$MESSAGE_TLSHD_STALE | grep -c RestartTlshd=)" 1
check "a target with TLS" target_up "$sub"
check_fails "a connect fails" connect_tls "$sub"
check "restart tlshd" systemctl restart tlshd
check "it has the keyring now" wait_until 20 tlshd_is "tlshd.service ready"
check "a connect succeeds" connect_tls "$sub"
data_check "$(bdev_of "$sub")" || not_ok "data"

check "stop tlshd" systemctl stop tlshd
is "it is not running" "$(tlshd_status)" "tlshd.service stopped"
check "start it" systemctl start tlshd
check "it has the keyring again" wait_until 20 tlshd_is "tlshd.service ready"

# --- restarted by itself

mkdir -p "$(dirname "$config")"
printf '[Manager]\nRestartTlshd=yes\n' >"$config"
check "RestartTlshd=yes" systemctl reload-or-restart nvme-keyd.service
before=$(tlshd_invocation)
mark=$(journal_mark)
check "unload nvme_keyring, and load it again" reload_keyring || bail "no keyring"
check "tlshd has been restarted" wait_until 20 tlshd_is_another "$before"
check "it has the keyring by itself" wait_until 20 tlshd_is "tlshd.service ready"
check "the journal has a warning again" wait_until 10 has_messages "$mark"
check "and says that tlshd is restarted" grep -q 'Restarting tlshd.service' <(journal_since "$mark" -u nvme-keyd.service)
check "a target with TLS again" target_up "$sub"
check "a connect succeeds by itself" connect_tls "$sub"
before=$(tlshd_invocation)
check "sync" nvme-keyctl sync
sleep 1
is "it is not restarted again" "$(tlshd_invocation)" "$before"
check "disconnect" disconnect "$sub"
