# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The TPM of a guest (swtpm). Its state outlives QEMU, as the state of a chip outlives a power cut.

tpm_job=

# tpm_start DIR: makes a new chip, with new seeds, if DIR is missing. It ends together with QEMU.
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

# Waits for its end, because its state is in use until then.
tpm_stop() {
    [ -n "$tpm_job" ] || return 0
    kill "$tpm_job" 2>/dev/null || :
    wait "$tpm_job" 2>/dev/null || :
    tpm_job=
}

tpm_machine() {
    echo -chardev "socket,id=tpm,path=$1/socket" -tpmdev emulator,id=tpm0,chardev=tpm -device tpm-crb,tpmdev=tpm0
}
