#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: ask-helper.py ADDRESS PORT IDENTITY < HEX

Sends nvme-keyd-probe a request that nvme-keyd would not send: for an identity and a PSK that need not belong
together. Prints its answer and its detail.
"""

import socket
import struct
import sys

ANSWERS = ["accepted", "refused", "no-tls", "unreachable", "own", "unavailable"]
# src/probe/packet.h: PSK_SIZE_MAX, PSK_IDENTITY_MAX + 1, PROBE_ADDRESS_MAX + 1 twice, PROBE_INTERFACE_MAX + 1
REQUEST = struct.Struct("=III48s522s62s62s16sH")
REPLY = struct.Struct("=II256s")

address, port, identity = sys.argv[1], int(sys.argv[2]), sys.argv[3]
psk = bytes.fromhex(sys.stdin.read())
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
    s.connect("/run/nvme-keyd/probe")
    s.send(REQUEST.pack(0x3251504E, len(psk), 0, psk, identity.encode(), address.encode(), b"", b"", port))
    packet = s.recv(REPLY.size + 1)
if not packet:
    sys.exit("the helper ended without an answer")
_, answer, detail = REPLY.unpack(packet)
print(ANSWERS[answer], detail.rstrip(b"\0").decode())
