#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# nvme-keyctl monitor: events in their order, for people and for programs, and no effect on others.
. "$(dirname "$0")/lib.sh"

printf '[Keyring]\nStandIn=yes\n' >"$conf"
daemon_start

# watch OUTPUT [OPTION...]: begins to watch, and waits until the service has replied.
watch() {
    ctl monitor "${@:2}" >"$tmp/$1" 2>"$tmp/$1.err" &
    watcher=$!
    wait_for 60 grep -q "^nvme-keyctl: watching" "$tmp/$1.err" || bail "nvme-keyctl monitor"
}

# saw OUTPUT PATTERN
saw() {
    wait_for 60 grep -qE "$2" "$tmp/$1"
}

watch text
first=$watcher
id=$(add one a)
check "a key is published" saw text "^[0-9-]+ [0-9:]+ published $id [0-9a-f]{8} nqn.2026-11.org.example:a host "
watch json --json=short
second=$watcher
check "remove" ctl remove "$id"
check "a key is removed" saw text "removed +$id "
check "a key is withdrawn" saw text "withdrawn $id "
check "JSON: the same events" saw json '"kind":"withdrawn"'
is "JSON: those since its start, in order" \
    "$(sed '1s/^/[/; $!s/$/,/; $s/$/]/' "$tmp/json" | json '[e["kind"] for e in o]')" "['removed', 'withdrawn']"
check "no event says anything of the PSK" bash -c "! grep -q NVMeTLSkey '$tmp/text' '$tmp/json'"

# --- the life of a key, and what others do to it

old=$(add one t --role=target)
new=$(ctl rotate "$old" --generate)
check "rotate: the new key has switched" saw text "switched +$new "
check "rotate: the old key is retired" saw text "retired +$old "
check "revoke" ctl revoke "$old"
check "a key is revoked" saw text "revoked +$old "
keyctl clear "$(ring)"
check "a key is put back" saw text "put_back +$new "
# The kernel of a host may use either; a target looks for the one that is offered.
add three h >/dev/null
keyctl padd user "NVMe1R01 $HOST nqn.2026-11.org.example:h xHAzkPd1F0wDt4yXIEcMLGYjqV2lZtV8Cc0hUhVUnXA=" "$(ring)" \
    <<<"of another program" >/dev/null
check "a foreign key is seen" saw text "foreign +.*example:h"
ctl probe "$new" --address=192.0.2.1 >/dev/null 2>&1
check "a target has been probed" saw text "probed +$new .*192\.0\.2\.1"

kill "$first"
wait "$first"
other=$(add two b)
check "one watcher goes, the other stays" saw json "\"id\":\"$other\""
daemon_stop
wait "$second"
is "the end of the service ends it" "$?" 7
check "and it says so" grep -q "did not answer" "$tmp/json.err"

finish
