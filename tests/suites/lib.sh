# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What the suites share.
set -uo pipefail

readonly BUILD=build

# result TEXT COMMAND...: a TAP line by the command's success, its output behind it where it failed.
result() {
    local text=$1 output
    shift
    if output=$("$@" 2>&1); then
        echo "ok - $text"
    else
        echo "not ok - $text"
        sed 's/^/# /' <<<"$output" | tail -n 60
        failed=1
    fi
}

# need_build DIRECTORY MESON-OPTION...: sets up a build directory once, and builds.
need_build() {
    local directory=$1 log
    shift
    ./tests/suites/install-packages build run test || exit 1
    log=$(mktemp)
    if ! { [ -e "$directory/build.ninja" ] || meson setup "$directory" -Dwerror=true "$@"; } >"$log" 2>&1 ||
        ! ninja -C "$directory" >>"$log" 2>&1; then
        grep -E 'error|warning|ERROR|FAILED' "$log" | head -n 40
        echo "Bail out! $directory cannot be built"
        rm -f "$log"
        exit 1
    fi
    rm -f "$log"
}

failed=0
