# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: boot
# needs: nvme-keyd
# suite: boot
# long: yes
# shows: with the example for modprobe.d the keys arrive together with nvme_keyring, and the module always loads
# timeout: 300

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:hook
example=/usr/share/doc/nvme-keyd/examples/modprobe.d/nvme-keyd.conf
hook=/etc/modprobe.d/nvme-keyd.conf
program=$(command -v nvme-keyctl)

unload() {
    disconnect "$sub"
    target_down
    wait_until 20 modprobe -r nvmet-tcp nvme-tcp nvmet nvme-fabrics nvme-keyring
    [ ! -e /sys/module/nvme_keyring ]
}
# loads TEXT [COMMAND...]: the module loads, in a second or two, and can be unloaded and loaded again.
loads() {
    local text=$1 start ms
    shift
    [ $# -gt 0 ] || set -- modprobe nvme-keyring
    unload >/dev/null 2>&1
    start=$(now_ms)
    check "$text: the module loads" "$@"
    ms=$(($(now_ms) - start))
    check "$text: it is there" test -e /sys/module/nvme_keyring
    # a hang would take the 10 s that the hook has
    check "$text: in bounded time ($ms ms)" test "$ms" -lt 60000
    check "$text: it unloads" modprobe -r nvme-keyring
    check "$text: and loads again" "$@"
}
# As in an initramfs: modprobe, a shell, the modules and the file, but nothing of nvme-keyd or systemd.
make_small_root() {
    local root=$1 program library

    mkdir -p "$root"/{proc,sys,dev,lib/modules,usr/lib,etc/modprobe.d}
    for program in bin/sh sbin/modprobe; do
        install -D "/$program" "$root/$program"
        for library in $(ldd "/$program" | grep -oE '/[^ ]+'); do install -D "$library" "$root$library"; done
    done
    cp "$hook" "$root/etc/modprobe.d/"
    ln -s ../../lib/modules "$root/usr/lib/modules"
    mount --bind /usr/lib/modules "$root/lib/modules"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
}

check "nvme-keyctl add" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)"
# The udev rule would publish the keys later. It must not do so here.
systemctl mask --runtime nvme-keyd-preload.service 2>/dev/null
defer "systemctl unmask --runtime nvme-keyd-preload.service"
defer "disconnect $sub; target_down; rm -f $hook"

check "unload all" unload
check "control: without the hook nvmet-tcp loads" modprobe nvmet-tcp
is "control: and there is no key" "$(ring_count)" 0

check "the example is installed" install -m 644 "$example" "$hook" || bail "no example"
check "modprobe takes it" grep -qE '^install nvme_keyring .*/sbin/modprobe' <(modprobe --showconfig)
good=0
for ((i = 1; i <= 5; i++)); do
    unload >/dev/null 2>&1 && modprobe nvmet-tcp && [ "$(ring_count)" = 1 ] && good=$((good + 1))
done
is "of 5 loads these had the key when they returned" "$good" 5
# tlshd links .nvme only when it starts
systemctl restart tlshd
check "a target with TLS" target_up "$sub"
check "the first connect" connect_tls "$sub"

mv "$program" "$program.away"
defer "[ ! -e $program.away ] || mv $program.away $program"
loads "without nvme-keyctl"
mv "$program.away" "$program"

systemctl stop nvme-keyd.socket nvme-keyd-request.socket nvme-keyd.service
loads "service and sockets stopped"
systemctl mask --runtime nvme-keyd.service 2>/dev/null
systemctl start nvme-keyd.socket
loads "service masked"
systemctl unmask --runtime nvme-keyd.service 2>/dev/null
systemctl reset-failed
systemctl start nvme-keyd.socket nvme-keyd-request.socket nvme-keyd.service

unload >/dev/null 2>&1
systemctl kill --kill-whom=main --signal=STOP nvme-keyd.service
start=$(now_ms)
check "a service that hangs: the module loads" modprobe nvme-keyring
diag "after $(($(now_ms) - start)) ms"
systemctl kill --kill-whom=main --signal=CONT nvme-keyd.service

# not in /run, where nothing can be executed
small=$(mktemp -d /var/tmp/vm.XXXXXX)
defer "umount $small/lib/modules $small/proc $small/sys; rm -rf --one-file-system $small"
check "a root with nothing but modprobe" make_small_root "$small"
loads "in an initramfs" env -i /usr/sbin/chroot "$small" /sbin/modprobe nvme-keyring
