# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: dev-log.py SOCKET [deaf]

What reads /dev/log on a machine that has no such thing: prints "ready", then each message on a line. With
"deaf" it never reads, and its queue is full.
"""

import socket
import sys
import time


def fill(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.setblocking(False)
    try:
        while True:
            s.sendto(b"x", path)
    except BlockingIOError:
        pass


path, deaf = sys.argv[1], sys.argv[2:] == ["deaf"]
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind(path)
if deaf:
    fill(path)
print("ready", flush=True)
while not deaf:
    print(log.recv(65536).decode("utf-8", "backslashreplace").replace("\n", "\\n"), flush=True)
time.sleep(600)
