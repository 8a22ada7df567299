#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# What the harness of the guests prints of a guest that failed: logs of CI are all that is left of it.
. "$(dirname "$0")/lib.sh"
. "$source/tests/vm/host/tap.sh"

guest=$tmp/guest
mkdir "$guest"
touch "$guest"/{qemu,journal}.log

# start NAME LAST-LINE: 100 lines of a start of the kernel, and how it ended
start() {
    echo "[    0.000000] Linux version 6.12"
    seq -f "$1 %g" 100
    echo "$2"
}

{
    start orderly "reboot: Restarting system"
    start panicked $'Kernel panic - not syncing: Fatal exception\r'
    start last "login:"
} >"$guest/console.log"
echo "not ok - the guest restarted by itself" >"$guest/tap.log"
run tap_tail "$guest"
is "a panic: the start that ended in it, with its last 60 lines" "$(grep -c '^#   panicked' <<<"$out")" 59
like "a panic: and what the kernel said" "$out" $'\n#   Kernel panic - not syncing: Fatal exception\n'
is "a panic: not the start that ended in order" "$(grep -c '^#   orderly' <<<"$out")" 0
is "a panic: the end of the last start" "$(grep -c '^#   last' <<<"$out")" 59
is "a panic: all of it is a diagnostic" "$(grep -vc '^#' <<<"$out")" 0

{
    start silent "the last words"
    start last "login:"
} >"$guest/console.log"
run tap_tail "$guest"
like "a restart without a word: the end of the start before it" "$out" $'\n#   the last words\n'

rm "$guest/tap.log"
run tap_tail "$guest"
is "no restart: the end of the last start alone" "$(grep -c 'silent\|words' <<<"$out") $(grep -c '^#   last' <<<"$out")" "0 59"

finish
