# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: upcall
# needs: nvme-keyd
# suite: upcall
# long: yes
# shows: the cost of an upcall (tests/bench)
# timeout: 500

. /opt/vm/lib.sh

# Emulation is slow, so less often than on the build machine.
export BENCH_PAIRS=${BENCH_PAIRS:-100} BENCH_ROUNDS=${BENCH_ROUNDS:-7} BENCH_MISSES=${BENCH_MISSES:-300}
relay /opt/vm/bench/bench-upcall-guest.sh /opt/vm/bench
