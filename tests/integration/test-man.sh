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

# The rows of a help text, with the description behind column 24 cut off: commands, then options.
commands_of() {
    grep -E '^  [a-z]' | cut -c3-26 | awk '{ $1 = $1; print }'
}

options_of() {
    grep -oE '^  --[^ ]+' | tr -d ' '
}

export NVME_KEYD_FLEET_PROGRAM=$BUILD/src/nvme-keyctl-fleet/nvme-keyctl-fleet
keyctl_help=$("$BUILD/nvme-keyctl" help)
daemon_help=$("$BUILD/nvme-keyd" --help)
commands=$(commands_of <<<"$keyctl_help")
names=$(sed -E 's/ *\[?[A-Z].*//' <<<"$commands")
common=$(options_of <<<"$keyctl_help")
described=$(section nvme-keyctl.1 OPTIONS | entries)

# Prints each option of each command: "COMMAND --OPTION=".
options_by_command() {
    local name
    while read -r name; do
        # shellcheck disable=SC2086 # a command of two words
        "$BUILD/nvme-keyctl" help $name | options_of | sed "s/=.*/=/; s/^/$name /"
    done <<<"$names"
}

# shellcheck disable=SC2086 # a command of two words
options=$(
    printf '%s\n' "$common"
    while read -r name; do "$BUILD/nvme-keyctl" help $name | options_of; done <<<"$names"
)

# The same from the completion, which is a shell script itself.
completed_by_command() {
    bash -c '. "$1"
        declare -A options
        _nvme_keyctl_options
        for name in "${!options[@]}"; do
            for option in ${options[$name]}; do echo "$name $option"; done
        done' - "$TOP/shell-completion/bash/nvme-keyctl"
}

same "nvme-keyctl: commands" "$commands" "$(section nvme-keyctl.1 COMMANDS | entries)"
# "Options: *--a=*, *--b*." ends the entry of a command.
documented_by_command() {
    section nvme-keyctl.1 COMMANDS | awk '
        /^\*/ { name = $0; gsub(/\*/, "", name); sub(/ *\[?_.*/, "", name); inside = 0 }
        /^\tOptions: / { inside = 1 }
        /^$/ { inside = 0 }
        inside { n = split($0, words); for (i = 1; i <= n; i++) if (words[i] ~ /^\*--/) { gsub(/[*,.]/, "", words[i]); print name, words[i] } }'
}
same "nvme-keyctl: options of each command" "$(options_by_command)" "$(documented_by_command)"
same "nvme-keyctl: options" "$options" "$(tr -d ' ' <<<"$described" | tr , '\n' | grep -E '^--')"

for short in $(tr -d ' ' <<<"$described" | tr , '\n' | grep -E '^-[a-z]$'); do
    "$BUILD/nvme-keyctl" "$short" --version >/dev/null 2>&1
    result $? "nvme-keyctl: takes $short"
done

same "nvme-keyctl: common options in the completion" "$(tr '=' ' ' <<<"$common" | awk '{ print $1 (NF > 1 ? "=" : "") }')" \
    "$(bash -c '. "$1"; declare -A options; _nvme_keyctl_options; tr " " "\n" <<<"$common"' - "$TOP/shell-completion/bash/nvme-keyctl" | grep -E '^--')"
same "nvme-keyctl: options of each command in the completion" "$(options_by_command)" "$(completed_by_command)"
same "nvme-keyctl: commands in the completion" "$names" \
    "$(bash -c '. "$1"; declare -A options; _nvme_keyctl_options; printf "%s\n" "${!options[@]}"' - "$TOP/shell-completion/bash/nvme-keyctl")"

# Commands in running text: "nvme-keyctl VERB --option", on one line.
by_command=$(options_by_command)
mentioned=$(
    grep -ohE '`nvme-keyctl [a-z][^`]*`' "$TOP/README.md" "$TOP"/docs/*.md | tr -d '`'
    grep -ohE '\*nvme-keyctl [a-z][^*]*\*' "$MAN"/*.scd | tr -d '*'
)
unknown=$(while read -r _ verb sub rest; do
    verb=${verb%[,;]} name=${verb%[,;]}
    ! grep -qxF "$verb $sub" <<<"$names" || name="$verb $sub"
    grep -qxF -- "$name" <<<"$names" || [ "$name" = help ] || { echo "$name" && continue; }
    for word in $sub $rest; do
        [[ $word =~ ^(--[a-z0-9-]+=?) ]] || continue
        grep -qxE -- "($name )?${BASH_REMATCH[1]}([A-Z|a-z]+)?" <<<"$by_command"$'\n'"$common" || echo "$name ${BASH_REMATCH[1]}"
    done
done <<<"$mentioned" | sort -u)
[ -n "$mentioned" ] && [ -z "$unknown" ]
result $? "nvme-keyctl: commands and options in running text exist${unknown:+: not ${unknown//$'\n'/, }}"

same "nvme-keyctl: exit codes" \
    "$(sed -n 's/^ *EXIT_[A-Z_]* = \([0-9]*\),.*/\1/p' "$SRC/basic/exit-code.h")" \
    "$(section nvme-keyctl.1 'EXIT STATUS' | sed -n 's/^|.*\*\([0-9]*\)\*$/\1/p')"

# --- the interface

readonly INTERFACE=$SRC/nvme-keyd/api/org.nvmekeyd.Manager.varlink
# methods_with WORD COMMAND...: names of the methods whose entry in the table passes the command
methods_of_table() {
    awk '/^static const VarlinkMethod methods\[\]/ { inside = 1; next } /NULL, 0/ { inside = 0 } inside' "$SRC/nvme-keyd/api/methods.c" |
        tr -d '\n' | grep -oE '\{"[A-Za-z]+", [^,]*,' | "$@" | cut -d '"' -f 2
}
# subsection NAME: of the methods in the manual
subsection() {
    section nvme-keyd-varlink.7 METHODS | awk -v name="## $1" '/^## / { inside = $0 == name; next } inside' | entries
}
same "interface: methods that only root may call" "$(methods_of_table grep ROOT)" "$(subsection "For root" | sed 's/, more$//')"
same "interface: methods of the group" "$(methods_of_table grep -v ROOT)" "$(subsection "For root and the group" | sed 's/, more$//')"
same "interface: methods with several replies" "$(methods_of_table grep MORE)" \
    "$(section nvme-keyd-varlink.7 METHODS | entries | sed -n 's/, more$//p')"
same "interface: errors" "$(sed -n 's/^error \([A-Za-z]*\).*/\1/p' "$INTERFACE")" "$(section nvme-keyd-varlink.7 ERRORS | entries)"
same "interface: the exit status of each error" \
    "$(awk -F '[".,} ]+' 'FNR == NR { if (/^ *EXIT_[A-Z_]* = /) status[$2] = $4; next } /NAMES_MANAGER_INTERFACE "/ { for (i = 1; i <= NF; i++) if ($i ~ /^EXIT_/) print $3, status[$i] }' \
        "$SRC/basic/exit-code.h" "$SRC/nvme-keyctl/cli.c")" \
    "$(section nvme-keyd-varlink.7 ERRORS | awk '/^\*/ { name = $0; gsub(/\*/, "", name) } match($0, /\([0-9]+\)$/) { s = substr($0, RSTART + 1, RLENGTH - 2); if (s != 1) print name, s }')"

