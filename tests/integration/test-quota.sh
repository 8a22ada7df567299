#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# A key quota that is used up: each report about keys that are missing in the kernel says which
# limit to raise. Root of this machine has room for a million keys, so the daemon is root of a
# namespace here.
export KEYD_TEST_ID=54321
. "$(dirname "$0")/lib.sh"

# A key takes some 200 bytes of it.
readonly N=140
[ "$(</proc/sys/kernel/keys/maxbytes)" -le 20000 ] || skip_all "a user may have more bytes of keys"
mkdir -m 700 "$tmp/credentials"
one=$(psk one)
credential=$tmp/credentials/nvme-keyd.psk
for ((i = 0; i < N; i++)); do
    echo "$HOST nqn.2026-11.org.example:$i-x $one"
done >"$credential"
daemon_start -E "CREDENTIALS_DIRECTORY=$tmp/credentials" -E "NVME_KEYD_TCTI=swtpm:path=$tmp/none" \
    -E "NVME_KEYD_CREDS_SOCKET=$tmp/none"

readonly WORDS="the key quota of root is used up: raise the sysctls kernel\.keys\.root_maxkeys and kernel\.keys\.root_maxbytes"
like "the journal names the quota" "$(<"$log")" "Cannot publish [1-9][0-9]* of the keys: $WORDS"
run ctl sync
like "sync names the quota" "$status $err" "^10 nvme-keyctl: $WORDS"
run ctl status
like "status names the quota" "$out" "$WORDS"
like "status names the quota, JSON" "$(ctl status --json=short | json 'o["keyring"]["problems"][0]')" "^$WORDS"
check "the log has no bare error of the kernel" test -z "$(grep -E 'Disk quota exceeded' "$log")"

head -n 50 "$credential" >"$credential.new" && mv "$credential.new" "$credential"
daemon_restart -E "CREDENTIALS_DIRECTORY=$tmp/credentials"
run ctl status
check "status does not mention the quota when all is published" test -z "$(grep quota <<<"$out")"

finish
