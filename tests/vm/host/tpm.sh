# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The TPM of a guest (swtpm). Its state outlives QEMU, as that of a chip outlives the power.

tpm_job=

# tpm_start DIR: without DIR this is a new chip, whose seeds are its own. It ends by itself when QEMU does.
tpm_start() {
    local dir=$1 i

    if [ ! -d "$dir" ]; then
        mkdir "$dir"
        swtpm_setup --tpm2 --tpmstate "$dir" --createek --pcr-banks sha256 || return
    fi
    rm -f "$dir/socket"
    swtpm socket --tpm2 --tpmstate "dir=$dir" --ctrl "type=unixio,path=$dir/socket" \
        --flags startup-clear --terminate </dev/null &
    tpm_job=$!
    for ((i = 0; i < 50; i++)); do
        [ ! -S "$dir/socket" ] || return 0
        sleep 0.1
    done
    echo "swtpm does not start."
    return 1
}

# Until it has ended its state is nobody else's to use.
tpm_stop() {
    [ -n "$tpm_job" ] || return 0
    kill "$tpm_job" 2>/dev/null || :
    wait "$tpm_job" 2>/dev/null || :
    tpm_job=
}

tpm_machine() {
    echo -chardev "socket,id=tpm,path=$1/socket" -tpmdev emulator,id=tpm0,chardev=tpm -device tpm-crb,tpmdev=tpm0
}
