#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: test-no-namespaces.sh PROGRAM
# A unit test without user namespaces, as in the chroot of a package builder, ends as skipped.
. "$(dirname "$0")/../tap.sh"
out=$(timeout --kill-after=5 60 unshare --user --map-root-user \
    sh -c 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$1"' sh "$1" 2>&1)
status=$?
if ! unshare --user --map-root-user true 2>/dev/null; then
    skip "unit tests without user namespaces" "there are none here"
else
    [ "$status" -eq 0 ] && grep -q '# SKIP needs a user namespace' <<<"$out"
    result $? "unit tests without user namespaces" || diag "status $status" "$out"
fi
finish
