# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: fresh
# needs: nvme-keyd
# suite: boot
# shows: a machine without a store boots like any other, and its first key makes one

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:store-missing

check "there is no store" test ! -e /var/lib/nvme-keyd/store || bail "a scenario before has made one"
check "the boot goes on" boot_went_on
is "the keys were asked for" "$(unit_property nvme-keyd-preload.service Result)" success
check "at this boot: $(preload_ms) ms" preload_within 90
is "no unit has failed" "$(failed_units)" ""
complains_once "the journal has nothing" ""
check "the state is absent" store_is absent
is "no key is published" "$(ring_count)" 0

check "nvme-keyctl add" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)"
is "the key is published" "$(ring_count)" 1
check "the store is open" store_is open
