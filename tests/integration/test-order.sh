#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The order of units at boot and at shutdown, with the dependencies that systemd adds itself. Its
# test mode prints them without a boot.
. "$(dirname "$0")/lib.sh"

root=$tmp/root
DESTDIR=$root meson install -C "$build" --no-rebuild --quiet >"$log" 2>&1 || bail "meson install"
chmod 755 "$tmp"
units=$(dirname "$(find "$root" -path '*/nvme-keyd.socket')")
systemd=$(find /usr/lib/systemd/systemd /lib/systemd/systemd 2>/dev/null | head -n 1)
[ -n "$systemd" ] || skip_all "no systemd"

# The units of others: one that connects early, as nvme-cli has it, and a handshake daemon.
others=$tmp/others
mkdir "$others" "$others/tlshd.service.d"
printf '%s\n' '[Unit]' DefaultDependencies=no After=systemd-udevd.service Before=local-fs-pre.target \
    '[Service]' ExecStart=/bin/true >"$others/nvmf-connect@.service"
printf '%s\n' '[Unit]' DefaultDependencies=no Before=remote-fs-pre.target '[Service]' ExecStart=/bin/true \
    >"$others/tlshd.service"
early='nvmf-connect@--transport\x3dtcp.service'

# dump NAME: all units, as systemd loads them
dump() {
    # It does not run as root.
    SYSTEMD_UNIT_PATH=$units:$others:/usr/lib/systemd/system:/lib/systemd/system \
        setpriv --reuid=65534 --regid=65534 --clear-groups \
        "$systemd" --test --system --unit=test.target >"$tmp/$1" 2>&1 &&
        grep -q 'Unit nvme-keyd.service:' "$tmp/$1"
}
printf '%s\n' '[Unit]' "Wants=nvme-keyd.service nvme-keyd-preload.service tlshd.service $early data.mount" \
    >"$others/test.target"
# Mounts as fstab(5) makes them: of the network, and of a disk of this machine.
printf '%s\n' '[Unit]' After=remote-fs-pre.target '[Mount]' What=192.0.2.1:/data Where=/data Type=nfs Options=_netdev \
    >"$others/data.mount"
dump together || bail "systemd --test"
printf '%s\n' '[Mount]' What=/dev/vdb Where=/var >"$others/var.mount"
dump separate || bail "systemd --test, with a /var of its own"

# reaches DUMP DEPENDENCY UNIT PATTERN [AWAY...]: those of them that are of the pattern, in one line
reaches() {
    "$python" "$(dirname "$0")/unit-order.py" "$tmp/$1" "$2" "$3" "${@:5}" | grep -xE "$4" | paste -sd ' '
}

late='(local-fs|local-fs-pre|sysinit|basic|network-online|remote-fs.*)\.target|systemd-tmpfiles-setup\.service'
for unit in nvme-keyd.service nvme-keyd.socket nvme-keyd-request.socket nvme-keyd-host-key.service nvme-keyd-credentials.service nvme-keyd-preload.service; do
    is "$unit waits for no local mount" "$(reaches together After "$unit" "$late")" ""
done
# A mount namespace that is made while the root is still read-only stays read-only. systemd orders a unit with
# StateDirectory= after the remount. The order must not depend on other units that come after it, too.
others_after=(systemd-sysusers.service systemd-modules-load.service modprobe@nvme_keyring.service nvme-keyd-host-key.service)
for unit in nvme-keyd.service nvme-keyd-host-key.service; do
    is "$unit: comes after the root is remounted" \
        "$(reaches together After "$unit" 'systemd-remount-fs\.service' "${others_after[@]}")" systemd-remount-fs.service
done
is "nvme-keyd.service waits for the mount of the store, where it has one" "$(reaches separate After nvme-keyd.service 'var\.mount')" var.mount
for dump in together separate; do
    is "$dump: an early connection does not wait for our units" \
        "$(reaches "$dump" After "$early" 'nvme-keyd.*\.service|tlshd\.service')" ""
    is "$dump: no cycle" "$(grep -c 'ordering cycle' "$tmp/$dump")" 0
done

# At shutdown all of it is the other way round: what comes before a mount stops when that is unmounted. The preload
# is not active then.
for unit in nvme-keyd.service nvme-keyd.socket nvme-keyd-request.socket nvme-keyd-credentials.service; do
    for dump in together separate; do
        is "$dump: $unit stops after mounts of the network" \
            "$(reaches "$dump" Before "$unit" 'data\.mount|remote-fs-pre\.target' nvme-keyd-preload.service)" "data.mount remote-fs-pre.target"
    done
done
# A target is active at once, and long before the service is started.
is "no network mount waits for the start of the service" \
    "$(sed -n 's/^Before=//p' "$units/nvme-keyd.service" | tr ' ' '\n' | grep -x 'remote-fs.*')" ""
like "the target between them comes with the sockets" "$(<"$units/nvme-keyd.socket")" 'Wants=[^=]* ?nvme-keyd-stop\.target'
is "that target waits for nothing but the service" \
    "$(reaches separate After nvme-keyd-stop.target "$late" nvme-keyd.service)" ""

# --- the wait of an instance of nvmf-connect@

# wait_for_keys INSTANCE: prints its status and the commands that it runs, in one line. tlshd.service has a
# job at first.
helper=$tmp/wait-for-keys
mkdir "$tmp/bin"
sed "s|^PATH=|&$tmp/bin:|" "$(find "$root" -name wait-for-keys)" >"$helper"
cat >"$tmp/bin/nvme-keyctl" <<END
#!/bin/sh
echo nvme-keyctl \$1 >>$tmp/said
exit 7
END
cat >"$tmp/bin/systemctl" <<END
#!/bin/sh
grep -q systemctl $tmp/said || echo 42
echo systemctl \$1 >>$tmp/said
END
chmod 755 "$tmp/bin"/*
wait_for_keys() {
    : >"$tmp/said"
    timeout 60 sh "$helper" "$1"
    echo "$? $(paste -sd ' ' "$tmp/said")"
}
# As the rules of nvme-cli escape them, and as systemctl(1) and nvme(1) write them.
for transport in '--transport\x3dtcp' '--transport=tcp'; do
    is "$transport waits for keys and then for the handshake daemon" \
        "$(wait_for_keys "--device\x3dnone\t$transport\t--traddr\x3d192.0.2.1")" "0 nvme-keyctl sync systemctl show systemctl show"
done
for transport in '--transport\x3dfc' '--transport\x3drdma'; do
    is "$transport waits for nothing" "$(wait_for_keys "--device\x3dnone\t$transport\t--traddr\x3dtcp")" "0 "
done
like "the wait has an end, shorter than that of others for local mounts" "$(<"$helper")" 'exec timeout "\$\{2:-[1-5]?[0-9]}" '
is "the preload has a time limit, too" "$(sed -n 's/^TimeoutStartSec=//p' "$units/nvme-keyd-preload.service")" 1min
finish
