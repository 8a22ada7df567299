# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Turns what the guests wrote into results (tests/tap.sh).

# Why the guest stopped early, as seen from the outside.
tap_cause() {
    local dir=$1 status=$2

    if grep -qs 'Kernel panic' "$dir/console.log"; then
        echo "kernel panic"
    elif [ "$status" = 124 ] || [ "$status" = 137 ]; then
        echo "the guest was still running when its time was over"
    elif [ "$status" != 0 ]; then
        echo "QEMU ended with status $status"
    else
        echo "the guest powered off too early"
    fi
}

# The guest's stream: "begin NAME", result lines and diagnostics of that scenario, "end NAME"; last "done".
tap_report() {
    local name=$1 kernel=$2 dir=$3 status=$4 line label=$1 finished=' ' complete=0 before=$tap_failed s
    shift 4

    while IFS= read -r line; do
        case $line in
        "begin "*) label=$(scenario_label "${line#begin }" "$kernel") ;;
        "end "*) finished+="${line#end } " label=$name ;;
        "done") complete=1 ;;
        *) relay_line "$line" "$label: " ;;
        esac
    done < <(tr -d '\r' 2>/dev/null <"$dir/tap.log")

    for s in "$@"; do
        [[ $finished == *" $s "* ]] ||
            not_ok "$(scenario_label "$s" "$kernel"): did not finish ($(tap_cause "$dir" "$status"))"
    done
    [ "$complete" = 1 ] ||
        not_ok "$name: the boot did not end well ($(tap_cause "$dir" "$status"))"

    if [ "$tap_failed" != "$before" ]; then
        tap_tail "$dir"
    fi
}

# The end of the logs of a failed guest, after the end of each start that the kernel did not survive: a CI keeps
# nothing else of it.
tap_tail() {
    local f

    tap_crashes "$1" | tap_quote
    for f in qemu console journal; do
        printf '# last lines of %s:\n' "$1/$f.log"
        tail -n "$([ "$f" = console ] && echo 60 || echo 20)" "$1/$f.log" | tap_quote
    done
}

tap_quote() { tr -d '\r' | cut -c1-200 | sed 's/^/#   /'; }

# tap_crashes DIR: of each start of the kernel that ended in a panic, or before its scenario said so, the last 60 lines.
tap_crashes() {
    local by_itself=0

    ! grep -qs 'the guest restarted by itself' "$1/tap.log" || by_itself=1
    awk -v by_itself="$by_itself" '
        function show(    i) {
            if (bad || (by_itself && n && !ended)) {
                print "console of start " start ", its last lines:"
                for (i = n > 60 ? n - 60 : 0; i < n; i++) print line[i]
            }
        }
        / Linux version / { show(); start++; n = bad = ended = 0 }
        { line[n++] = $0 }
        /Kernel panic|BUG:|Oops|general protection fault/ { bad = 1 }
        /reboot: (Restarting system|Power down|System halted)/ { ended = 1 }
        END { if (bad) show() }' "$1/console.log"
}

# End of a run: a summary, and the logs of a bad one.
tap_end() {
    note "vm: $((tap_results - tap_failed - tap_skipped)) passed, $tap_failed failed, $tap_skipped skipped"
    if [ "$tap_failed" != 0 ]; then
        note "logs: $out_dir"
    elif [ "$arg_keep" = 0 ] && [ -z "${tap_keeps_logs:-}" ]; then
        rm -rf "$out_dir"
    fi
    finish
}
