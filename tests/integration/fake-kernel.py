#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: fake-kernel.py DIRECTORY LOG - resets controllers as the kernel does, in a copy of /sys/class/nvme.

Whoever writes to reset_controller of a controller has it connect again: its state is resetting, then connecting
without a key, then live with the key of its file next_key. Other files of it change that: connecting (seconds that
it takes), fails (it stays connecting), removed (it is deleted). A line of the log is "reset NAME", "live NAME", or
"no path NQN" when a reset leaves no live path of several."""

import pathlib
import shutil
import sys
import time

root, log = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
pending = {}  # controller -> when it is live again


def read(controller, name, otherwise=""):
    try:
        return (root / controller / name).read_text(encoding="ascii").strip()
    except OSError:
        return otherwise


def write(controller, name, text):
    """Readers never see half of it."""
    new = root / controller / "new"
    new.write_text(text + "\n", encoding="ascii")
    new.rename(root / controller / name)


def note(text):
    with log.open("a", encoding="ascii") as f:
        f.write(text + "\n")


def check_paths(nqn):
    states = [read(c.name, "state") for c in root.iterdir() if read(c.name, "subsysnqn") == nqn]
    if len(states) > 1 and "live" not in states:
        note(f"no path {nqn}")


def start(controller):
    write(controller, "reset_controller", "")
    note(f"reset {controller}")
    write(controller, "state", "resetting")
    check_paths(read(controller, "subsysnqn"))
    write(controller, "state", "connecting")
    write(controller, "tls_key", "")
    pending[controller] = time.monotonic() + float(read(controller, "connecting", "0.1"))


def end(controller):
    if (root / controller / "fails").exists():
        return
    if (root / controller / "removed").exists():
        shutil.rmtree(root / controller)
        return
    write(controller, "tls_key", read(controller, "next_key"))
    write(controller, "state", "live")
    note(f"live {controller}")


def step():
    for controller in sorted(c.name for c in root.iterdir()):
        if read(controller, "reset_controller") == "1":
            start(controller)
    for controller in [c for c, when in pending.items() if when <= time.monotonic()]:
        del pending[controller]
        end(controller)


while True:
    try:
        step()
    except FileNotFoundError:
        pass  # the test has removed a controller
    time.sleep(0.01)
