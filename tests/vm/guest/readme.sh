# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The commands of README.md, word by word. For scenarios that have lib.sh.

readme_place=/opt/debs

# readme_blocks CHAPTER: its code blocks as files $tmp/block.NN, in order; prints their names.
readme_blocks() {
    rm -f "$tmp"/block.*
    awk -v chapter="## $1" -v file="$tmp/block" '
        /^## / { inside = $0 == chapter }
        inside && /^ *```sh$/ { out = sprintf("%s.%02d", file, ++n); indent = index($0, "`"); next }
        /^ *```$/ { out = "" }
        out { print substr($0, indent) >out }' "/opt/vm/README.md"
    ls "$tmp"/block.*
}

# readme_run BLOCK [INPUT]: runs it as a person would, command by command, until one fails. What it prints is in
# $tmp/block.out.
readme_run() {
    local title
    title=$(head -n 1 "$1")
    (cd "$readme_place" && bash -e "$1" <<<"${2-}") >"$tmp/block.out" 2>&1 || {
        not_ok "README: $title ..."
        diag "$(cat "$1")" "printed:" "$(tail -n 40 "$tmp/block.out")"
        return 1
    }
    ok "README: $title ..."
}
