# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: alone
# needs: debs
# suite: packages
# shows: the chapters of README.md for a host and a target, word by word, with the installed Debian packages
# timeout: 900

. /opt/vm/lib.sh
. /opt/vm/readme.sh

# As README.md has them.
sub=nqn.2024-01.com.example:storage
host=nqn.2014-08.org.nvmexpress:uuid:0d4e0c5a-70a4-4b5e-9a5c-2f6f2a1b3c4d
address=192.0.2.10

# The examples are below /usr/share/doc, which the image leaves out.
rm -f /etc/dpkg/dpkg.cfg.d/*
echo "$host" >/etc/nvme/hostnqn
echo "${host##*:}" >/etc/nvme/hostid
ip address add $address/32 dev lo

mapfile -t blocks < <(readme_blocks "Installing")
check "the chapter of the installation has its blocks" test "${#blocks[@]}" -ge 2
for block in "${blocks[@]}"; do
    readme_run "$block" || bail "nvme-keyd is not installed"
done
is "the sockets and the preload unit are enabled" \
    "$(systemctl is-enabled nvme-keyd.socket nvme-keyd-request.socket nvme-keyd-preload.service | sort -u)" enabled

# The chapter takes for granted: a subsystem, and a port without TLS that nothing has enabled.
target_up "$sub" || bail "no target"
rm "$NVMET/ports/1/subsystems/$sub"
echo 0 >"$NVMET/subsystems/$sub/attr_allow_any_host"
echo $address >"$NVMET/ports/1/addr_traddr"
echo none >"$NVMET/ports/1/addr_tsas"
defer "rm $NVMET/subsystems/$sub/allowed_hosts/*; target_down; rmdir $NVMET/hosts/$host"

# This guest is both machines, first the target, and from the first "nvme-keyctl add" on the host.
mapfile -t blocks < <(readme_blocks "A host and a target")
check "the chapter of the two machines has its blocks" test "${#blocks[@]}" -ge 8
psk=
for block in "${blocks[@]}"; do
    case $(<"$block") in
    *"nvme-keyctl generate"*)
        readme_run "$block" || bail "no PSK"
        psk=$(grep -o '^NVMeTLSkey-1:.*:$' "$tmp/block.out")
        check "the target's key is in .nvme, of both versions" test "$(ring_count)" = 2
        ;;
    *addr_tsas*)
        readme_run "$block" || bail "no port"
        is "the port requires TLS" "$(cat $NVMET/ports/1/addr_tsas)" tls1.3
        ;;
    *"nvme-keyctl add"*)
        nvme-keyctl remove --force "$(record_of "$sub" | jq -r .id)" || bail "nvme-keyctl remove"
        readme_run "$block" "$psk" || bail "no key"
        ;;
    *"slot add recovery"*)
        readme_run "$block"
        check "it is a recovery key" grep -qE '^([0-9A-Z]{5}-){12}[0-9A-Z]{5}$' "$tmp/block.out"
        ;;
    *"nvme connect"*)
        readme_run "$block" || bail "no connection"
        check "the connection is there" wait_until 60 bdev_of "$sub"
        check "it uses the key" test "$(tls_key_of "$sub")" = "$(record_serial "$(record_of "$sub" | jq -r .id)")"
        check "data comes back" data_check "$(bdev_of "$sub")"
        ;;
    *"rotate"*"--generate"*) psk=$(new_psk) ;; # the target, which this guest is no longer
    *"nvme-keyctl rotate"*)
        old=$(tls_key_of "$sub")
        readme_run "$block" "$psk"
        check "the connection is live" wait_until 60 ctrl_live "$(ctrl_of "$sub")"
        check "the connection uses another key" test "$(tls_key_of "$sub")" != "$old"
        ;;
    *) readme_run "$block" ;;
    esac
done
