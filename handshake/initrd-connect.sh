#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# initrd-connect [--once] [FILE]: makes the connections of FILE (/etc/nvme-keyd/connect.conf), before the root file system
# is there. Each line is the arguments of one `nvme connect`; those below come first, so a line may override them.
#
# It tries until all are connected, because it does not know when the network comes up. With --once it tries each once,
# and succeeds if all are connected. Status 2 means that trying again cannot help.

set -u
# lines are words, not patterns
set -f

# A lost root cannot be connected again by hand, so the kernel must try for ever.
options="--tls --ctrl-loss-tmo=-1"

once=
if [ "${1-}" = --once ]; then
    once=1
    shift
fi
conf=${1:-/etc/nvme-keyd/connect.conf}
connected=' '

fail() {
    echo "$conf: $*" >&2
    exit 2
}

# say NUMBER TEXT: prints TEXT for this line, unless it was the last text for it
say() {
    last=
    eval "last=\${said_$1-}"
    eval "said_$1=\$2"
    [ "$2" = "$last" ] || echo "$conf: line $1: $2" >&2
}

# connect NUMBER ARGUMENTS...
connect() {
    number=$1
    shift
    case $connected in *" $number "*) return 0 ;; esac
    # shellcheck disable=SC2086 # options are words
    if out=$(nvme connect $options "$@" 2>&1); then
        echo "$conf: line $number is connected"
    else
        case $out in
        *"already connected"*) ;;
        *)
            say "$number" "${out:-nvme connect failed}"
            return 1
            ;;
        esac
    fi
    connected="$connected$number "
}

connect_all() {
    status=0 line_number=0
    while read -r line || [ -n "$line" ]; do
        line_number=$((line_number + 1))
        case $line in '' | '#'*) continue ;; esac
        # shellcheck disable=SC2086 # words
        connect "$line_number" $line </dev/null || status=1
    done <"$conf"
    return "$status"
}

[ -r "$conf" ] && ! [ -d "$conf" ] || fail "cannot be read"
modprobe -q nvme_tcp || :
until connect_all; do
    [ -z "$once" ] || exit 1
    sleep 1 || fail "cannot wait for a second try"
done
