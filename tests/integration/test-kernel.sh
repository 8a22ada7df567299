#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The livepatch agrees with the rest about names; and it compiles for each kernel whose headers are here.
. "$(dirname "$0")/lib.sh"

module=nvme_keyd_upcall
code=$source/kernel/$module.c

# defined FILE MACRO: its string
defined() {
    sed -n "s/^#define $2 \"\(.*\)\"\$/\1/p" "$1"
}

names=$source/src/basic/names.h
prefix=$(defined "$code" REQUEST_PREFIX)
is "module and daemon use one name for a request" "$prefix" "$(defined "$names" NAMES_PAIR_REQUEST)"
check "a rule of request-key is for that name" \
    grep -q "^create[[:blank:]]user[[:blank:]]$prefix\*[[:blank:]]" "$source/request-key.d/nvme-keyd.conf.in"
is "the daemon looks for this module" \
    "$(defined "$names" NAMES_LIVEPATCH_ENABLED)" "/sys/kernel/livepatch/$module/enabled"

# The shim must give up before the kernel does, or its answer comes too late.
wait_sec=$(sed -n 's/^#define WAIT_SECONDS //p' "$code")
shim_sec=$(sed -n 's/^#define UPCALL_DEADLINE_USEC (\([0-9]*\) \* USEC_PER_SEC)$/\1/p' "$source/src/nvme-keyd/upcall/limits.h")
check "the kernel waits longer ($wait_sec s) than the shim ($shim_sec s)" test "$wait_sec" -gt "$shim_sec"

# dkms.conf is a script that sets variables for DKMS.
dkms=$tmp/dkms.conf
sed 's/@VERSION@/1.2.3/' "$source/kernel/dkms.conf.in" >"$dkms"
is "DKMS builds the module that the Makefile makes" \
    "$(bash -u -c '. "$1"; echo "$PACKAGE_NAME/$PACKAGE_VERSION ${BUILT_MODULE_NAME[0]}.o"' bash "$dkms")" \
    "nvme-keyd/1.2.3 $(sed -n 's/^obj-m := //p' "$source/kernel/Makefile")"
is "DKMS asks for the options that the code insists on" \
    "$(bash -u -c '. "$1"; printf "%s\n" $BUILD_EXCLUSIVE_CONFIG' bash "$dkms" | sort)" \
    "$(sed -n 's/^#if !IS_ENABLED(\(CONFIG_[A-Z_]*\))$/\1/p' "$code" | sort)"

# --- headers

suitable() {
    grep -q '^CONFIG_LIVEPATCH=y' "$1/include/config/auto.conf" 2>/dev/null &&
        grep -q '^CONFIG_NVME_TCP_TLS=y' "$1/include/config/auto.conf"
}

compile() {
    rm -rf "$tmp/kernel"
    cp -r "$source/kernel" "$tmp/kernel"
    make -C "$tmp/kernel" KDIR="$1" W=1 KCFLAGS=-Werror >"$tmp/make.log" 2>&1 ||
        {
            diag "$(tail -n 20 "$tmp/make.log")"
            return 1
        }
}

found=
for headers in /lib/modules/*/build; do
    suitable "$headers" || continue
    found=yes
    version=$(basename "$(dirname "$headers")")
    check "it compiles for $version" compile "$headers"
    is "it is a livepatch for $version" "$(modinfo -F livepatch "$tmp/kernel/$module.ko")" Y
done
[ -n "$found" ] || skip "it compiles" "no headers of a kernel with CONFIG_LIVEPATCH and CONFIG_NVME_TCP_TLS"

finish
