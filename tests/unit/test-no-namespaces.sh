#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: test-no-namespaces.sh PROGRAM
# A unit test without user namespaces, as in the chroot of a package builder, ends as skipped.
echo 1..1
out=$(timeout --kill-after=5 60 unshare --user --map-root-user \
    sh -c 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$1"' sh "$1" 2>&1)
status=$?
if [ "$status" -eq 0 ] && grep -q '# SKIP needs a user namespace' <<<"$out"; then
    echo "ok 1 - unit tests without user namespaces"
elif ! unshare --user --map-root-user true 2>/dev/null; then
    echo "ok 1 - unit tests without user namespaces # SKIP there are none here"
else
    echo "not ok 1 - unit tests without user namespaces"
    printf '%s\n' "status $status" "$out" | sed 's/^/# /'
    exit 1
fi
