# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: upcall
# needs: nvme-keyd
# suite: upcall
# shows: 200 requests at once get right answers, and so do 50 that start nvme-keyd
# timeout: 400

. /opt/vm/lib.sh

modprobe nvme-keyring
for i in 1 2 3 4 5 6 7 8; do
    nvme-keyctl add --subsysnqn="nqn.2026-11.org.example:many-$i" <<<"$(new_psk)" >/dev/null || bail "nvme-keyctl add"
done
# the requests of request-many (tests/bench) and the right answers
ring_list | sed -E 's/^[0-9]+ /many psk /' >"$tmp/list"
is "the keys are published" "$(wc -l <"$tmp/list")" 8

# requests_at_once N: as many processes
requests_at_once() {
    forget_keys
    timeout 120 /opt/vm/bench/request-many --processes="$1" --requests="$1" "$tmp/list" >"$tmp/figures" 2>&1
    grep -q "^many n=$1 ok=$1 wrong=0 failed=0 lost=0 " "$tmp/figures"
}

cold_requests_at_once() {
    systemctl stop nvme-keyd.service 2>/dev/null
    requests_at_once "$1"
}
# tries COMMAND...: a request has 8 seconds, which may be short where all of them wait for one slow processor
tries() {
    local try

    for try in 1 2 3; do
        if "$@"; then
            sed "s/^/# try $try: /" "$tmp/figures" >&2
            return
        fi
        sed "s/^/# try $try: /" "$tmp/figures" >&2
    done
    return 1
}

check "200 at once" tries requests_at_once 200
sed 's/^/# /' "$tmp/figures"
# An emulated guest cannot start it within the 8 seconds of 200 requests.
check "50 at once, nvme-keyd is not running" tries cold_requests_at_once 50
sed 's/^/# /' "$tmp/figures"
