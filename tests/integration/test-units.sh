#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The installed files for systemd, udev and request-key(8), checked by their own tools.
. "$(dirname "$0")/lib.sh"

root=$tmp/root
DESTDIR=$root meson install -C "$build" --no-rebuild --quiet >"$log" 2>&1 || bail "meson install"

# one NAME: the one installed file of that name.
one() {
    find "$root" -path "*$1"
}

# quiet TEXT COMMAND...: it succeeds, and has nothing to say.
quiet() {
    local text=$1
    shift
    run "$@"
    { [ "$status" -eq 0 ] && [ -z "$out$err" ]; }
    result $? "$text" || diag "status $status" "$out" "$err"
}

# --- units

units=$(dirname "$(one /nvme-keyd.service)")
# The files of others that our units name: systemd's own units, and two programs.
mkdir -p "$root/usr/lib/systemd/system" "$root/bin"
cp -an /usr/lib/systemd/system/. "$root/usr/lib/systemd/system/"
install -m 755 /dev/null "$root/bin/kill"
install -m 755 /dev/null "$root/bin/sleep"
fetch=()
[ ! -e "$units/nvme-keyd-fetch.service" ] || fetch=(nvme-keyd-fetch.service)
for unit in "${fetch[@]}" nvme-keyd.service nvme-keyd-host-key.service nvme-keyd-credentials.service nvme-keyd.socket nvme-keyd-request.socket nvme-keyd-preload.service nvme-keyd-probe.socket nvme-keyd-probe@1.service nvme-keyd-stop.target nvme-keyd-rotate.timer nvme-keyd-rotate.service nvme-keyd-inbox.path nvme-keyd-inbox.service; do
    quiet "$unit: systemd-analyze verify" systemd-analyze verify --man=no --root="$root" "$unit"
done
# Its program is in a tree that is not there yet, and systemd before 255 does not know one of its settings.
tree=$(sed -n 's/^RootDirectory=//p' "$units/nvme-keyd-tlshd.service")
install -D -m 755 /dev/null "$root/usr/sbin/tlshd"
run systemd-analyze verify --man=no --root="$root" nvme-keyd-tlshd.service
is "nvme-keyd-tlshd.service: systemd-analyze verify" "$status $(grep -v "'SurviveFinalKillSignal'" <<<"$out$err")" "0 "
for f in "$units/nvme-keyd-tlshd.service" "$units/tlshd.service.d/10-nvme-keyd.conf"; do
    like "${f#"$units/"}: its session leads to the user keyring" "$(<"$f")" $'\nKeyringMode=shared(\n|$)'
    like "${f#"$units/"}: looks for the tree where it is" "$(<"$f")" "ConditionPathExists=!?$tree/usr/sbin/tlshd"
done
# A service that others start with themselves starts as often as they do. systemd refuses the sixth start
# within ten seconds, and then the others do not start either.
limited=(nvme-keyd-rotate.service) # services that nothing else starts
for f in "$units"/nvme-keyd*.service; do
    unit=${f##*/}
    [[ " ${limited[*]} " != *" $unit "* ]] || continue
    check "$unit: starts as often as what needs it" grep -qx 'StartLimitIntervalSec=0' "$f"
done
# A unit's credentials are unsealed for ExecStartPre= and again for ExecStart=.
for unit in nvme-keyd.service nvme-keyd-credentials.service; do
    is "$unit: one process has its credentials" "$(grep -c '^Exec[^=]*Pre=\|^Exec[^=]*Post=' "$units/$unit")" 0
done
# LoadCredential= hands in a sealed credential as it is, before ImportCredential= can unseal it.
fetched=$(sed -n 's/^\(Import\|Load\)Credential\(Encrypted\)\?=/\1\2 /p' "$units/nvme-keyd-credentials.service" | sort | xargs)
case $(pkg-config --modversion libsystemd) in
252* | 253*)
    is "credentials: as systemd 252 has them" "$fetched" "Load nvme-keyd.issuer Load nvme-keyd.kek Load nvme-keyd.psk LoadEncrypted nvme-keyd.psk.sealed"
    ;;
*)
    is "credentials: by ImportCredential= alone" "$fetched" "Import nvme-keyd.issuer Import nvme-keyd.issuer.* Import nvme-keyd.kek Import nvme-keyd.psk Import nvme-keyd.psk.*"
    ;;
esac
like "credentials: none before the host key was looked at" "$(<"$units/nvme-keyd-credentials.service")" \
    $'\nRequires=nvme-keyd-host-key.service\nAfter=nvme-keyd-host-key.service\n'
# exposure LIMIT [UNIT]: in tenths
exposure() {
    run systemd-analyze security --offline=true --threshold="$1" --root="$root" --no-pager "${2:-nvme-keyd.service}"
    diag "$(tail -n 1 <<<"$out")"
}
exposure 14
is "nvme-keyd.service: exposure is at most 1.4" "$status" 0
# systemd-analyze does not count ProtectSystem=, ProtectHome= and PrivateTmp= in a unit that is started early. Nor
# does it count InaccessiblePaths=, which replaces PrivateTmp= here because it waits for no mounts.
cp "$units/nvme-keyd.service" "$tmp/early"
check "nvme-keyd.service: has neither /tmp nor /var/tmp" grep -qx 'InaccessiblePaths=-/tmp -/var/tmp' "$units/nvme-keyd.service"
sed -i '/^DefaultDependencies=no/d; s/^InaccessiblePaths=.*/PrivateTmp=yes/' "$units/nvme-keyd.service"
exposure 13
is "nvme-keyd.service: and 1.3 as one that is not started early" "$status" 0
cp "$tmp/early" "$units/nvme-keyd.service"
for unit in nvme-keyd-preload.service nvme-keyd-credentials.service nvme-keyd-host-key.service; do
    exposure 7 "$unit"
    is "$unit: exposure is at most 0.7" "$status" 0
