# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# The functions of the tests of a fleet. A test is called with the build directory and prints TAP.
set -uo pipefail
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1

build=$(realpath "${1:?usage: $0 BUILD}")
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
readonly build here
. "$here/../tap.sh"

[ -x "$build/src/nvme-keyd-fetch/nvme-keyd-fetch" ] || skip_all "built without nvme-keyd-fetch"
tmp=$(mktemp -d /tmp/fleet-test.XXXXXX)
readonly tmp
defer 'rm -rf "$tmp"'
readonly log=$tmp/log inbox=$tmp/inbox credentials=$tmp/credentials
mkdir "$credentials"

# wait_for SECONDS COMMAND...
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -le "$end" ] || return 1
        sleep 0.1
    done
}

fetch= # its process

# fetch_start LINE...: with a configuration of these lines besides the inbox.
fetch_start() {
    {
        printf '[Inbox]\nDirectory=%s\n' "$inbox"
        printf '%s\n' "$@"
    } >"$tmp/fetch.conf"
    CREDENTIALS_DIRECTORY=$credentials NVME_KEYD_LOG_LEVEL=debug \
        "$build/src/nvme-keyd-fetch/nvme-keyd-fetch" -c "$tmp/fetch.conf" </dev/null >>"$log" 2>&1 &
    fetch=$!
}

fetch_stop() {
    [ -n "$fetch" ] || return 0
    kill "$fetch"
    wait "$fetch"
    fetch_status=$?
    fetch=
}
defer 'fetch_stop'

# has_come NAME TEXT: the newest file of the envelope in the inbox.
has_come() {
    local file
    file=$(find "$inbox" -name "$1.[0-9]*" ! -name '*.reason' ! -name '*.tmp' 2>/dev/null | sort -V | tail -n 1)
    [ -n "$file" ] && [ "$(cat "$file" 2>/dev/null)" = "$2" ]
}

# comes TEXT NAME CONTENT [SECONDS]
comes() {
    wait_for "${4:-30}" has_come "$2" "$3"
    result $? "$1" || diag "in the inbox: $(find "$inbox" -type f -printf "%f ")" "$(tail -n 15 "$log")"
}

# logs TEXT REGEX [SECONDS]: since the last call of log_mark.
log_from=0
log_mark() { log_from=$(wc -l <"$log"); }
has_logged() { tail -n +"$((log_from + 1))" "$log" | grep -qE "$1"; }
logs() {
    wait_for "${3:-30}" has_logged "$2"
    result $? "$1" || diag "expected: $2" "$(tail -n +"$((log_from + 1))" "$log" | tail -n 15)"
}

# The most memory that it ever had, in KiB.
peak() { sed -n 's/^VmHWM:\s*\([0-9]*\) kB/\1/p' "/proc/$fetch/status"; }
