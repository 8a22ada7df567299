# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: alone
# needs: debs
# suite: packages
# shows: upgrade, removal and purge of the Debian package under a live connection: I/O goes on, the key stays in .nvme, the store stays unless told
# timeout: 600

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:upgrade
store=/var/lib/nvme-keyd/store

version() { dpkg-query -W -f '${Version}' nvme-keyd; }

check "install" dpkg --install /opt/debs/nvme-keyd_*.deb || bail "nvme-keyd is not installed"
systemctl restart tlshd.service
before=$(version)
check "a target with TLS" target_up "$sub" || bail "no target"
defer target_down
id=$(nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)") || bail "nvme-keyctl add"
check "connect" connect_tls "$sub" || bail "no connection"
defer "disconnect $sub"

ctrl=$(ctrl_of "$sub")
dev=$(bdev_of "$sub")
serial=$(tls_key_of "$sub")
identity=$(key_identity "$serial")
mark=$(journal_mark)

# live_still TEXT: the same controller with the same key, and I/O goes on
live_still() {
    local rounds

    rounds=$(cat "$tmp/io.rounds")
    check "$1: I/O goes on" wait_until 60 eval '[ "$(cat "$tmp/io.rounds")" -gt $(('"$rounds"' + 1)) ]'
    is "$1: the same controller, live, with the same key" \
        "$(ctrl_of "$sub") $(cat "/sys/class/nvme/$ctrl/state") $(tls_key_of "$sub")" "$ctrl live $serial"
    is "$1: the same key in .nvme" "$(key_serial "$identity")" "$serial"
}
reset_works() {
    check "$1: reset" bash -c "echo 1 >/sys/class/nvme/$ctrl/reset_controller"
    check "$1: the controller comes back" wait_until 60 ctrl_live "$ctrl"
}

io_begin "$dev"
# The identity without its digest is what the kernel searches for.
ringwatch "${identity% *}" >"$tmp/watch" &
watch=$!
wait_until 60 test -s "$tmp/io.rounds"

# --- upgrade

systemctl start nvme-keyd.service
daemon=$(unit_property nvme-keyd.service MainPID)
sockets=$(systemctl show --property=ActiveEnterTimestampMonotonic nvme-keyd.socket nvme-keyd-request.socket)
checksum=$(sha256sum <$store)
check "upgrade" dpkg --install /opt/debs/next/nvme-keyd_*.deb
check "upgrade: another version" test "$(version)" != "$before"
live_still "upgrade"
check "upgrade: another process serves" test "$(unit_property nvme-keyd.service MainPID)" != "$daemon"
is "upgrade: the sockets stayed open" \
    "$(systemctl show --property=ActiveEnterTimestampMonotonic nvme-keyd.socket nvme-keyd-request.socket)" "$sockets"
is "upgrade: the store is as it was" "$(sha256sum <$store)" "$checksum"
is "upgrade: the key is listed with its serial" "$(record_serial "$id")" "$serial"
reset_works "upgrade"

# --- removal and purge

check "remove" dpkg --remove nvme-keyd
live_still "remove"
reset_works "remove"
check "purge" dpkg --purge nvme-keyd
live_still "purge"
is "purge: the store is as it was" "$(sha256sum <$store)" "$checksum"

check "install again" dpkg --install /opt/debs/nvme-keyd_*.deb
live_still "install again"
is "install again: the key is listed with its serial" "$(record_serial "$id")" "$serial"

io_end
kill "$watch"
wait "$watch"
is "no failed read or write" "$(cat "$tmp/io.errors")" ""
diag "I/O rounds: $(cat "$tmp/io.rounds")" "observer: $(cat "$tmp/watch")"
check "the key was in .nvme at every moment" grep -qE '^looks [1-9][0-9]* misses 0 ' "$tmp/watch"
# A reset ends requests of its path (nvme0c0n1) with an error, and they are repeated.
is "no I/O error in the kernel log" \
    "$(journal_since "$mark" -k | grep -iE 'I/O error|no valid PSK|Removing' | grep -vE 'nvme[0-9]+c[0-9]+n[0-9]+')" ""

check "purge, told to remove the store" \
    bash -c 'echo "nvme-keyd nvme-keyd/remove_store boolean true" | debconf-set-selections && dpkg --purge nvme-keyd'
check "purge, told to remove the store: it is gone" test ! -e /var/lib/nvme-keyd
