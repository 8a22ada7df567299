#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# More calls with PSKs than locked memory has room for wait for a TPM that does not answer: some are turned
# away and told so, and the store opens for the others.
. "$(dirname "$0")/lib.sh"

command -v swtpm >/dev/null || skip_all "needs swtpm"

tpm_start
tcti=(-E "NVME_KEYD_TCTI=swtpm:path=$TPM")
daemon_start "${tcti[@]}"
add one a >/dev/null 2>>"$log" || bail "add"
daemon_stop
kill -STOP "$tpm"
daemon_listen "${tcti[@]}"

is_waiting() {
    ctl status >"$tmp/status" 2>&1
    grep -q opening "$tmp/status"
}

wait_for 40 is_waiting || bail "status"
coproc calls { exec python3 "$source/tests/integration/parked.py" "$varlink" "$HOST" 220 2>>"$log"; }
read -r -t 120 early answer <&"${calls[0]}"
is "calls without room are answered at once" "$answer" TooManyCalls
[ "${early:-0}" -gt 20 ] && [ "$early" -lt 200 ]
result $? "others are not" || diag "$early of 220 were answered"
refused_with "nvme-keyctl says so" 8 "^nvme-keyctl: too many calls with PSKs wait for the store" "$(psk two)" \
    ctl add --hostnqn="$HOST" --subsysnqn="${SUBSYSTEM%a}two" --comment="$(printf 'c%.0s' {1..250})"
is "the journal has one line for all of them" "$(grep -c "Too many calls with PSKs" "$log")" 1
kill -CONT "$tpm"
echo >&"${calls[1]}"
read -r -t 120 got away <&"${calls[0]}"
is "each other call gets its key or is turned away" $((got + away)) 219
check "half of the locked memory is used" test "$got" -gt 100
read -r -t 120 again <&"${calls[0]}"
is "the first one tries again on its connection" "$again" key
like "the store is open" "$(ctl status)" "Sealed by: tpm2"
is "the keys are there" "$(ctl list --no-legend | wc -l)" $((2 + got))
finish
