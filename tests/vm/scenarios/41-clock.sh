# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# needs: nvme-keyd
# shows: setting the clock retires a key that is due at once if the clock is synchronised, and otherwise not

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:clock
synchronized=/run/systemd/timesync/synchronized

# The clock of the guest is set right at the end, for the scenarios after this one.
uptime_s() { cut -d . -f 1 /proc/uptime; }
offset=$(($(date +%s) - $(uptime_s)))
defer "date -s @\$(($offset + \$(uptime_s)))"

rm -f "$synchronized"
id=$(nvme-keyctl generate --role=target --hostnqn="$HOSTNQN" --subsysnqn="$sub") || bail "nvme-keyctl generate"
defer "nvme-keyctl remove \"\$new\""
new=$(nvme-keyctl rotate "$id" --generate) || bail "nvme-keyctl rotate"
is "old and new are there" "$(ring_count)" 3

has_record() { grep -qa "^{\"id\":\"$id\"" /var/lib/nvme-keyd/store; }
# From here on nothing calls the service: it has to notice the clock by itself.
date -s '+2 days' >/dev/null
ring_has() { [ "$(ring_count)" = "$1" ]; }
check "two days later the old one is out of the ring" wait_until 30 ring_has 2
check "its record stays, as the clock may be wrong" has_record
date -s '-2 days' >/dev/null
check "the clock was wrong: the old one is back" wait_until 30 ring_has 3

mkdir -p "${synchronized%/*}"
: >"$synchronized"
defer "rm -f $synchronized"
date -s '+2 days' >/dev/null
record_gone() { ! has_record; }
check "a synchronised clock: the record goes as well" wait_until 30 record_gone
is "a synchronised clock: out of the ring" "$(ring_count)" 2
