#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# handshake-loop [--take-over]: runs tlshd, and restarts it when it ends, in an initramfs without a service manager. With
# --take-over it makes the running loop and its tlshd end, and becomes tlshd itself, because two at once would take
# handshakes from each other.
#
# It runs in the tree of handshake-tree, which needs no disk. Besides dash and sleep it needs two FIFOs there: a line in
# /run/over makes the loop end, and its processes keep /run/alive open for writing until they have. A FIFO, unlike a process
# id, cannot name another process by mistake.

set -u

if [ "${1-}" = --take-over ]; then
    # Opening a FIFO for reading and writing does not block; then this process is the writer that fd 6 needs.
    exec 7<>/run/alive
    exec 6</run/alive
    exec 7>&-
    echo over 1<>/run/over
    read -r _ <&6
    exec 6<&-
    exec @tlshd --stderr
fi

# $! is set as soon as the job starts, so the trap is never early. "ended" keeps the trap from killing a reused id.
serve() {
    ended=1
    trap '[ -n "$ended" ] || { kill "$!" && wait "$!"; }; exit' TERM
    while :; do
        ended=
        @tlshd --stderr 8>&- &
        wait "$!"
        ended=1
        sleep 1
    done
}

exec 8<>/run/alive
serve &
read -r _ </run/over
kill "$!"
wait "$!"
