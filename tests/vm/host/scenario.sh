# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Names and header lines of the scenarios. Headers are comments of the form "# NAME: VALUE":
#   boot: alone             a boot of its own
#   boot: lean              alone, and without systemd (guest/lean.sh)
#   boot: NAME              one that all with that name share; "shared" is for what is quick and leaves no trace
#   kernel: NAME...         stock (if nothing is said), backports, builtin, one after the other; both: the first two
#   tpm: yes                the guest has a TPM; for scenarios that are alone, or all of a boot
#   cmdline: WORDS          more kernel parameters, for all of its boot
#   needs: nvme-keyd        without the product there is nothing to run
#   needs: debs             installs the Debian packages of --debs, on a guest without the product
#   suite: NAME             of run-tests that it belongs to, if not to vm
#   long: yes               only where it is asked for, by its name or that of its suite
#   timeout: SECONDS        (read in the guest)

# All, or those of suites, SUITE,SUITE.
# shellcheck disable=SC2120 # is called with one elsewhere
scenario_all() {
    local suite=${1-} f name

    for f in "$vm_dir"/scenarios/*.sh; do
        name=$(basename "$f" .sh)
        [ -z "$suite" ] || [[ ",$suite," == *",$(scenario_suite "$name"),"* ]] || continue
        echo "$name"
    done
}

scenario_suite() {
    local suite

    suite=$(scenario_header "$1" suite)
    echo "${suite:-vm}"
}

scenario_name() {
    local name

    name=$(basename "$1" .sh)
    if [ ! -e "$vm_dir/scenarios/$name.sh" ]; then
        echo "No such scenario: $1" >&2
        exit 2
    fi
    echo "$name"
}

scenario_header() {
    sed -n "s/^# $2: *//p" "$vm_dir/scenarios/$1.sh" | head -n 1
}

scenario_kernels() {
    local kernels

    kernels=$(scenario_header "$1" kernel)
    [ "$kernels" != both ] || kernels="stock backports"
    echo "${kernels:-stock}"
}

# scenario_runs_on NAME KERNEL
scenario_runs_on() {
    [[ " $(scenario_kernels "$1") " == *" $2 "* ]] && [[ ${arg_kernel:-$2} == "$2" ]]
}

# scenario_boot NAME KERNEL: the name of its boot
scenario_boot() {
    local boot

    boot=$(scenario_header "$1" boot)
    case $boot in
    alone | lean) boot=$1 ;;
    esac
    [ "$2" = stock ] || boot+=-$2
    echo "$boot"
}

# scenario_label NAME KERNEL: its name in the results
scenario_label() {
    if [ "$image_release" != trixie ]; then
        echo "$1 ($image_release)"
    elif [ "$(scenario_kernels "$1")" = stock ]; then
        echo "$1"
    else
        echo "$1 ($2)"
    fi
}

# The line after the headers says what a scenario shows.
scenario_list() {
    local s kernel

    for s in $(scenario_all); do
        kernel=$(scenario_header "$s" kernel)
        printf '%-20s %-7s %-9s %s\n' "$s" "$(scenario_header "$s" boot)" "${kernel:-stock}" \
            "$(scenario_header "$s" shows)"
    done
}
