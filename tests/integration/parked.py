# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: parked.py SOCKET HOSTNQN COUNT

Sends COUNT calls with a PSK, each on a connection of its own, while the store is being opened. Prints how
many are answered at once, and the first answer; waits for a line on standard input; prints how many of the
others got their keys, and how many were turned away. Calls again on the connection of the first one.
"""

import base64
import collections
import hashlib
import select
import sys
import zlib

from varlink import Connection

path, host, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
MANAGER = "org.nvmekeyd.Manager"


def psk(seed):
    key = hashlib.sha256(seed.encode()).digest()
    return f"NVMeTLSkey-1:01:{base64.b64encode(key + zlib.crc32(key).to_bytes(4, 'little')).decode()}:"


def add(connection, name):
    parameters = {"hostNQN": host, "psk": psk(name), "comment": "c" * 250}
    parameters["subsystemNQN"] = f"nqn.2026-11.org.example:{name}-{'l' * 150}"
    connection.call(f"{MANAGER}.Add", parameters)


def kind_of(reply):
    if reply is None:
        return "lost"
    return reply["error"].rpartition(".")[2] if "error" in reply else "key"


connections = [Connection(path, 300) for _ in range(count)]
for i, c in enumerate(connections):
    add(c, f"parked{i}")
# By the answer to a later call all of them wait or are answered, or nearly all.
Connection(path, 300).ask("org.varlink.service.GetInfo")
poll = select.poll()
for c in connections:
    poll.register(c.socket, select.POLLIN)
answered = {fd for fd, _ in poll.poll(60000)}
first = next(c for c in connections if c.socket.fileno() in answered)
connections.remove(first)
print(len(answered), kind_of(first.reply()), flush=True)
sys.stdin.readline()
kinds = collections.Counter(kind_of(c.reply()) for c in connections)
print(kinds["key"], kinds["TooManyCalls"], flush=True)
add(first, "parked-again")
print(kind_of(first.reply()))
