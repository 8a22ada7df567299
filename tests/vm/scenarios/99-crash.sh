# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: alone
# shows: a crash
# timeout: 60

. /opt/vm/lib.sh

check "a unit that is not there" systemctl start nowhere.service
mkdir -p /run/systemd/system; printf '[Service]\nExecStart=/bin/false\nType=oneshot\n' >/run/systemd/system/nope.service
check "a unit that fails" systemctl restart nope.service
echo 1 >/proc/sys/kernel/sysrq
echo c >/proc/sysrq-trigger
sleep 30