done
exposure 11 nvme-keyd-probe@1.service
is "nvme-keyd-probe@.service: exposure is at most 1.1" "$status" 0
for unit in "${fetch[@]}"; do
    exposure 11 "$unit"
    is "$unit: exposure is at most 1.1" "$status" 0
    check "$unit: no keyrings" grep -qE '^SystemCallFilter=~.*@keyring' "$units/$unit"
    check "$unit: no store" grep -q '^InaccessiblePaths=-/var/lib/nvme-keyd ' "$units/$unit"
    is "$unit: its inbox is below its own directory" \
        "$(sed -n 's/^RuntimeDirectory=//p' "$units/$unit")" \
        "$(sed -n 's,^#Directory=/run/\(.*\)/inbox$,\1,p' "$source/src/nvme-keyd-fetch/nvme-keyd-fetch.conf")"
done
like "the varlink socket is where nvme-keyctl looks" "$(<"$units/nvme-keyd.socket")" \
    "ListenStream=$(sed -n 's/^#define NAMES_MANAGER_SOCKET "\(.*\)"/\1/p' "$source/src/basic/names.h")"$'\n'
like "the request socket is where the shim looks" "$(<"$units/nvme-keyd-request.socket")" \
    "ListenSequentialPacket=$(sed -n 's/^#define NAMES_REQUEST_SOCKET "\(.*\)"/\1/p' "$source/src/basic/names.h")"$'\n'
like "the probe socket is where nvme-keyd looks" "$(<"$units/nvme-keyd-probe.socket")" \
    "ListenSequentialPacket=$(sed -n 's/^#define NAMES_PROBE_SOCKET "\(.*\)"/\1/p' "$source/src/basic/names.h")"$'\n'
# Otherwise the answers would be mixed with what a library prints.
is "nvme-keyd-probe@.service: only its input is the socket" \
    "$(sed -n 's/^Standard\(Input\|Output\|Error\)=/\1 /p' "$units/nvme-keyd-probe@.service" | xargs)" \
    "Input socket Output journal Error journal"
check "nvme-keyd-probe@.service: no keyrings" grep -qE '^SystemCallFilter=~.*@keyring' "$units/nvme-keyd-probe@.service"
# Each helper that has ended and is still counted takes a place.
probes=$(sed -n 's/^#define PROBES_AT_ONCE //p' "$source/src/nvme-keyd/probe/limits.h")
is "nvme-keyd-probe.socket: takes twice as many as nvme-keyd starts" \
    "$(sed -n 's/^MaxConnections=//p' "$units/nvme-keyd-probe.socket")" $((2 * probes))

# --- udev, request-key, modules

rules=$(one /90-nvme-keyd.rules)
if udevadm verify --help >/dev/null 2>&1; then
    check "udev rules: udevadm verify" udevadm verify "$rules"
else
    skip "udev rules: udevadm verify" "not in this version of systemd"
fi
is "udev rules: no line that is no comment, and no rule" "$(grep -cvE '^(#|$|[A-Z]+(\{[A-Z_]+\})?[=!+]=?)' "$rules")" 0
is "modules-load.d: one module" "$(grep -v '^#' "$(one /modules-load.d/nvme-keyd.conf)")" nvme_keyring
while read -r op type description callout program words; do
    is "request-key.d: $type $description" "$op $callout $words" "create * %k %u %t %d %c"
    check "request-key.d: $program is there" test -x "$root$program"
done < <(grep -v '^#' "$(one /request-key.d/nvme-keyd.conf)")

# --- sysusers, tmpfiles, catalog

group=$(sed -n 's/^Group=//p' "$units/nvme-keyd.service")
run systemd-sysusers --dry-run --root="$root" "$(one /sysusers.d/nvme-keyd.conf)"
like "sysusers: makes the group of the service" "$out$err" "Creating group '$group'"
quiet "tmpfiles: makes the sockets' directory" systemd-tmpfiles --create --root="$root" "$(one /tmpfiles.d/nvme-keyd.conf)"
is "tmpfiles: as it should be" "$(stat -c '%F %a %u' "$root/run/nvme-keyd" 2>&1)" "directory 755 0"

ids=$(sed -n 's/^#define MESSAGE_.* "\([0-9a-f]\{32\}\)"/\1/p' "$source/src/basic/names.h" | sort)
catalog=$(one /nvme-keyd.catalog)
is "catalog: an entry for each message" "$(sed -n 's/^-- \([0-9a-f]\{32\}\)$/\1/p' "$catalog" | sort)" "$ids"
mkdir -p "$root/var/lib/systemd/catalog"
run journalctl --root="$root" --update-catalog
is "catalog: journalctl takes it" "$status" 0
is "catalog: and lists it" "$(journalctl --root="$root" --list-catalog 2>/dev/null | cut -d ' ' -f 1 | grep -Fx "$ids" | sort)" "$ids"

finish
