# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The packages that the machine needs to run guests.

# command:package
deps_list=(
    qemu-system-x86_64:qemu-system-x86
    mmdebstrap:mmdebstrap
    mke2fs:e2fsprogs
    rsync:rsync
    cpio:cpio
    swtpm:swtpm
    swtpm_setup:swtpm-tools
    git:git
    flock:util-linux
)

deps_install() {
    local entry missing=()

    for entry in "${deps_list[@]}"; do
        command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
    done
    # The keys that sign Debian 13 came with a point release of Debian 12.
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)

    [ ${#missing[@]} -gt 0 ] || return 0
    export DEBIAN_FRONTEND=noninteractive
    apt-get update
    apt-get install --yes --no-install-recommends "${missing[@]}"
}
