# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: alone
# tpm: yes
# needs: nvme-keyd
# suite: store
# long: yes
# shows: after a change of a PCR the next slot or a recovery key opens the store, and a reseal binds it to the new value
# timeout: 240

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:pcr

check "nvme-keyctl add" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)"
keys=$(ring_list | cut -d' ' -f2-)
check "nvme-keyctl slot add recovery" nvme-keyctl slot add recovery
{ read -r wrong_id && read -r wrong; } <"$tmp/check.out"
check "a second recovery key is added" nvme-keyctl slot add recovery || bail "no recovery key"
{ read -r _ && read -r recovery; } <"$tmp/check.out"
check "the first recovery key is removed" nvme-keyctl slot remove "$wrong_id"
is "the slots" "$(header_slots)" "tpm2 systemd-creds recovery"
systemctl restart nvme-keyd.service
is "the TPM opens the store" "$(store_slot)" tpm2

check "PCR 7 is extended" /opt/vm/pcr-extend.py 7
mark=$(journal_mark)
systemctl restart nvme-keyd.service
is "the next slot opens it" "$(store_slot)" systemd-creds
journal_since "$mark" MESSAGE_ID=$MESSAGE_SLOTS_FAILED >"$tmp/journal"
is "the journal says once that another did not" "$(wc -l <"$tmp/journal")" 1
check "the journal names the TPM's slot" grep -q ': tpm2: .*PCRs\? 7' "$tmp/journal"
check "the slot of systemd-creds is removed by force" nvme-keyctl slot remove --force "$(header_slot systemd-creds | jq -r .id)"

mark=$(journal_mark)
keyctl clear "$(nvme_ring)"
systemctl restart nvme-keyd.service
check "now nothing opens it" wait_until 60 store_is unavailable
nvme-keyctl status >"$tmp/status"
check "the status names the PCR" grep -qE 'PCRs? 7' "$tmp/status"
journal_since "$mark" MESSAGE_ID="$MESSAGE_STORE_UNAVAILABLE" >"$tmp/journal"
check "the journal names the PCR" grep -qE 'PCRs? 7' "$tmp/journal"
diag "$(head -n 1 "$tmp/journal")"
is "no key is published" "$(ring_count)" 0
nvme-keyctl list >/dev/null 2>&1
is "nvme-keyctl list fails with status" "$?" 8

check_fails "a removed recovery key is refused" nvme-keyctl slot unlock <<<"$wrong"
cp "$tmp/check.out" "$tmp/refused"
check "the error says that it is not the recovery key of this store" grep -q 'not the recovery key of this store' "$tmp/refused"
check "the right one opens the store" nvme-keyctl slot unlock <<<"$recovery"
is "status names the recovery key" "$(store_slot)" recovery
is "the keys are published" "$(ring_list | cut -d' ' -f2-)" "$keys"

check "nvme-keyctl slot reseal" nvme-keyctl slot reseal "$(header_slot tpm2 | jq -r .id)"
is "the slots after it" "$(header_slots)" "tpm2 recovery"
systemctl restart nvme-keyd.service
is "the TPM opens the store again" "$(store_slot)" tpm2
check "PCR 7 is extended again" /opt/vm/pcr-extend.py 7
systemctl restart nvme-keyd.service
check "then nothing opens the store" wait_until 60 store_is unavailable
check "the recovery key still opens it" nvme-keyctl slot unlock <<<"$recovery"
