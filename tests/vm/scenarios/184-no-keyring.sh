# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: boot
# needs: nvme-keyd
# suite: boot
# long: yes
# shows: a kernel without .nvme boots, with one line in the journal, and gets the keys together with the keyring
# timeout: 300

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:no-keyring
modules=/usr/lib/modules/$(uname -r)
away=/var/lib/nvme-keyd-vm/module-index

# An index with one module, which is not nvme_keyring. A whole index takes minutes in an emulated guest.
hide_modules() {
    mkdir -p "$away"
    cp -a "$modules"/modules.* "$away/" && depmod "$(uname -r)" "$(modinfo -n tls)"
}
show_modules() { cp -a "$away"/modules.* "$modules/"; }
has_key() { [ "$(ring_count)" = 1 ]; }

case $VM_PHASE in
1)
    check "nvme-keyctl add" nvme-keyctl add --subsysnqn="$sub" <<<"$(new_psk)"
    check "the modules are hidden" hide_modules
    reboot_into 2
    ;;
2)
    check "there is no keyring .nvme" eval '! nvme_ring'
    check "there is no module for .nvme" eval '! modprobe -n nvme-keyring'
    check "the boot goes on" boot_went_on
    # the unit of nvme-cli that connects at boot fails without its module
    is "no unit but one of nvme-cli has failed" "$(failed_units | grep -v '^nvmf-')" ""
    complains_once "the journal has it once" "$MESSAGE_RING_ABSENT"
    check "nothing waits: $(preload_ms) ms" preload_within 90
    check "the store is open" store_is open

    check "the module is back" show_modules
    check "the module loads" modprobe nvme-keyring
    check "the key is published by itself" wait_until 30 has_key
    # configfs is a module as well, and tlshd links .nvme only when it starts
    systemctl start modprobe@configfs.service sys-kernel-config.mount
    systemctl restart tlshd
    check "a target with TLS" target_up "$sub"
    defer target_down
    check "connect" connect_tls "$sub"
    defer "disconnect $sub"
    ;;
esac
