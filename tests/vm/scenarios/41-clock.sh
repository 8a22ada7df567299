# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# needs: nvme-keyd
# shows: setting the clock retires a due key if the clock is synchronised, and none early if it was behind before

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:clock
synchronized=/run/systemd/timesync/synchronized

# The clock of the guest is set right at the end, for the scenarios after this one.
uptime_s() { cut -d . -f 1 /proc/uptime; }
offset=$(($(date +%s) - $(uptime_s)))
defer "date -s @\$(($offset + \$(uptime_s)))"

mkdir -p "${synchronized%/*}"
defer "rm -f $synchronized"
: >"$synchronized"
id=$(nvme-keyctl generate --role=target --hostnqn="$HOSTNQN" --subsysnqn="$sub") || bail "nvme-keyctl generate"
defer "nvme-keyctl remove \"\$new\""
new=$(nvme-keyctl rotate "$id" --generate) || bail "nvme-keyctl rotate"
is "old and new are there" "$(ring_count)" 3
rm "$synchronized"

has_record() { grep -qa "^{\"id\":\"$id\"" /var/lib/nvme-keyd/store; }
# From here on nothing calls the service: it has to notice the clock by itself.
date -s '+2 days' >/dev/null
ring_has() { [ "$(ring_count)" = "$1" ]; }
check "two days later the old one is out of the ring" wait_until 30 ring_has 2
check "its record stays, as the clock may be wrong" has_record
date -s '-2 days' >/dev/null
check "the clock was wrong: the old one is back" wait_until 30 ring_has 3

# A clock that was behind when the key was rotated, and is corrected: the second old key stays for its day.
second=$new
new=$(nvme-keyctl rotate "$second" --generate) || bail "nvme-keyctl rotate"
is "three keys, two of them retiring" "$(ring_count)" 4
# A time daemon sets the clock first.
date -s '+2 days' >/dev/null
: >"$synchronized"
record_gone() { ! has_record; }
check "a synchronised clock: the record of the first goes as well" wait_until 30 record_gone
is "a synchronised clock: the first is out of the ring, the second is not" "$(ring_count)" 3
left=$(($(nvme-keyctl show "$second" --json=short | jq .key.deadline) / 1000000 - $(date +%s)))
check "the second has most of its day left: $left s" test "$left" -gt 80000 -a "$left" -le 86400
date -s '+1 day 1 minute' >/dev/null
second_over() { [ "$(ring_count)" = 2 ]; }
check "a day later the second is out of the ring" wait_until 30 second_over
