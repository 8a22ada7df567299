#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: test-tap.sh - a shell test that ends too early has failed, however it ends: by its results, by
# its exit status, and in the output of run-meson and of a suite.

# The text in quotes is for another shell.
# shellcheck disable=SC2016
set -uo pipefail

top=$(realpath "$(dirname "$0")/../..")
cd "$top" || exit 1
# shellcheck source=SCRIPTDIR/../tap.sh
. tests/tap.sh
tmp=$(mktemp -d)
defer 'rm -rf "$tmp"'

# count: what count-tap reads of $out
count() {
    printf '%s\n' "$out" >"$tmp/out"
    python3 tests/suites/count-tap "$tmp/out"
}

# run_lines LINE...: runs a script of these lines, sets out and status.
run_lines() {
    printf '%s\n' 'set -uo pipefail' "$@" >"$tmp/lines.sh"
    mkdir -p "$tmp/its"
    out=$(env tmp="$tmp/its" bash "$tmp/lines.sh" 2>"$tmp/err")
    status=$?
}

# counts TEXT "PASSED FAILED SKIPPED" LINE...: a test of these lines has so many results, and a status
# that is right for them.
counts() {
    local text=$1 expected=$2 got
    shift 2
    run_lines '. tests/tap.sh' "$@"
    got="$(count), status $((status > 0))"
    is "$text" "$got" "$expected, status $(($(cut -d ' ' -f 2 <<<"$expected") > 0))" || diag "$out"
}

# --- a test

counts "all is well" "2 0 1" 'ok one' 'is two a a' 'skip three "no reason"' finish
is "its plan" "$(tail -n 1 <<<"$out")" "1..3"
counts "a failed check" "1 1 0" 'check one false' 'ok two' finish
counts "a check that should fail" "0 1 0" 'check_fails one true' finish
counts "a wrong text" "0 2 0" 'is one a b' 'like two a ^b' finish
counts "nothing of it runs" "0 0 0" 'skip_all "no reason"'
counts "finish is missing" "1 1 0" 'ok one'
counts "it exits in the middle" "1 1 0" 'ok one' 'exit 0' 'ok two' finish
like "the result of that" "$out" $'\nnot ok - the test ended too early, with status 0$'
counts "it exits with a status" "1 1 0" 'ok one' 'exit 3' 'ok two' finish
counts "a command fails under set -e" "1 1 0" 'set -e' 'ok one' 'false' 'ok two' finish
counts "a function fails under set -e" "1 1 0" 'set -e' 'f() { false; ok two; }' 'ok one' f finish
counts "a check fails under set -e" "0 2 0" 'set -e' 'check one false' 'ok two' finish
counts "a variable is missing" "1 1 0" 'ok one' 'echo "$missing"' 'ok two' finish
counts "a line cannot be parsed" "1 1 0" 'ok one' 'if; then' finish
counts "a signal" "1 1 0" 'ok one' 'kill -TERM $$' 'ok two' finish
counts "it gives up" "1 1 0" 'ok one' 'bail "no place"' 'ok two' finish
like "the result of that" "$out" $'\nnot ok - no place$'

counts "what it defers is done at the end" "1 1 0" 'defer "echo a >>$tmp/done"' 'defer "echo b >>$tmp/done"' 'ok one' false 'exit 3'
is "the last one first" "$(<"$tmp/its/done")" $'b\na'
counts "a check runs its command in the test" "2 0 0" 'f() { text=set status=set; }' 'check one f' 'is two "$text $status" "set set"' finish
counts "a check that passes" "1 0 0" 'check one echo words' finish
is "does not show its output" "$(grep -c words <<<"$out")" 0
counts "a check that fails" "0 1 0" 'f() { printf "some\nwords\n"; false; }' 'check one f' finish
is "does, as diagnostics" "$(grep -cE '^# (some|words)$' <<<"$out")" 2

# --- results of another program

counts "results of another program" "2 0 1" 'relay printf "%s\n" "ok 7 - one" "ok two" "ok three # SKIP so" word "# said" 1..3' finish
is "without numbers and plan" "$out" $'ok - one\nok - two\nok - three # SKIP so\n# word\n# said\n1..3'
counts "it has a failed one" "1 1 0" 'relay printf "not ok one\nok two"' finish
counts "it ends with a failed one" "0 1 0" 'relay bash -c "echo not ok one; exit 1"' finish
counts "it ends in the middle" "1 1 0" 'relay bash -c "echo ok one; exit 3; echo ok two"' finish
counts "it is killed" "1 1 0" 'relay bash -c "echo ok one; kill -KILL \$\$"' finish
counts "it gives none" "0 1 0" 'relay true' finish
counts "it cannot be run" "0 1 0" 'relay "$tmp/none"' finish
counts "it skips all" "0 0 1" 'relay echo "1..0 # SKIP no reason"' finish

# --- run-meson

mkdir -p "$tmp/bin" "$tmp/build/meson-logs"
printf '#!/bin/sh\n[ ! -e "%s" ] || cp "%s" "%s"\n' "$tmp/log" "$tmp/log" "$tmp/build/meson-logs/run-unit.json" >"$tmp/bin/meson"
chmod 755 "$tmp/bin/meson"

# meson_counts TEXT COUNTS RESULT RETURNCODE STDOUT: of a test with this record in meson's log
meson_counts() {
    python3 -c 'import json, sys
print(json.dumps({"name": "unit / name", "result": sys.argv[1], "returncode": int(sys.argv[2]), "stdout": sys.argv[3]}))' \
        "$3" "$4" "$5" >"$tmp/log"
    out=$(PATH=$tmp/bin:$PATH python3 tests/suites/run-meson "$tmp/build" unit 2>&1)
    status=$?
    is "run-meson: $1" "$(count), status $((status > 0))" "$2" || diag "$out"
}

meson_counts "a test" "1 0 0, status 0" OK 0 $'ok - one\n1..1'
is "run-meson: its name" "$out" "ok - name: one"
meson_counts "a plan at the beginning" "1 0 0, status 0" OK 0 $'1..1\nok 1 - one'
meson_counts "no plan" "1 1 0, status 1" OK 0 'ok - one'
meson_counts "no results" "0 1 0, status 1" OK 0 ''
meson_counts "a failed one" "0 1 0, status 1" FAIL 1 $'not ok - one\n1..1'
meson_counts "killed" "1 1 0, status 1" ERROR -9 'ok - one'
meson_counts "too late" "1 1 0, status 1" TIMEOUT -15 'ok - one'
meson_counts "skipped" "0 0 1, status 0" SKIP 0 '1..0 # SKIP no reason'

# --- a suite

# suite_counts TEXT COUNTS ARGUMENT LINE...
suite_counts() {
    run_lines "set -- $3" 'unset tmp' '. tests/suites/lib.sh' "${@:4}"
    is "a suite: $1" "$(count), status $((status > 0))" "$2" || diag "$out"
}

suite_counts "all is well" "1 0 0, status 0" '' 'part one true' finish
suite_counts "one part fails" "1 1 0, status 1" '' 'part one true' 'part two false' finish
suite_counts "one part should run" "1 0 0, status 0" one 'part one true' 'part two false' finish
suite_counts "it ends in the middle" "1 1 0, status 1" '' 'part one true' 'exit 0' 'part two true' finish
rm "$tmp/log"
suite_counts "meson does not know the test" "0 1 0, status 1" none "PATH=$tmp/bin:\$PATH" "meson_tests $tmp/build unit" finish
finish
