# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# needs: nvme-keyd
# shows: a key that other programs take out of .nvme is back before a reset needs it; without the guard the controller is lost
# timeout: 600

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:guard
PUT_BACK=7cb607bb76b8435bb6e9c262ec81a748
DISPLACED=75af814be6ab4816b2d989bf40e386c8
foreign_conf=/etc/nvme-keyd/nvme-keyd.conf.d/20-foreign.conf

check "a target with TLS" target_up "$sub" || bail "no target"
defer target_down
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
defer "nvme-keyctl remove --force $id"
check "connect" connect_tls "$sub" || bail "no connection"
defer "disconnect $sub"
# Other programs that change the keys of .nvme possess it.
keyctl link "$(nvme_ring)" @s

ctrl=$(ctrl_of "$sub")
dev=$(bdev_of "$sub")
identity=$(record_identity "$id")
mark=$(journal_mark)

io_begin "$dev"

# is_alive SERIAL
is_alive() { [ -n "$1" ] && keyctl rdescribe "$1" >/dev/null 2>&1; }
# Not by nvme-keyctl, which would ask the service to look.
is_back() {
    local s
    s=$(key_serial "$identity")
    [ "$s" != "$lost" ] && is_alive "$s"
}
# lose TEXT CAUSE COMMAND...: takes the key out, expects it back with this cause, and resets the controller.
lose() {
    local text=$1 cause=$2 start here
    shift 2
    here=$(journal_mark)
    lost=$(key_serial "$identity")
    start=$(now_ms)
    "$@" >/dev/null || not_ok "$text: $*"
    check "$text: the journal has the cause" wait_until 60 journal_has "$here" "$cause"
    diag "$text: back after at most $(($(now_ms) - start)) ms"
    check "$text: the key is back" wait_until 5 is_back
    check "$text: reset" bash -c "echo 1 >/sys/class/nvme/$ctrl/reset_controller"
    check "$text: the controller is back" wait_until 60 ctrl_live "$ctrl"
    # More than ten rounds in a minute would be a fight, which has longer pauses.
    sleep 4
}
# journal_has MARK CAUSE
journal_has() { journal_since "$1" MESSAGE_ID=$PUT_BACK NVME_CAUSE="$2" NVME_KEY_ID="$id" | grep -q .; }

for round in 1 2 3 4; do
    lose "clear $round" cleared keyctl clear "$(nvme_ring)"
done
other=$(keyctl padd psk "NVMe1R01 nqn.x:host nqn.x:other xHAzkPd1F0wDt4yXIEcMLGYjqV2lZtV8Cc0hUhVUnXA=" "$(nvme_ring)" <<<"$(printf '%032d' 0)")
lose "unlink" unlinked eval 'keyctl unlink "$lost" "$(nvme_ring)"'
lose "revoke" revoked eval 'keyctl revoke "$lost"'
lose "timeout" expired eval 'keyctl timeout "$lost" 1 && sleep 1.1'
lose "displace" displaced eval 'keyctl padd psk "$identity" "$(nvme_ring)" <<<"other bytes, as many as it has ..."'
check "a key of another pair was not touched" is_alive "$other"
keyctl unlink "$other" "$(nvme_ring)"

# --- a stand-in for nvme-keysd: it adds a key of version 1 and revokes all others of the pair

digest=xHAzkPd1F0wDt4yXIEcMLGYjqV2lZtV8Cc0hUhVUnXA=
foreign="NVMe1R01 $HOSTNQN $sub $digest"
generated="NVMe1G01 $HOSTNQN $sub $digest"
keysd() {
    local serial _hex name
    keyctl padd psk "$foreign" "$(nvme_ring)" <<<"$(printf '%032d' 1)" >/dev/null || return
    while read -r serial _hex name; do
        [[ $name != NVMe?[RG]??\ "$HOSTNQN $sub"* ]] || [ "$name" = "$foreign" ] || keyctl revoke "$serial"
    done < <(ring_list)
}
keyctl padd psk "$generated" "$(nvme_ring)" <<<"$(printf '%032d' 2)" >/dev/null
lose "another daemon" revoked keysd
theirs=$(key_serial "$foreign")
check "its key stays beside ours, and the status names it" grep -q "$(printf '%08x' "$theirs") is a second key" <(nvme-keyctl status)
is "the list marks it" "$(record_of "$sub" | jq -c .rivals)" "[$theirs]"

mkdir -p "${foreign_conf%/*}"
printf '[Keyring]\nForeign=displace\n' >"$foreign_conf"
defer "rm -f $foreign_conf; systemctl reload nvme-keyd.service"
check "reload with Foreign=displace" systemctl reload nvme-keyd.service
theirs_is_gone() { [ -z "$(key_serial "$foreign")" ]; }
check "its key is taken out" wait_until 60 theirs_is_gone
check "the journal says so" wait_until 30 eval 'journal_since "$mark" MESSAGE_ID=$DISPLACED NVME_SUBSYSNQN="$sub" | grep -q .'
lose "another daemon, displaced" revoked eval keysd
check "its key is taken out again" wait_until 60 theirs_is_gone
# That daemon revoked the one of before.
new_generated=$(keyctl padd psk "$generated" "$(nvme_ring)" <<<"$(printf '%032d' 3)")
check "reset" bash -c "echo 1 >/sys/class/nvme/$ctrl/reset_controller"
check "the controller is back" wait_until 60 ctrl_live "$ctrl"
is "the controller uses ours" "$(tls_key_of "$sub")" "$(record_serial "$id")"
is "the guard has not touched the generated key" "$(ring_list | grep -c "^$new_generated ")" 1

io_end
is "the same controller" "$(ctrl_of "$sub")" "$ctrl"
is "the same namespace" "$(bdev_of "$sub")" "$dev"
is "no failed read or write" "$(cat "$tmp/io.errors")" ""
diag "I/O rounds: $(cat "$tmp/io.rounds")"
# A reset ends requests of its path (nvme0c0n1) with an error, and they are repeated.
is "no I/O error in the kernel log" \
    "$(journal_since "$mark" -k | grep -iE 'I/O error|no valid PSK|Removing' | grep -vE 'nvme[0-9]+c[0-9]+n[0-9]+')" ""

# --- what it costs: hundredths of a second in 20 s, with one key

cpu() { awk '{ print $14 + $15 }' "/proc/$(unit_property nvme-keyd.service MainPID)/stat"; }
used=$(cpu)
sleep 20
diag "an idle guard used $(($(cpu) - used)) hundredths of a second of processor time in 20 s"

# --- the control: without the guard it is lost

guard_off
wait_until 30 eval '[ "$(nvme-keyctl status --json=short | jq .guard.looking)" = false ]'
keyctl clear "$(nvme_ring)"
is "Guard=no: no key" "$(key_serial "$identity")" ""
# The kernel may report the failure to the writer.
bash -c "echo 1 >/sys/class/nvme/$ctrl/reset_controller" 2>/dev/null
is_lost() { [ -z "$(ctrl_of "$sub")" ]; }
check "Guard=no: the controller is lost" wait_until 60 is_lost
