#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The prompt for a PSK on a terminal: nothing is echoed, and the echo is back however it ends.
. "$(dirname "$0")/lib.sh"

cat >"$tmp/prompt.py" <<'PY'
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time

program, psk = sys.argv[1], sys.argv[2]


def echo_is_on(fd):
    return bool(termios.tcgetattr(fd)[3] & termios.ECHO)


def read_until(fd, what, seconds=60):
    text, end = b"", time.monotonic() + seconds
    while what not in text and time.monotonic() < end:
        if select.select([fd], [], [], 0.1)[0]:
            try:
                text += os.read(fd, 4096)
            except OSError:
                break
    return text


def take_terminal():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # A shell's background job ignores it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


COMMAND = [program, "identity", "--hostnqn=nqn.host", "--subsysnqn=nqn.sub"]
# A shell with job control, which takes the program to the foreground again when it was stopped.
SHELL = ["bash", "-mc", '"$@"; echo stopped; fg >/dev/null', "bash"] + COMMAND


def session(answer, command=COMMAND, before=None):
    """Returns all that the terminal showed, the exit status, and whether the echo is back. before is
    typed first, and the question comes again."""
    master, slave = pty.openpty()
    child = subprocess.Popen(
        command,
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        preexec_fn=take_terminal)
    shown = read_until(master, b"): ")
    if before:
        os.write(master, before)
        shown += read_until(master, b"): ")
    end = time.monotonic() + 60
    while echo_is_on(slave) and time.monotonic() < end:
        time.sleep(0.01)
    silent = not echo_is_on(slave)
    os.write(master, answer)
    status = child.wait(60)
    shown += read_until(master, b"\0", 0.3)
    return shown.decode(), status, silent, echo_is_on(slave)


def check(good, text, *details):
    print("ok" if good else "not ok", text)
    for detail in () if good else details:
        print(repr(detail))


shown, status, silent, back = session(psk.encode() + b"\n")
check(shown.startswith("PSK of host nqn.host") and "subsystem nqn.sub (NVMeTLSkey-1:...): " in shown, "asks for the PSK of the pair", shown)
check(silent and psk not in shown, "shows nothing of the answer", shown)
check(status == 0 and "NVMe1R01 nqn.host nqn.sub" in shown, "accepts the answer", status, shown)
check(back, "the echo is back")
shown, status, silent, back = session(b"\x03")
check(status == -2, "an interrupt ends it", status)
check(silent and back, "the echo is back after an interrupt")
for name, command in ("alone", COMMAND), ("in a shell", SHELL):
    shown, status, silent, back = session(psk.encode() + b"\n", command, b"\x1a")
    check(status == 0 and shown.count("PSK of host") == 2 and "NVMe1R01 nqn.host nqn.sub" in shown,
          f"Ctrl-Z, {name}: asks again when it goes on", status, shown)
    check(silent and psk not in shown, f"Ctrl-Z, {name}: shows nothing", shown)
    check(back, f"Ctrl-Z, {name}: the echo is back")
check("stopped" in shown, "Ctrl-Z stops it", shown)
shown, status, silent, back = session(b"nonsense\n")
check(status == 3 and "not a PSK: prefix" in shown, "a wrong answer is refused", status, shown)
PY
relay python3 "$tmp/prompt.py" "$build/nvme-keyctl" "$(psk one)"
finish
