# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What the tests of initramfs images share: TAP, by a script that goes on in namespaces of its own. Who sources it
# sets tmp, a directory, before the first check().
# shellcheck disable=SC2034,SC2154

n=0 failed=0

report() {
    n=$((n + 1))
    echo "$1 $n - $2"
    [ "${1#not}" = "$1" ] || failed=$((failed + 1))
}

# check TEXT COMMAND...
check() {
    local text=$1
    shift
    if "$@" >"$tmp/check.out" 2>&1; then
        report ok "$text"
        return 0
    fi
    report "not ok" "$text"
    sed 's/^/#   /' "$tmp/check.out"
    return 1
}

# bail LOG: nothing after this point makes sense.
bail() {
    sed 's/^/#   /' "$1"
    finish
}

finish() {
    echo "1..$n"
    [ "$failed" = 0 ]
    exit
}

skip_rest() {
    report ok "images # SKIP $1"
    finish
}
