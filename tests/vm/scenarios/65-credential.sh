# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# needs: nvme-keyd
# suite: store
# shows: three ways to the credential: that of the unit, the Varlink service of systemd, and systemd-creds(1)
# timeout: 240

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:credential
drop_in=/run/systemd/system/nvme-keyd.service.d/vm.conf
credential=/etc/credstore.encrypted/nvme-keyd.kek
program=InaccessiblePaths=/usr/bin/systemd-creds
service=InaccessiblePaths=/run/systemd/io.systemd.Credentials

# with LINE...: restarts the service with these lines in its unit
with() {
    mkdir -p "$(dirname "$drop_in")"
    printf '%s\n' '[Service]' "$@" >"$drop_in"
    systemctl daemon-reload
    systemctl restart nvme-keyd.service
}
# Makes a new store.
fresh_store() {
    systemctl stop nvme-keyd.service
    rm -rf /var/lib/nvme-keyd/*
    keyctl clear "$(nvme_ring)"
    nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)"
}
creds_service_ran() { journal_since "$mark" _SYSTEMD_UNIT=init.scope | grep -q systemd-creds@; }

modprobe nvme-keyring
defer "rm -f $drop_in $credential; systemctl daemon-reload; systemctl restart nvme-keyd.service"
check "systemd has the service" test -S /run/systemd/io.systemd.Credentials

with "$program"
mark=$(journal_mark)
check "without the program a store is made" fresh_store
is "sealed by the service" "$(header_slots)" systemd-creds
systemctl restart nvme-keyd.service
is "the slot of systemd-creds opens the store" "$(store_slot)" systemd-creds
check "the service opened it" creds_service_ran

with "$service"
is "without the service the program opens it" "$(store_slot)" systemd-creds
check "without the service a store is made" fresh_store
is "sealed by the program" "$(header_slots)" systemd-creds
with "$program"
is "the service opens the store of the program" "$(store_slot)" systemd-creds

with "$program" "$service"
check "without both nothing opens it" wait_until 60 store_is unavailable
diag "$(nvme-keyctl status --json=short | jq -r .store.detail)"

# As docs/CREDSTORE.md has it.
mkdir -p "$(dirname "$credential")"
header_slot systemd-creds | jq -r .credential >"$credential"
keyctl clear "$(nvme_ring)"
with "$program" "$service" LoadCredentialEncrypted=nvme-keyd.kek
is "with a credential in the unit the store opens" "$(store_slot)" systemd-creds
is "the key is published" "$(ring_count)" 1
check "a target with TLS" target_up "$sub"
defer target_down
check "connect" connect_tls "$sub"
defer "disconnect $sub"

check "another credential" systemd-creds encrypt --name=nvme-keyd.kek - "$credential" < <(head -c 32 /dev/urandom)
with "$program" "$service" LoadCredentialEncrypted=nvme-keyd.kek
check "with another credential the store does not open" wait_until 60 store_is unavailable
diag "$(nvme-keyctl status --json=short | jq -r .store.detail)"
