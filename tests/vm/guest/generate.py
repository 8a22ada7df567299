#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""generate.py N SECONDS: has nvme-keyd generate N keys over one Varlink connection, and gives up after SECONDS."""

import json
import socket
import sys
import time

HOSTNQN = open("/etc/nvme/hostnqn").read().strip()


def messages(sock):
    """Replies end with a NUL byte."""
    buffer = b""
    while True:
        chunk = sock.recv(65536)
        if not chunk:
            return
        buffer += chunk
        while b"\0" in buffer:
            message, buffer = buffer.split(b"\0", 1)
            yield json.loads(message)


def main():
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(60)
    sock.connect("/run/nvme-keyd/org.nvmekeyd.Manager")
    replies = messages(sock)
    start = time.monotonic()
    for i in range(int(sys.argv[1])):
        took = time.monotonic() - start
        if i in (100, 300, 1000, 3000):
            print("%d keys after %.1f s" % (i, took), flush=True)
        if took > float(sys.argv[2]):
            sys.exit("only %d keys in %.0f s" % (i, took))
        call = {
            "method": "org.nvmekeyd.Manager.Generate",
            "parameters": {
                "subsystemNQN": "nqn.2026-11.org.example:many-%05d" % i,
                "hostNQN": HOSTNQN,
            },
        }
        sock.sendall(json.dumps(call).encode() + b"\0")
        reply = next(replies, None)
        if reply is None:
            sys.exit("connection closed at key %d" % i)
        if "error" in reply:
            sys.exit("key %d: %s" % (i, reply))


main()
