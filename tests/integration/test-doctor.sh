#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# doctor on this machine, with and without a daemon. What it finds elsewhere depends on the machine.
. "$(dirname "$0")/lib.sh"

# doctor [OPTION...]: in JSON, into out
doctor() { run ctl doctor --json=short "$@"; }
# result CHECK: the worst result of a check
result_of() {
    json "max((l['result'] for l in o['lines'] if l['check'] == '$1'), key=['ok', 'warn', 'fail'].index)" <<<"$out"
}
# text_of CHECK: its texts
text_of() { json "' '.join(l['text'] for l in o['lines'] if l['check'] == '$1')" <<<"$out"; }

all_there_is() {
    ctl list
    sha256sum "$state"/*
}

# --- without a daemon

doctor
is "no daemon: exit status" "$status" 13
is "no daemon: nothing on standard error" "$err" ""
is "no daemon: service" "$(result_of service)" fail
like "no daemon: text" "$(text_of service)" "does not answer: No such file or directory"
is "no daemon: what was not checked" "$(result_of keys) $(result_of store) $(result_of one-key)" "warn warn warn"
is "no daemon: it did not start one" "$([ -e "$varlink" ] || echo none)" none

# --- with one

daemon_start
add one a --force >/dev/null
add two ab --force >/dev/null
before=$(all_there_is)
doctor
is "members of the result" "$(json "sorted(o)" <<<"$out")" "['failures', 'lines', 'ok', 'result', 'warnings']"
is "members of a line" "$(json "all(set(l) - {'remedy'} == {'check', 'group', 'result', 'text'} for l in o['lines'])" <<<"$out")" True
is "a remedy for each fault, and only there" \
    "$(json "all(('remedy' in l) == (l['result'] != 'ok') for l in o['lines'])" <<<"$out")" True
is "numbers" "$(json "[o['ok'], o['warnings'], o['failures']] == [sum(l['result'] == r for l in o['lines']) for r in ('ok', 'warn', 'fail')]" <<<"$out")" True
is "the exit status is the worst result" "$status $(json "o['result']" <<<"$out")" "13 fail"
is "service" "$(result_of service)" ok
like "keyring: a stand-in" "$(text_of keyring)" "nvme-keyd-stand-in, in which the kernel does not look"
like "keys" "$(text_of keys)" "2 active keys"
like "a shadowed key" "$(text_of shadowed)" "may take the key of nqn.2026-11.org.example:ab"
is "one key for each pair" "$(result_of one-key)" ok
is "recovery slot: none" "$(result_of recovery-slot)" warn
is "nothing was changed" "$(all_there_is)" "$before"

doctor --subsysnqn=nqn.2026-11.org.example:a
is "one subsystem" "$(text_of keys) $(result_of shadowed)" "1 active keys, none is missing in the keyring ok"
doctor --subsysnqn=nqn.2026-11.org.example:none
like "no such subsystem" "$(text_of keys)" "no active key for nqn.2026-11.org.example:none"

# --- a key that another program put beside ours

serial=$(keyctl padd user "NVMe1R01 $HOST $SUBSYSTEM xHAzkPd1F0wDt4yXIEcMLGYjqV2lZtV8Cc0hUhVUnXA=" "$(ring)" <<<"a PSK")
ctl sync >/dev/null
doctor
is "foreign" "$(result_of foreign)" fail
like "foreign: remedy" "$(json "[l['remedy'] for l in o['lines'] if l['check'] == 'foreign'][0]" <<<"$out")" "keyctl unlink $serial %:.nvme"
keyctl unlink "$serial" "$(ring)"

# --- a secret in the arguments of a process

secret=$(psk leak)
mkfifo "$tmp/wait"
# Opening the pipe takes until it is killed, and leaves no other process behind.
sh -c 'read -r _ <"$0"' "$tmp/wait" "$secret" &
leaker=$!
defer "kill $leaker"
wait_for 10 grep -qz NVMeTLSkey "/proc/$leaker/cmdline"
doctor
like "arguments: the process is named" "$(text_of secrets-in-arguments)" "process $leaker "
is "arguments: the PSK is not printed" "$(grep -c "${secret:16:12}" <<<"$out$err")" 0

# --- text

run ctl doctor --no-legend
is "text: exit status" "$status" 13
like "text: a line" "$out" $'\n'"ok    service +nvme-keyd [0-9.]+ answers"
like "text: remedy below its fault" "$out" $'\n'"warn  recovery-slot +no recovery key.*"$'\n'" +-> nvme-keyctl slot add recovery"
run ctl doctor
like "text: totals" "$out" "[0-9]+ ok, [0-9]+ warnings?, [0-9]+ failures?\.$"
run env SYSTEMD_COLORS=1 "$build/nvme-keyctl" --socket="$varlink" doctor
like "text: colours" "$out" $'\033\\[31mfail\033\\[0m'
run ctl doctor unexpected
is "no argument" "$status" 2

finish
