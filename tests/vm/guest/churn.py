#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""churn.py check|run JOURNAL

run changes the keys of nvme-keyd for ever: it adds, rotates and removes, and writes into JOURNAL, which has to outlive a
power cut, what it is going to do and, as soon as the call has returned, that it is done.
check compares the daemon's keys and those of a second reader of the store with JOURNAL: what was done has to be there, what
was not may be.
"""

import base64
import json
import os
import random
import subprocess
import sys
import zlib

from varlink import Connection

SOCKET = "/run/nvme-keyd/org.nvmekeyd.Manager"
STORE = "/var/lib/nvme-keyd"
MANAGER = "org.nvmekeyd.Manager."
FEWEST, MOST = 4, 12


class Journal:
    """keys: NQN -> (id, psk) of what was done. pending: the change that was begun last, unless it was done."""

    def __init__(self, path):
        self.keys, self.pending = {}, None
        self.count = 0
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with open(path, encoding="ascii") as lines:
            for line in lines:
                self.apply(json.loads(line))

    def apply(self, entry):
        if entry["what"] != "done":
            self.pending = entry
            return
        self.pending = None
        self.count += 1
        if entry["id"] is None:
            self.keys.pop(entry["nqn"], None)
        else:
            self.keys[entry["nqn"]] = entry["id"], entry["psk"]

    def write(self, **entry):
        os.write(self.fd, json.dumps(entry).encode() + b"\n")
        self.apply(entry)


def ask(connection, method, **parameters):
    reply = connection.ask(MANAGER + method, parameters)
    if reply is None or "error" in reply:
        sys.exit(f"{method}: {reply}")
    return reply["parameters"]


def new_psk():
    return os.urandom(32).hex()


def interchange(psk):
    raw = bytes.fromhex(psk)
    return "NVMeTLSkey-1:01:" + base64.b64encode(raw + zlib.crc32(raw).to_bytes(4, "little")).decode() + ":"


def change(connection, journal):
    """One change of a key, so that their number stays within bounds."""
    n, kind = len(journal.keys), random.choices(("rotate", "add", "remove"), (6, 2, 2))[0]
    if n < FEWEST:
        kind = "add"
    elif n >= MOST and kind == "add":
        kind = "remove"

    nqn = f"nqn.2026-11.org.example:churn-{journal.count}-" if kind == "add" else random.choice(list(journal.keys))
    psk = None if kind == "remove" else new_psk()
    journal.write(what=kind, nqn=nqn, psk=psk)
    if kind == "add":
        key = ask(connection, "Add", subsystemNQN=nqn, psk=interchange(psk))["key"]["id"]
    elif kind == "rotate":
        key = ask(connection, "Rotate", id=journal.keys[nqn][0], psk=interchange(psk), force=True)["key"]["id"]
    else:
        ask(connection, "Remove", id=journal.keys[nqn][0])
        key = None
    journal.write(what="done", nqn=nqn, id=key, psk=psk)


def listed(connection):
    """NQN -> id of the active keys. Removes successors that did not become active, because the power
    was lost between the two commits of a rotation."""
    active, pending = {}, []
    connection.call(MANAGER + "List", {}, more=True)
    while True:
        reply = connection.reply()
        if reply is None or "error" in reply:
            sys.exit(f"List: {reply}")
        key = reply["parameters"].get("key")
        if key and key["state"] == "pending":
            pending.append(key["id"])
        elif key and key["state"] not in ("active", "retiring"):
            sys.exit(f"a key that is {key['state']}: {key}")
        if key and key["state"] == "active":
            if key["subsystemNQN"] in active:
                sys.exit(f"two active keys of {key['subsystemNQN']}")
            active[key["subsystemNQN"]] = key["id"]
        if not reply.get("continues"):
            for key in pending:
                ask(connection, "Remove", id=key)
            return active


def secrets():
    """ID -> secret in hex, as the second reader sees the store."""
    reader = subprocess.run([sys.executable, "/opt/vm/read-store.py", "--show-secrets", STORE],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if reader.returncode != 0:
        sys.exit(f"read-store.py: {reader.stderr.decode()}{reader.stdout.decode()}")
    return {r["id"]: r["secret"] for r in map(json.loads, reader.stdout.decode().splitlines())}


def check(connection, journal):
    active = listed(connection)
    # The first key makes the store.
    secret = secrets() if os.path.exists(STORE + "/store") else {}
    pending = journal.pending or {"nqn": None}

    for nqn in sorted(journal.keys.keys() | active.keys()):
        is_id, (was_id, was_psk) = active.get(nqn), journal.keys.get(nqn, (None, None))
        psk = was_psk
        if is_id != was_id:
            # The change that was cut off may have been committed.
            removed = is_id is None
            if pending["nqn"] != nqn or removed != (pending["what"] == "remove"):
                sys.exit(f"{nqn} has the key {is_id} in place of {was_id}")
            psk = pending["psk"]
        if is_id and psk not in secret.get(is_id, ""):
            sys.exit(f"{nqn}: the secret of {is_id} is another one")
    if pending["nqn"]:
        nqn, was = pending["nqn"], journal.keys.get(pending["nqn"], (None, None))
        happened = active.get(nqn) != was[0]
        journal.write(what="done", nqn=nqn, id=active.get(nqn), psk=pending["psk"] if happened else was[1])
        print(f"the last change, {pending['what']}, {'was' if happened else 'was not'} committed")

    status = ask(connection, "Status")
    if status["published"] != status["identities"]:
        sys.exit(f"not all is published: {status}")
    print(f"{len(active)} keys after {journal.count} changes, opened by {status['store'].get('slot')}")


def main():
    journal = Journal(sys.argv[2])
    with Connection(SOCKET, timeout=60) as connection:
        if sys.argv[1] == "check":
            check(connection, journal)
        else:
            while True:
                change(connection, journal)


main()
