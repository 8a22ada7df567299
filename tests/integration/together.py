# SPDX-License-Identifier: LGPL-2.1-or-later
"""Adds keys by calls that wait at the same time, each on a connection of its own. For test-syncs.sh.

    together.py SOCKET PROCESS HOST NAME COUNT

The service, PROCESS, is stopped while the calls are sent, so that it finds them all; with PROCESS 0 it goes on.
Prints "sent", and then how many calls were answered with a key, and how many different keys there are.
"""

import base64
import hashlib
import os
import signal
import sys
import time
import zlib

from varlink import Connection

path, process, host, name, count = sys.argv[1:]
process, count = int(process), int(count)


def psk(seed):
    key = hashlib.sha256(seed.encode()).digest()
    return f"NVMeTLSkey-1:01:{base64.b64encode(key + zlib.crc32(key).to_bytes(4, 'little')).decode()}:"


def is_stopped():
    with open(f"/proc/{process}/status", encoding="utf-8") as lines:
        return any(line.startswith("State:") and line.split()[1] in "Tt" for line in lines)


connections = [Connection(path, 300) for _ in range(count)]
for c in connections:
    assert "parameters" in c.ask("org.varlink.service.GetInfo")
if process:
    os.kill(process, signal.SIGSTOP)
    while not is_stopped():
        time.sleep(0.01)
for i, c in enumerate(connections):
    c.call("org.nvmekeyd.Manager.Add", {"hostNQN": host, "subsystemNQN": f"{name}:{i:04d}:", "psk": psk(f"{name}{i}")})
if process:
    os.kill(process, signal.SIGCONT)
print("sent", flush=True)
replies = [c.reply() for c in connections]
good = [r["parameters"]["key"]["id"] for r in replies if r and "error" not in r]
print(len(good), len(set(good)), flush=True)