# --- doctor, and the texts of errors

same "nvme-keyctl: checks of doctor" \
    "$(sed -nE 's/^ *\{"([a-z-]+)", "[a-z-]+", check_.*/\1/p' "$SRC/nvme-keyctl/doctor/doctor.c")" \
    "$(section nvme-keyctl.1 'CHECKS OF DOCTOR' | entries)"
troubles=$(sed -nE 's/^    \{"([^"]*)",.*/\1/p' "$SRC/nvme-keyctl/doctor/trouble.c")
same "nvme-keyctl: error texts" "$troubles" "$(section nvme-keyctl.1 TROUBLESHOOTING | entries)"
same "nvme-keyctl: error texts in README.md" "$troubles" \
    "$(awk '/^## / { inside = $0 == "## It does not connect"; next } inside && /^\| / && !/^\| Printed/' "$TOP/README.md" | sed -E 's/^\| ([^|]*) \|.*/\1/')"

same "nvme-keyctl: error texts in TROUBLESHOOTING.md" "$troubles" "$(sed -n 's/^### //p' "$TOP/docs/TROUBLESHOOTING.md")"

# "-c --config=FILE  read ...": options end at two blanks.
same "nvme-keyd: options" \
    "$(grep -E '^ +-' <<<"$daemon_help" | sed 's/^ *//; s/  .*//' | tr ' ' '\n')" \
    "$(section nvme-keyd.service.8 OPTIONS | entries | tr -d ' ' | tr , '\n')"

same "nvme-keyd.conf: sections and options" \
    "$(sed -n 's/^ *{"\([A-Za-z]*\)", "\([A-Za-z]*\)", set_.*/[\1] \2/p' "$SRC/nvme-keyd/config/config.c")" \
    "$(section nvme-keyd.conf.5 OPTIONS | awk '/^## / { s = $2 } /^\*/ { gsub(/[*=]/, ""); print s, $0 }')"

same "nvme-keyd.conf: options of the sample" \
    "$(sed -n 's/^ *{"\([A-Za-z]*\)", "\([A-Za-z]*\)", set_.*/[\1] \2/p' "$SRC/nvme-keyd/config/config.c")" \
    "$(awk '/^\[/ { s = $1 } /^#[A-Z][A-Za-z]*=/ { sub(/^#/, ""); sub(/=.*/, ""); print s, $0 }' "$SRC/nvme-keyd/config/nvme-keyd.conf")"

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
