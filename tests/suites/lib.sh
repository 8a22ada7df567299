# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What the suites share.
set -uo pipefail

readonly BUILD=build

# The one test of the suite that should run, if not all.
only=${1-}

# result TEXT COMMAND...: a TAP line by the command's success, its output after it where it failed.
result() {
    local text=$1 output
    shift
    [ -z "$only" ] || [ "$only" = "$text" ] || return 0
    if output=$("$@" 2>&1); then
        echo "ok - $text"
    else
        echo "not ok - $text"
        sed 's/^/# /' <<<"$output" | tail -n 60
        failed=1
    fi
}

# meson_tests BUILD SUITE [MESON TEST OPTION...]: the suite's tests, or the one that should run: NAME, or
# NAME/CASE for one TEST() of it.
meson_tests() {
    local test=${only%%/*} case=${only#"${only%%/*}"}
    tests/suites/run-meson "$@" ${case:+"--test-args=${case#/}"} ${test:+"$test"} || failed=1
}

# is_scenario NAME: of the guests
is_scenario() {
    [ -n "$1" ] && [ -e "tests/vm/scenarios/$1.sh" ]
}

# need_build DIRECTORY MESON-OPTION...: sets up a build directory once, and builds all, or the target $target.
need_build() {
    local directory=$1 log
    shift
    ./tests/suites/install-packages build run test || exit 1
    log=$(mktemp)
    if ! { [ -e "$directory/build.ninja" ] || meson setup "$directory" -Dwerror=true "$@"; } >"$log" 2>&1 ||
        ! ninja -C "$directory" ${target:+"$target"} >>"$log" 2>&1; then
        grep -E 'error|warning|ERROR|FAILED' "$log" | head -n 40
        echo "Bail out! $directory cannot be built"
        rm -f "$log"
        exit 1
    fi
    rm -f "$log"
}

failed=0
