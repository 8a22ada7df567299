#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# Members of the group that send all they can: others are served before them, root always gets in, and the
# daemon does not grow. With the word "measure" after the build directory it prints times for people.
. "$(dirname "$0")/lib.sh"

readonly group=4242 keys=${KEYD_TEST_KEYS:-1000}
as=(setpriv --regid="$group" --clear-groups)
if [ -w /dev/shm ]; then
    state=$(mktemp -d /dev/shm/keyd-test.XXXXXX)
    defer "rm -rf '$state'"
fi

python3 - "$keys" >"$tmp/keys" <<'PY'
import base64, hashlib, sys, zlib

for i in range(int(sys.argv[1])):
    key = hashlib.sha256(b"flood%d" % i).digest()
    text = base64.b64encode(key + zlib.crc32(key).to_bytes(4, "little")).decode()
    print(f"nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555 nqn.2026-11.org.example:flood:{i:06d}:",
          f"NVMeTLSkey-1:01:{text}:")
PY
chmod 600 "$tmp/keys"
chmod 755 "$tmp"
daemon_start
chmod 666 "$varlink"
run ctl import "$tmp/keys"
is "$keys keys are imported" "$status" 0 || bail "$err"
# Memory that the import has left free would hide what connections cost.
daemon_restart
chmod 666 "$varlink"

# flood WHAT
flood() {
    relay timeout 600 python3 "$source/tests/integration/flood.py" "$varlink" "$request" "$daemon" "$group" "$1"
}

if [ "${2-}" = measure ]; then
    flood measure
    finish
fi
flood order
if grep -q __asan_init "$build/nvme-keyd"; then
    skip "memory" "a sanitizer keeps what was freed"
else
    flood memory
fi
flood listing
flood lockout
flood refused
notices=$(grep "uid 70000 to call" "$log")
like "a refused call leaves a line with user and method" "$notices" "Refused uid 70000 to call org.nvmekeyd.Manager.Add"
is "at most ten such lines in a minute" "$(grep -c . <<<"$notices")" 10
is "the log has nothing of what was sent" "$(grep -c secret "$log")" 0
is "the daemon is the same process to the end" "$(readlink "/proc/$daemon/exe")" "$build/nvme-keyd"
daemon_stop
like "a line counts the refusals that were not logged" "$(<"$log")" "Refused 22 more calls of uid 70000"
finish
