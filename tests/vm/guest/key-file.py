#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""key-file.py N: prints a key file with N random PSKs, each for this host and a subsystem of its own."""

import base64
import os
import sys
import zlib

HOSTNQN = open("/etc/nvme/hostnqn").read().strip()

for i in range(int(sys.argv[1])):
    psk = os.urandom(32)
    text = base64.b64encode(psk + zlib.crc32(psk).to_bytes(4, "little")).decode()
    print(f"{HOSTNQN} nqn.2026-11.org.example:many-{i:05d} NVMeTLSkey-1:01:{text}:")
