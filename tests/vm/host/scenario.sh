# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Names and header lines of the scenarios. Headers are comments of the form "# NAME: VALUE":
#   boot: shared | alone    may it share a boot with others
#   needs: nvme-keyd        without the product there is nothing to run
#   timeout: SECONDS        (read in the guest)

scenario_all() {
        local f

        for f in "$vm_dir"/scenarios/*.sh; do
                basename "$f" .sh
        done
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
