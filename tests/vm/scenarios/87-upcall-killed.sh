# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: upcall
# livepatch: yes
# needs: nvme-keyd
# suite: upcall
# shows: nvme-keyd is killed during an upcall: the connect ends in time, and the next one works
# timeout: 300

. /opt/vm/lib.sh

rounds=6
sub=nqn.2026-11.org.example:killed

# The refusal that the kernel remembers for a second if nvme-keyd does not answer.
forget_refusal() { sleep 1.5; }
# The flag U; a refusal has N, and expires.
request_pending() { awk '/nvme-tls-psk:/ && $2 ~ /U/' /proc/keys | grep .; }
daemon_pid() { unit_property nvme-keyd.service MainPID; }
# Connects in the background; $tmp/status and $tmp/took have the result.
connect_start() {
    forget_keys
    (
        start=$(now_ms)
        status=0
        connect_tls "$sub" >"$tmp/connect.out" 2>&1 || status=$?
        echo "$status $(($(now_ms) - start))" >"$tmp/result"
    ) &
    connect_job=$!
}
connect_end() {
    wait "$connect_job"
    read -r status took <"$tmp/result"
}
# next_works TEXT
next_works() {
    check_fails "$1: no request is under construction" request_pending
    forget_refusal
    forget_keys
    check "$1: the next connect works" connect_tls "$sub"
    disconnect "$sub" >/dev/null
}

check "a target with TLS" target_up "$sub" || bail "no target"
defer target_down
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove $id"
check "the livepatch is in use" patch_load || bail "no livepatch"
defer "disconnect $sub; patch_unload; systemctl unmask --quiet --runtime nvme-keyd.service; systemctl reset-failed nvme-keyd.service"

# --- while the shim waits

# shim_waits TEXT: a connect has asked, and nvme-keyd does not go on
shim_waits() {
    kill -STOP "$(daemon_pid)"
    connect_start
    check "$1: the shim waits" wait_until 10 shim_runs
    check "$1: a request is under construction" request_pending
}

# systemd starts it again, and the new one may answer in time
shim_waits "killed"
kill -KILL "$(daemon_pid)"
connect_end
check "killed: the connect ends with status $status in bounded time ($took ms)" test "$took" -lt 60000
[ "$status" != 0 ] || disconnect "$sub" >/dev/null
next_works "killed"

mark=$(journal_mark)
shim_waits "killed for good"
pid=$(daemon_pid)
# or Restart= and the sockets start it again before they are stopped
systemctl mask --quiet --runtime nvme-keyd.service
kill -KILL "$pid"
connect_end
check "killed for good: the connect fails" test "$status" != 0
check "killed for good: in bounded time ($took ms)" test "$took" -lt 60000
check "killed for good: the shim says so" grep -q 'nvme-keyd did not answer' <(journal_since "$mark")
systemctl unmask --quiet --runtime nvme-keyd.service
systemctl reset-failed nvme-keyd.service
systemctl restart nvme-keyd.socket nvme-keyd-request.socket
next_works "killed for good"

# --- at any moment

start=$(now_ms)
forget_keys
connect_tls "$sub" >/dev/null
usual=$(($(now_ms) - start))
disconnect "$sub" >/dev/null
for ((i = 1; i <= rounds; i++)); do
    # a unit may be started five times in ten seconds
    systemctl reset-failed nvme-keyd.service
    nvme-keyctl list >/dev/null
    delay=$((usual * (i - 1) / rounds + SRANDOM % (usual / rounds + 1)))
    connect_start
    sleep "$(awk -v ms="$delay" 'BEGIN { printf "%.3f", ms / 1000 }')"
    kill -KILL "$(daemon_pid)"
    connect_end
    [ "$status" != 0 ] || disconnect "$sub" >/dev/null
    check "killed after $delay of $usual ms: ends with status $status in bounded time ($took ms)" test "$took" -lt 60000
    next_works "killed after $delay ms"
done
check_fails "no shim is left" shim_runs
