#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# A TPM that never answers: the daemon keeps serving, reports the wait, ends on request, and opens
# the store by the next slot when the time of the first is over.
. "$(dirname "$0")/lib.sh"

command -v swtpm >/dev/null || skip_all "needs swtpm"

tpm_start
tcti=(-E "NVME_KEYD_TCTI=swtpm:path=$TPM")

daemon_start "${tcti[@]}"
add one a >/dev/null 2>"$tmp/hint" || bail "add"
like "the first key advises a recovery key" "$(<"$tmp/hint")" \
    "sealed by tpm2 and systemd-creds: add a recovery key with nvme-keyctl slot add recovery"
like "the store is made with both" "$(ctl slot list --no-legend)" "tpm2.*systemd-creds"
recovery=$(ctl slot add recovery | tail -n 1)
daemon_restart "${tcti[@]}"
like "the TPM opens it" "$(ctl status)" "tpm2"
daemon_stop
kill -STOP "$tpm"

# info: a call that needs no store.
info() {
    (cd "$source/tests/integration" && python3 -c '
import sys, varlink
reply = varlink.Connection(sys.argv[1]).ask("org.varlink.service.GetInfo")
sys.exit("nvme-keyd" not in str(reply))' "$varlink")
}

is_waiting() {
    ctl status >"$tmp/status" 2>&1
    grep -q opening "$tmp/status"
}

opened_by_tpm() {
    ctl status | grep -q "Sealed by: tpm2"
}

daemon_listen "${tcti[@]}"
wait_for 40 is_waiting
result $? "status does not wait for it" || diag "$(cat "$tmp/status")" "$(tail -n 5 "$log")"
check "others are served" info
ctl list --no-legend >"$tmp/list" 2>&1 &
waiting=$!

# memory TEXT: in which kinds of memory of the daemon it is.
memory() {
    echo "x $(printf %s "$1" | od -An -v -tx1 | tr -d ' \n')" |
        python3 "$source/tests/integration/memory.py" "$daemon" 2>/dev/null | cut -d ' ' -f 2 | sort -u
}
psk=$(psk parked)
# nvme-keyctl asks whether a key may be added before it sends the PSK.
python3 -c '
import sys
sys.path.insert(0, sys.argv[1])
import varlink
reply = varlink.Connection(sys.argv[2], 300).ask("org.nvmekeyd.Manager.Add", {
    "hostNQN": sys.argv[3], "subsystemNQN": sys.argv[4], "psk": sys.stdin.read().strip()})
sys.exit(not reply or "error" in reply)' "$source/tests/integration" "$varlink" "$HOST" "$SUBSYSTEM:b" <<<"$psk" 2>/dev/null &
adding=$!
if grep -q __asan_init "$build/nvme-keyd"; then
    sleep 1
    skip "a PSK that has to wait is in locked memory only" "a sanitizer keeps what was freed"
else
    wait_for 20 eval '[ -n "$(memory "${psk:16:40}")" ]'
    sleep 1
    becomes "a PSK that has to wait is in locked memory only" locked memory "${psk:16:40}"
fi
begin=$SECONDS
daemon_pid=$daemon
daemon_stop
check "it ends on SIGTERM" test $((SECONDS - begin)) -lt 40
is "it ends with status 0" "$daemon_status" 0
wait "$waiting"
result $((!$?)) "the waiting call fails"
wait "$adding"
result $((!$?)) "the waiting add fails, too"
wait_for 60 sh -c "! pgrep -P $daemon_pid >/dev/null"
result $? "no process is left"

# A recovery key opens the store without a wait for the TPM.
daemon_listen "${tcti[@]}"
wait_for 40 is_waiting
begin=$SECONDS
run ctl slot unlock <<<"$recovery"
is "unlock does not wait for the TPM" "$status" 0
check "unlock takes less than 40 s" test $((SECONDS - begin)) -lt 40
like "unlock: the store is open" "$(ctl status)" "Sealed by: recovery"
daemon_stop

# The whole time of the first slot, and then the second.
daemon_listen "${tcti[@]}"
keyctl clear "$(ring)" 2>/dev/null
out=$(timeout 300 "$build/nvme-keyctl" --socket="$varlink" list --no-legend 2>&1)
like "the next slot opens it in the end" "$out" "example:a"
is "the next slot: the keys are published" "$(ring_names | wc -l)" 1
like "the next slot: status names it" "$(ctl status)" "systemd-creds"

# A slot that was sealed for a caller that is gone must not go to another caller.
kill -CONT "$tpm"
daemon_restart "${tcti[@]}"
wait_for 60 opened_by_tpm
before=$(ctl slot list --no-legend | wc -l)
kill -STOP "$tpm"
timeout 2 "$build/nvme-keyctl" --socket="$varlink" slot add tpm2 >/dev/null 2>&1
is "slot add waits for the TPM" "$?" 124
kill -CONT "$tpm"
run ctl slot add tpm2
is "another caller gets a slot" "$status" 0
is "the caller that is gone has none" "$(ctl slot list --no-legend | wc -l)" $((before + 1))
finish
