#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# usage: test-man.sh BUILD_DIRECTORY
# Programs, manual pages and shell completion have the same commands, options, exit codes and ids.
set -uo pipefail

readonly BUILD=${1:?usage: $0 BUILD_DIRECTORY}
TOP=$(realpath "$(dirname "$0")/../..") || exit 1
readonly TOP
readonly MAN=$TOP/man SRC=$TOP/src
. "$TOP/tests/tap.sh"

# same TEXT PROGRAM MANUAL: two lists, one entry a line. Empty ones mean that nothing was understood.
same() {
    local difference
    difference=$(diff <(sort -u <<<"$2") <(sort -u <<<"$3")) && [ -n "$2" ]
    result $? "$1" || diag "$(sed -n 's/^</not in the manual:/p; s/^>/only in the manual:/p' <<<"$difference")"
}

# section PAGE NAME: the text of a section, with its subsections.
section() {
    awk -v name="# $2" '/^# / { inside = $0 == name; next } inside' "$MAN/$1.scd"
}

# Entries at the left margin, one a line, without scdoc's markup.
entries() {
    grep -E '^\*' | tr -d '*_'
}

help_part() {
    awk -v name="$1:" '/^[^ ].*:$/ { inside = $0 == name; next } inside && /^  / { sub(/^ +/, ""); print }'
}

keyctl_help=$("$BUILD/nvme-keyctl" --help)
daemon_help=$("$BUILD/nvme-keyd" --help)
options=$(help_part Options <<<"$keyctl_help" | awk '{ print $1 }')
described=$(section nvme-keyctl.1 OPTIONS | entries)

# "show ID                  show all about one key": the ID ends before column 24.
same "nvme-keyctl: commands" \
    "$(help_part Commands <<<"$keyctl_help" | cut -c1-24 | awk '{ $1 = $1; print }')" \
    "$(section nvme-keyctl.1 COMMANDS | entries)"
same "nvme-keyctl: options" "$options" "$(tr -d ' ' <<<"$described" | tr , '\n' | grep -E '^--')"

for short in $(tr -d ' ' <<<"$described" | tr , '\n' | grep -E '^-[a-z]$'); do
    "$BUILD/nvme-keyctl" "$short" --version >/dev/null 2>&1
    result $? "nvme-keyctl: takes $short"
done

same "nvme-keyctl: options in the completion" \
    "$(tr '=' ' ' <<<"$options" | awk '{ print $1 (NF > 1 ? "=" : "") }')" \
    "$(grep -E '^ +local -r|\["?[a-z ]+"?\]=' "$TOP/shell-completion/bash/nvme-keyctl" | grep -oE -e '--[a-z0-9-]+=?')"
same "nvme-keyctl: commands in the completion" \
    "$(help_part Commands <<<"$keyctl_help" | cut -c1-24 | tr -d 'A-Z[]' | awk '{ $1 = $1; print }')" \
    "$(grep -oE '[ (]\["?[a-z ]+"?\]=' "$TOP/shell-completion/bash/nvme-keyctl" | tr -d '[]=("' | awk '{ $1 = $1; print }')"

same "nvme-keyctl: exit codes" \
    "$(sed -n 's/^ *EXIT_[A-Z_]* = \([0-9]*\),.*/\1/p' "$SRC/basic/exit-code.h")" \
    "$(section nvme-keyctl.1 'EXIT STATUS' | sed -n 's/^|.*\*\([0-9]*\)\*$/\1/p')"

# "-c --config=FILE  read ...": options end at two blanks.
same "nvme-keyd: options" \
    "$(grep -E '^ +-' <<<"$daemon_help" | sed 's/^ *//; s/  .*//' | tr ' ' '\n')" \
    "$(section nvme-keyd.service.8 OPTIONS | entries | tr -d ' ' | tr , '\n')"

same "nvme-keyd.conf: sections and options" \
    "$(sed -n 's/^ *{"\([A-Za-z]*\)", "\([A-Za-z]*\)", set_.*/[\1] \2/p' "$SRC/nvme-keyd/config/config.c")" \
    "$(section nvme-keyd.conf.5 OPTIONS | awk '/^## / { s = $2 } /^\*/ { gsub(/[*=]/, ""); print s, $0 }')"

# KeyringMode= is an option of systemd.
unknown=$(comm -23 <(grep -oE '\b[A-Z][A-Za-z]+=' "$TOP/catalog/nvme-keyd.catalog" | grep -vx KeyringMode= | sort -u) \
    <(sed -n 's/^ *{"[A-Za-z]*", "\([A-Za-z]*\)", set_.*/\1=/p' "$SRC/nvme-keyd/config/config.c" | sort -u))
[ -z "$unknown" ]
result $? "nvme-keyd.conf: options in the catalog exist${unknown:+: not ${unknown//$'\n'/ }}"

same "nvme-keyd: ids of messages" \
    "$(sed -n 's/^#define MESSAGE_.*"\([0-9a-f]*\)"$/\1/p' "$SRC/basic/names.h")" \
    "$(section nvme-keyd.service.8 JOURNAL | grep -oE '^[0-9a-f]{32}')"
same "nvme-keyd: ids of messages in the catalog" \
    "$(sed -n 's/^#define MESSAGE_.*"\([0-9a-f]*\)"$/\1/p' "$SRC/basic/names.h")" \
    "$(sed -n 's/^-- \([0-9a-f]*\)$/\1/p' "$TOP/catalog/nvme-keyd.catalog")"
same "nvme-keyd: fields of messages" \
    "$(sed -n 's/^#define NAMES_FIELD_.*"\(.*\)"$/\1/p' "$SRC/basic/names.h")" \
    "$(section nvme-keyd.service.8 JOURNAL | sed -n 's/^|.*\*\(NVME_[A-Z_]*\)=\*$/\1/p')"

if command -v scdoc >/dev/null && command -v man >/dev/null; then
    for page in "$MAN"/*.scd; do
        # Straight into the formatter: a minimal system may have man(1) made to show nothing.
        complaints=$(
            scdoc <"$page" 2>&1 >/dev/null
            scdoc <"$page" | LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -l - 2>&1 >/dev/null
        )
        [ -z "$complaints" ]
        result $? "${page##*/} is without warnings" || diag "$complaints"
    done
else
    skip "pages are without warnings" "scdoc or man is not installed"
fi

finish
