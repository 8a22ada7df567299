#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# usage: run-sysusers.sh FILE
# Makes the group after an installation on this machine: without it the socket fails at each boot.
[ "$(id -u)" -eq 0 ] || exit 0
systemd-sysusers "$1" || echo "warning: systemd-sysusers $1 failed: run it before nvme-keyd.socket is started" >&2
