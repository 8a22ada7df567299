#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# handshake-loop [--take-over]: runs tlshd, and again should it end; for an initramfs that has nothing else which looks
# after it. With --take-over it ends the one that does, and becomes tlshd itself. Two at once would take handshakes
# from each other.
#
# It runs in the tree that handshake-tree has made, where a disk that is away is not missed. Besides dash and sleep it needs
# two FIFOs there: who reads /run/over is to end, and who has /run/alive open for writing has not ended. So no other process
# is ever meant, as with a number it could.

set -u

if [ "${1-}" = --take-over ]; then
    # Open for reading and writing it waits for nobody, and after that there is a writer: itself.
    exec 7<>/run/alive
    exec 6</run/alive
    exec 7>&-
    echo over 1<>/run/over
    read -r _ <&6
    exec 6<&-
    exec @tlshd --stderr
fi

# $! is right also before the next command has seen it. A daemon that has ended is not there to be told.
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
