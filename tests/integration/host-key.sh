# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash source-path=SCRIPTDIR
#
# Tests source this file in the place of lib.sh to have a host key of systemd-creds of their own. They
# run in a mount namespace below the user namespace that lib.sh makes. The key is in $host_key.
if [ -n "${KEYD_TEST_INSIDE-}" ] && [ -z "${KEYD_TEST_MOUNTS-}" ] && unshare --mount true 2>/dev/null; then
    KEYD_TEST_MOUNTS=1 exec unshare --mount bash "$0" "$@"
fi
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[ -n "${KEYD_TEST_MOUNTS-}" ] || skip_all "needs mount namespaces"

# Not below /tmp: systemd-creds makes no host key in memory.
host_key=$(mktemp -d /var/tmp/keyd-test.XXXXXX)
defer 'rm -rf "$host_key"'
mount --bind "$host_key" /var/lib/systemd 2>/dev/null || skip_all "cannot have a host key of its own"
