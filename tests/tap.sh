# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# The results of a shell test, as TAP without numbers. Guests get a copy, so it needs bash and
# coreutils only.
#
# A test sources this file, gives its results by the functions below, and calls finish last. If it
# ends in any other way, one more result is "not ok" and the exit status is not 0. check() needs a
# directory $tmp.

tap_results=0 tap_failed=0 tap_skipped=0
tap_over= # once nothing is missing
tap_deferred=()

# diag TEXT...: for people
diag() {
    local text
    printf -v text '%s\n' "$@"
    text=${text%$'\n'}
    printf '# %s\n' "${text//$'\n'/$'\n# '}"
}

ok() {
    tap_results=$((tap_results + 1))
    echo "ok - $*"
}

not_ok() {
    tap_results=$((tap_results + 1)) tap_failed=$((tap_failed + 1))
    echo "not ok - $*"
}

# skip TEXT REASON
skip() {
    tap_skipped=$((tap_skipped + 1))
    ok "$1 # SKIP $2"
}

# result STATUS TEXT: passes if STATUS is 0, and returns it.
result() {
    if [ "$1" -eq 0 ]; then ok "$2"; else not_ok "$2"; fi
    return "$1"
}

# check TEXT COMMAND...: the command should succeed. Its output is shown if it fails. A suite may
# define explain(), which then gets the command.
check() {
    local tap_text=$1 tap_status=0 # the command may set variables of any other name
    shift
    "$@" >"${tmp:?}/check.out" 2>&1 || tap_status=$?
    ! result "$tap_status" "$tap_text" || return 0
    diag "status $tap_status of: $*" "$(tail -n 60 "$tmp/check.out")"
    ! declare -F explain >/dev/null || explain "$@"
    return "$tap_status"
}

# check_fails TEXT COMMAND...: the command should fail.
check_fails() {
    local tap_text=$1
    shift
    if ! "$@" >"${tmp:?}/check.out" 2>&1; then
        ok "$tap_text"
        return
    fi
    not_ok "$tap_text"
    diag "success of: $*" "$(tail -n 60 "$tmp/check.out")"
    return 1
}

# is TEXT GOT EXPECTED
is() {
    local status=0
    [ "$2" = "$3" ] || status=1
    result "$status" "$1" || diag "got: $2" "expected: $3"
    return "$status"
}

# like TEXT GOT REGEX
like() {
    local status=0
    [[ $2 =~ $3 ]] || status=1
    result "$status" "$1" || diag "got: $2" "expected: $3"
    return "$status"
}

# relay_line LINE [PREFIX]: counts and prints a line of other TAP, with PREFIX before its text. A
# line that is no result is for people.
relay_line() {
    local prefix=${2-}
    if [[ $1 =~ ^(not )?ok\ (([0-9]+\ )?-\ )?(.*)$ ]]; then
        if [ -n "${BASH_REMATCH[1]}" ]; then
            not_ok "$prefix${BASH_REMATCH[4]}"
        else
            [[ $1 != *"# SKIP"* ]] || tap_skipped=$((tap_skipped + 1))
            ok "$prefix${BASH_REMATCH[4]}"
        fi
    elif [[ $1 =~ ^1\.\.0\ #\ SKIP\ (.*)$ ]]; then
        skip "${prefix:-all}" "${BASH_REMATCH[1]}"
    elif [[ $1 == \#* ]]; then
        printf '%s\n' "$1"
    elif ! [[ $1 =~ ^1\.\.[0-9]+$ ]]; then
        diag "$1"
    fi
}

# relay COMMAND...: makes the results of a command ours. One that gives none, or that ends badly
# without a failed one, has failed.
relay() {
    local line status=0 results=$tap_results failed=$tap_failed
    while IFS= read -r line || [ -n "$line" ]; do
        relay_line "$line"
    done < <("$@" 2>&1)
    wait "$!" || status=$?
    if [ "$tap_results" -eq "$results" ]; then
        not_ok "${1##*/} gave no result, and status $status"
    elif [ "$status" -ne 0 ] && [ "$tap_failed" -eq "$failed" ]; then
        not_ok "${1##*/} ended with status $status"
    fi
    [ "$tap_failed" -eq "$failed" ]
}

# defer COMMAND: runs it when the test ends, the last one first.
defer() { tap_deferred+=("$*"); }

tap_clean_up() {
    local i
    for ((i = ${#tap_deferred[@]} - 1; i >= 0; i--)); do
        eval "${tap_deferred[i]}" >/dev/null 2>&1 || :
    done
    tap_deferred=()
}

# tap_exit STATUS: ends the test by the EXIT trap. A suite with a trap of its own calls it last.
tap_exit() {
    local status=$1
    [ -n "$tap_over" ] || not_ok "the test ended too early, with status $status"
    tap_clean_up
    [ "$tap_failed" -eq 0 ] || [ "$status" -ne 0 ] || status=1
    exit "$status"
}
trap 'tap_exit $?' EXIT

# finish: ends the test with its plan.
finish() {
    tap_over=yes
    echo "1..$tap_results"
    exit "$((tap_failed > 0))"
}

# bail TEXT: ends the test because nothing after this point makes sense.
bail() {
    tap_over=yes
    not_ok "$*"
    exit 1
}

# skip_all REASON: ends the test before its first result.
skip_all() {
    tap_over=yes
    echo "1..0 # SKIP $1"
    exit 0
}

# hand_over STATUS: ends the test with no result of its own, as another process gives them.
hand_over() {
    tap_over=yes
    exit "$1"
}
