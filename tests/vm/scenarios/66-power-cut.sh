# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: lean
# tpm: yes
# needs: nvme-keyd
# suite: store
# shows: no power cut loses a change that was committed (the number of cuts is a parameter)
# timeout: 120

. /opt/vm/lib.sh

store=/var/lib/nvme-keyd
wanted=${VM_POWER_CUTS:-3}
cuts=0
[ ! -e "$HOST/cuts" ] || cuts=$(wc -l <"$HOST/cuts")

# True if the cut left an incomplete change.
left() {
    if [ -e "$store/store.new" ]; then
        echo unfinished
    else
        echo nothing
    fi
}

daemon_start() {
    mkdir -p "$store" && chmod 700 "$store"
    mkdir -p /run/nvme-keyd
    systemd-creds setup
    modprobe nvme-keyring
    setpriv --regid=nvme-keyd --clear-groups systemd-socket-activate --fdname=varlink \
        --listen=/run/nvme-keyd/org.nvmekeyd.Manager /usr/lib/nvme-keyd/nvme-keyd >/dev/ttyS2 2>&1 &
    defer "kill $!"
    wait_until 20 test -S /run/nvme-keyd/org.nvmekeyd.Manager
}

echo "$(left)" >>"$HOST/left"
# Every fourth cut comes early enough to hit the opening of the store as well.
[ $((cuts % 4)) != 3 ] || [ "$cuts" -ge "$wanted" ] || host_request power-cut 6000

check "the daemon listens" daemon_start >"$tmp/start" || {
    cat "$tmp/start"
    bail "no daemon"
}
if ! python3 /opt/vm/churn.py check "$HOST/journal" >"$tmp/churn" 2>&1; then
    not_ok "after power cut $cuts all is as it was committed"
    sed 's/^/# /' "$tmp/churn"
    exit 1
fi
diag "power cut $cuts left $(tail -n 1 "$HOST/left"): $(paste -sd ';' "$tmp/churn"), up $(cut -d. -f1 /proc/uptime) s"
slot=$(store_slot) && [ ! -e "$HOST/slot" ] && echo "$slot" >"$HOST/slot"
is "the store is opened by the slot that made it" "$slot" "$(cat "$HOST/slot" 2>/dev/null)" >"$tmp/slot" || {
    cat "$tmp/slot"
    exit 1
}
is "no incomplete change is left" "$(left)" nothing >"$tmp/left" || {
    cat "$tmp/left"
    exit 1
}

if [ "$cuts" -ge "$wanted" ]; then
    ok "all was as it was committed, after each of $cuts power cuts"
    diag "changes: $(grep -c '"done"' "$HOST/journal")"
    diag "cuts before the commit point of a change: $(grep -c unfinished "$HOST/left")"
    exit 0
fi
# The second half has a counter in the TPM, which each change increments after its commit.
if [ "$cuts" -ge $((wanted / 2)) ] && [ -n "$slot" ] &&
    ! nvme-keyctl slot list --json=short | jq -e .rollbackCounter >/dev/null; then
    check "a rollback counter" nvme-keyctl slot reseal "$(header_slot tpm2 | jq -r .id)" --rollback-counter || exit 1
fi

changes() { wc -l <"$HOST/journal"; }
more_changes() { [ "$(changes)" -gt "$before" ]; }
before=$(changes)
python3 /opt/vm/churn.py run "$HOST/journal" >"$tmp/churn" 2>&1 &
churn=$!
wait_until 30 more_changes
[ -e "$HOST/power-cut" ] || host_request power-cut 3000
wait "$churn"
not_ok "keys can be changed until the power is cut"
sed 's/^/# /' "$tmp/churn"
