# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: requester.py [--fsuid=UID] [--to=KEYRING] TYPE DESCRIPTION [CALLOUT]
       requester.py [--fsuid=UID] [--to=KEYRING] --lines [--together] <LINES

request_key(2), each in a session of its own that leads nowhere, so that only an upcall can find the key.
A line has TYPE, DESCRIPTION and perhaps CALLOUT, with tabs between them. KEYRING is a number of
keyctl(1), such as -1 for the thread's. For each request a line is printed:

MILLISECONDS RESULT FLAGS EXPIRY HELD PAYLOAD

RESULT is "OK" or the name of the error, FLAGS and EXPIRY are those of /proc/keys or "-", HELD is how many
keys with a payload are in the requester's keyrings, PAYLOAD is in hex. --microseconds counts in those.
"""

import argparse
import array
import ctypes
import errno
import os
import re
import sys
import time

keyutils = ctypes.CDLL("libkeyutils.so.1", use_errno=True)
keyutils.keyctl_read.restype = ctypes.c_long
THREAD, SESSION, USER_SESSION = -1, -3, -5


def read(key):
    """The payload, or None where it cannot be read."""
    payload = ctypes.create_string_buffer(65536)
    size = keyutils.keyctl_read(key, payload, len(payload))
    return payload.raw[:size] if size >= 0 else None


def kind(key):
    text = ctypes.create_string_buffer(8192)
    size = keyutils.keyctl_describe(key, text, len(text))
    return text.value.split(b";")[0] if size >= 0 else None


def members(keyring):
    """Serials in it. A keyring that is not there is not made."""
    key = keyutils.keyctl_get_keyring_ID(keyring, 0)
    return array.array("i", (read(key) or b"") if key >= 0 else b"")


def held():
    keys = {k for keyring in range(USER_SESSION, THREAD + 1) for k in members(keyring)}
    return sum(kind(k) != b"keyring" and read(k) is not None for k in keys)


# Serial, flags, expiry, description. A description with a newline goes on in the next line.
LINE = re.compile(rb"([0-9a-f]{8}) (\S+) +\d+ +(\S+) [0-9a-f]{8} +\d+ +-?\d+ \S+ +(.*)")


def state(serials, description):
    """Flags and expiry of the first of these keys with that description."""
    with open("/proc/keys", "rb") as keys:
        for line in filter(None, map(LINE.match, keys)):
            if ctypes.c_int32(int(line[1], 16)).value in serials and description in line[4]:
                return line[2].decode(), line[3].decode()
    return "-", "-"


def call(function, *arguments):
    """The result, the error, and the nanoseconds. Keys of a moment ago still count for a user's quota."""
    for _ in range(200):
        begin = time.perf_counter_ns()
        result = function(*arguments)
        took = time.perf_counter_ns() - begin
        error = ctypes.get_errno()
        if result >= 0 or error != errno.EDQUOT:
            break
        time.sleep(0.05)
    return result, error, took


def ask(options, words):
    key_type, description, callout = (w.encode("utf-8", "surrogateescape") for w in (*words, "")[:3])
    if call(keyutils.keyctl_join_session_keyring, None)[0] < 0:
        sys.exit("no session keyring")
    key, error, took = call(keyutils.request_key, key_type, description, callout, options.to)
    # A rejected key is in the keyring that an answered one would be in.
    flags, expiry = state([key] if key >= 0 else members(options.to or SESSION), description)
    payload = (read(key) or b"") if key >= 0 else b""
    result = "OK" if key >= 0 else errno.errorcode[error]
    unit = 1000 if options.microseconds else 1000000
    return f"{took // unit} {result} {flags} {expiry} {held()} {payload.hex()}\n"


def start(options, words, gate):
    """A process that asks as soon as the gate is closed. Returns what it prints."""
    out, theirs = os.pipe()
    if os.fork() == 0:
        os.close(gate[1])
        os.read(gate[0], 1)
        os.write(theirs, ask(options, words).encode())
        os._exit(0)
    os.close(theirs)
    return out


def together(options, requests):
    gate = os.pipe()
    outs = [start(options, words, gate) for words in requests]
    os.close(gate[1])
    for out in outs:
        with open(out, encoding="ascii") as text:
            print(text.read(), end="")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fsuid", type=int)
    parser.add_argument("--to", type=int, default=0)
    parser.add_argument("--lines", action="store_true")
    parser.add_argument("--together", action="store_true")
    parser.add_argument("--microseconds", action="store_true")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    if options.fsuid is not None:
        ctypes.CDLL(None).setfsuid(options.fsuid)
    requests = [line.rstrip("\n").split("\t") for line in sys.stdin] if options.lines else [options.words]
    if options.together:
        together(options, requests)
        return
    for words in requests:
        print(ask(options, words), end="", flush=True)


main()
