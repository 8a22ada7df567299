#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The harness of the guests: a guest or a scenario that ends too early has failed, and the output shows
# all that is known of it, because CI keeps nothing but its log.
. "$(dirname "$0")/lib.sh"
vm_dir=$source/tests/vm
# shellcheck disable=SC2034 # for the names of results
image_release=trixie
. "$vm_dir/host/scenario.sh"
. "$vm_dir/host/tap.sh"

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

# --- the results of a boot

# boot_gives TEXT RESULTS STATUS LINE...: of a boot of 10-harness and 20-connect, QEMU ending with STATUS
boot_gives() {
    printf '%s\n' "${@:4}" >"$guest/tap.log"
    : >"$guest/console.log"
    is "a boot: $1" "$(tap_report shared stock "$guest" "$3" 10-harness 20-connect | grep -v '^#')" "$2"
}

all=("begin 10-harness" "ok - one" "# said" "end 10-harness" "begin 20-connect" "ok - two # SKIP so" "end 20-connect" "done")
boot_gives "all is well" $'ok - 10-harness: one\nok - 20-connect: two # SKIP so' 0 "${all[@]}"
boot_gives "a failed check" $'not ok - 10-harness: one\nok - 20-connect: two # SKIP so' 0 "${all[@]/#ok - one/not ok - one}"
boot_gives "the last word is missing" $'ok - 10-harness: one\nok - 20-connect: two # SKIP so
not ok - shared: the boot did not end well (the guest powered off too early)' 0 "${all[@]:0:7}"
boot_gives "a scenario does not end" $'ok - 10-harness: one\nok - 20-connect: two # SKIP so
not ok - 20-connect: did not finish (the guest was still running when its time was over)
not ok - shared: the boot did not end well (the guest was still running when its time was over)' 124 "${all[@]:0:6}"
boot_gives "no word at all" $'not ok - 10-harness: did not finish (QEMU ended with status 1)
not ok - 20-connect: did not finish (QEMU ended with status 1)
not ok - shared: the boot did not end well (QEMU ended with status 1)' 1

# --- the results of a scenario

unshare --mount mount -t tmpfs tmpfs /opt 2>/dev/null || { skip "scenarios" "nothing may be mounted here" && finish; }

# scenario_gives TEXT RESULTS LINE...: of a scenario of these lines, and of what comes after it
scenario_gives() {
    local text=$1 expected=$2
    shift 2
    printf '%s\n' '. /opt/vm/lib.sh' "$@" >"$tmp/scenario.sh"
    # shellcheck disable=SC2016 # expands inside
    out=$(unshare --mount bash -c 'mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /opt &&
        cp -r "$1/vm/guest" /opt/vm && cp "$1/tap.sh" /opt/vm/ || exit
        bash "$2"
        status=$?
        . /opt/vm/common.sh
        trap - EXIT
        report_status "$status" 5' bash "$source/tests" "$tmp/scenario.sh" 2>"$log")
    is "a scenario: $text" "$(grep -v '^#' <<<"$out")" "$expected"
}

scenario_gives "all is well" $'ok - one\nok - two # SKIP so' 'ok one' 'skip two so'
scenario_gives "a failed check" $'not ok - one\nok - two' 'check one false' 'ok two'
scenario_gives "a variable is missing" $'ok - one\nnot ok - script ended with status 3' 'ok one' 'echo "$missing"' 'ok two'
scenario_gives "it ends with a status" $'ok - one\nnot ok - script ended with status 5' 'ok one' 'exit 5' 'ok two'
scenario_gives "its last line fails" $'ok - one\nnot ok - script ended with status 3' 'ok one' false
scenario_gives "it takes too long" $'ok - one\nnot ok - still running after 5 s' 'ok one' 'kill -KILL $$'
scenario_gives "it gives up" $'ok - one\nnot ok - no place' 'ok one' 'bail "no place"' 'ok two'
scenario_gives "what it defers is done" $'not ok - one\nok - two' 'defer "echo ok - two >&3"' 'exec 3>&1' 'check one false'

finish
