# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Names and header lines of the scenarios. Headers are comments of the form "# NAME: VALUE":
#   boot: shared | alone    may it share a boot with others
#   boot: lean              alone, and without systemd (guest/lean.sh)
#   tpm: yes                the guest has a TPM; for scenarios that are alone
#   needs: nvme-keyd        without the product there is nothing to run
#   suite: NAME             of run-tests that it belongs to, if not to vm
#   timeout: SECONDS        (read in the guest)

# All, or those of a suite.
# shellcheck disable=SC2120 # is called with one elsewhere
scenario_all() {
        local suite=${1-} f name

        for f in "$vm_dir"/scenarios/*.sh; do
                name=$(basename "$f" .sh)
                [ -z "$suite" ] || [ "$(scenario_suite "$name")" = "$suite" ] || continue
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

scenario_needs_product() {
        [ -n "$(scenario_header "$1" needs)" ]
}

# The line after the headers says what a scenario shows.
scenario_list() {
        local s

        for s in $(scenario_all); do
                printf '%-20s %-7s %s\n' "$s" "$(scenario_header "$s" boot)" "$(scenario_header "$s" shows)"
        done
}
