# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: fake-keyd.py SOCKET [full|shut]

A daemon that answers badly. How it does is a word in the request, "mode:WORD", one of those below. With
"full" it accepts no connection and its queue is full; with "shut" it closes each connection unread.
Prints "ready", and a line for each packet.
"""

import os
import re
import socket
import struct
import sys
import threading
import time

PAYLOAD = 2048
ENOKEY = 126


def reply(magic, error=0, timeout=0, size=1):
    return magic + struct.pack("III", error, timeout, size) + b"1".ljust(PAYLOAD, b"\0")


# The answer of each mode, made from the magic number of the request.
ANSWERS = {
    "good": reply,
    "garbage": lambda m: os.urandom(len(reply(m))),
    "byte": lambda m: b"x",
    "head": lambda m: reply(m)[:16],
    "short": lambda m: reply(m)[:-1],
    "long": lambda m: reply(m) + b"x" * 100,
    "huge": lambda m: reply(m) + b"x" * 100000,
    "magic": lambda m: reply(bytes(4)),
    "size": lambda m: reply(m, size=PAYLOAD + 1),
    "sizemax": lambda m: reply(m, size=0xFFFFFFFF),
    "none": lambda m: reply(m, size=0),
    "whole": lambda m: reply(m, size=PAYLOAD),
    "nokey": lambda m: reply(m, ENOKEY, timeout=30),
    "forever": lambda m: reply(m, ENOKEY, timeout=0xFFFFFFFF),
    "restart": lambda m: reply(m, error=512),
    "range": lambda m: reply(m, error=4095),
    "negative": lambda m: reply(m, error=0xFFFFFFFF),
}


def serve(peer):
    with peer:
        request = peer.recv(65536)
        mode = re.search(rb"mode:(\w+)", request)
        mode = mode[1].decode() if mode else "good"
        # A line in one step: print() would let another thread in before its end.
        os.write(1, f"{mode}\n".encode())
        if mode in ANSWERS:
            peer.send(ANSWERS[mode](request[:4]))
        elif mode == "late":
            time.sleep(5)
            peer.send(reply(request[:4]))
        elif mode == "mute":
            time.sleep(600)
        # "hangup": nothing


FILLERS = []


def fill(path):
    while True:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.setblocking(False)
        try:
            s.connect(path)
        except BlockingIOError:
            return
        FILLERS.append(s)


def main(path, kind=""):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(0 if kind == "full" else 1024)
    if kind == "full":
        fill(path)
    print("ready", flush=True)
    while kind == "full":
        time.sleep(600)
    while True:
        peer = listener.accept()[0]
        if kind == "shut":
            peer.close()
        else:
            threading.Thread(target=serve, args=(peer,), daemon=True).start()


main(*sys.argv[1:])
