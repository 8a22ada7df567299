#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# nvme-keyctl metrics: the text format of Prometheus, with the values that status and list have.
. "$(dirname "$0")/lib.sh"

cat >"$tmp/lint.py" <<'PY'
"""Checks the metrics on standard input by the rules of the format, and the conventions for names."""
import re
import sys

kinds, helps, seen, last = {}, set(), set(), None
for line in sys.stdin.read().splitlines():
    if found := re.fullmatch(r"# HELP (\w+) \S.*\.", line):
        assert found[1] not in helps, f"two HELP of {found[1]}"
        helps.add(last := found[1])
    elif found := re.fullmatch(r"# TYPE (\w+) (gauge|counter)", line):
        assert found[1] == last and found[1] not in kinds, f"TYPE without its HELP: {line}"
        assert found[1].endswith("_total") == (found[2] == "counter"), f"only counters end in _total: {line}"
        kinds[found[1]] = found[2]
    else:
        found = re.fullmatch(r'(nvme_keyd_[a-z_]+)(\{[a-z]+="[a-z]+"\})? (\d+)', line)
        assert found and found[1] == last and last in kinds, f"a sample out of its place: {line}"
        assert line.split(" ")[0] not in seen, f"twice: {line}"
        seen.add(line.split(" ")[0])
assert seen, "no sample"
PY
# metrics TEXT: prints them into $tmp/metrics and checks the form.
metrics() {
    run ctl metrics
    printf '%s\n' "$out" >"$tmp/metrics"
    is "$1: succeeds" "$status$err" 0
    check "$1: keeps to the format" "$python" "$tmp/lint.py" <"$tmp/metrics"
    if command -v promtool >/dev/null; then
        is "$1: promtool has no complaint" "$(promtool check metrics <"$tmp/metrics" 2>&1)" ""
    else
        skip "$1: promtool has no complaint" "promtool is not installed"
    fi
}
# sample NAME: its value; NAME has its labels.
sample() { awk -v name="$1" '$1 == name { print $2 }' "$tmp/metrics"; }

daemon_start
metrics "no store"
is "no store: absent" "$(sample 'nvme_keyd_store_state{state="absent"}') $(sample 'nvme_keyd_store_state{state="open"}')" "1 0"
is "no store: no oldest key" "$(sample nvme_keyd_oldest_active_key_created_timestamp_seconds)" ""

add one a >/dev/null 2>&1
add two b >/dev/null 2>&1
id=$(ctl list --json=short | json 'o["keys"][1]["id"]')
ctl retire --force "$id" >/dev/null 2>&1
metrics "two keys"
is "two keys: up" "$(sample nvme_keyd_up)" 1
is "two keys: by state" "$(sample 'nvme_keyd_keys{state="active"}') $(sample 'nvme_keyd_keys{state="retiring"}') $(sample 'nvme_keyd_keys{state="revoked"}')" "1 1 0"
is "two keys: the store is open" "$(sample 'nvme_keyd_store_state{state="open"}')" 1
is "two keys: the identities" "$(sample nvme_keyd_identities) $(sample nvme_keyd_identities_published)" "1 1"
is "two keys: the oldest active one" "$(sample nvme_keyd_oldest_active_key_created_timestamp_seconds)" \
    "$(ctl list --json=short | json 'min(k["created"] for k in o["keys"] if k["state"] == "active") // 1000000')"

# Without the guard the key stays out, and the numbers differ.
keyctl clear "$(ring)"
metrics "a key is taken out"
is "a key is taken out: identities, published, missing" \
    "$(sample nvme_keyd_identities) $(sample nvme_keyd_identities_published) $(sample nvme_keyd_keys_missing)" "1 0 1"
ctl sync >/dev/null 2>&1

printf '[Keyring]\nStandIn=yes\nGuard=yes\n' >"$conf"
daemon_stop
daemon_start
keyctl clear "$(keyctl search @u keyring nvme-keyd-stand-in)"
put_back() { ctl metrics | awk '$1 == "nvme_keyd_keys_put_back_total" { print $2 }'; }
becomes "a key that was put back is counted" 1 put_back
daemon_stop

run "$build/nvme-keyctl" --socket="$tmp/nowhere" metrics
is "no service: a sample says so, and the status is 0" "$status $(tail -n 1 <<<"$out")" "0 nvme_keyd_up 0"
run "$build/nvme-keyctl" --socket="$tmp/nowhere" metrics --json=short
is "no service: no JSON" "$status$out" 7
finish
