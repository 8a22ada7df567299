# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# The functions that all suites use.
set -uo pipefail
. tests/tap.sh

readonly BUILD=build

# The test of the suite that should run; empty for all.
only=${1-}

# part TEXT COMMAND...: check(), if it is the one that should run.
part() {
    [ -z "$only" ] || [ "$only" = "$1" ] || return 0
    if [ -z "${tmp-}" ]; then
        tmp=$(mktemp -d)
        defer 'rm -rf "$tmp"'
    fi
    check "$@"
}

# meson_tests BUILD SUITE [MESON TEST OPTION...]: the suite's tests, or the one that should run: NAME, or
# NAME/CASE for one TEST() of it.
meson_tests() {
    local test=${only%%/*} case=${only#"${only%%/*}"}
    relay tests/suites/run-meson "$@" ${case:+"--test-args=${case#/}"} ${test:+"$test"}
}

# is_scenario NAME: of the guests
is_scenario() {
    [ -n "$1" ] && [ -e "tests/vm/scenarios/$1.sh" ]
}

need_packages() {
    ./tests/suites/install-packages "$@" || bail "packages cannot be installed"
}

# need_build DIRECTORY MESON-OPTION...: sets up a build directory once, and builds all, or the target $target.
need_build() {
    local directory=$1 log
    shift
    need_packages build run test
    log=$(mktemp)
    if ! { [ -e "$directory/build.ninja" ] || meson setup "$directory" -Dwerror=true "$@"; } >"$log" 2>&1 ||
        ! ninja -C "$directory" ${target:+"$target"} >>"$log" 2>&1; then
        diag "$(grep -E 'error|warning|ERROR|FAILED' "$log" | head -n 40)"
        rm -f "$log"
        bail "$directory cannot be built"
    fi
    rm -f "$log"
}
