# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: stalled.py CASE DIRECTORY KEYD KEYCTL CONFIGURATION

Starts the daemon and stalls what it sends to. CASE is "journal": the journal, "manager": the service
manager, "pipe" or "socket": standard error. With "count" nothing is stalled, and datagrams are counted.
Prints "ok TEXT" or "not ok TEXT" for each result. To be run in a mount namespace of its own.
"""

import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time

from varlink import Connection

case, directory, keyd, keyctl, conf = sys.argv[1:]
CALLS = 100
MANAGER = "org.nvmekeyd.Manager"


def result(good, text):
    print(("ok " if good else "not ok ") + f"{case}: {text}", flush=True)


def listen(kind, path):
    s = socket.socket(socket.AF_UNIX, kind)
    s.bind(path)
    if kind != socket.SOCK_DGRAM:
        s.listen(200)
    return s


def fill(path):
    """Fills the queue, by several sockets because each may send only so much."""
    sent = True
    while sent:
        sent = False
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.setblocking(False)
            try:
                while True:
                    s.sendto(b"MESSAGE=filler\n", path)
                    sent = True
            except BlockingIOError:
                pass


def drain(s):
    """All datagrams that are there."""
    out = []
    try:
        while True:
            out.append(s.recv(65536, socket.MSG_DONTWAIT).decode())
    except BlockingIOError:
        return out


def drain_until(s, text, seconds=30):
    """Datagrams up to one that has this text; the last one has it, or the time is over."""
    out, end = [], time.monotonic() + seconds
    while time.monotonic() < end and not any(text in d for d in out):
        time.sleep(0.05)
        out += drain(s)
    return out


def stderr_of_case():
    """Our end and that of the daemon; a stream of the journal for all but "pipe" and "socket"."""
    if case == "pipe":
        ours, theirs = os.pipe()
        os.set_blocking(theirs, False)
        try:
            while True:
                os.write(theirs, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(theirs, True)
        return ours, theirs
    a, b = socket.socketpair()
    if case == "socket":
        b.setblocking(False)
        try:
            while True:
                b.send(b"x" * 1024)
        except BlockingIOError:
            b.setblocking(True)
    return a.detach(), b.detach()


def start(sockets):
    ours, theirs = stderr_of_case()
    st = os.fstat(theirs)
    child = os.fork()
    if child > 0:
        os.close(theirs)
        return child, ours
    for i, s in enumerate(sockets):
        os.dup2(s.fileno(), 60 + i)
    for i in range(len(sockets)):
        os.dup2(60 + i, 3 + i)
    os.dup2(theirs, 2)
    os.closerange(3 + len(sockets), 256)
    environment = dict(
        os.environ,
        LISTEN_FDS="2",
        LISTEN_FDNAMES="varlink:request",
        LISTEN_PID=str(os.getpid()),
        NOTIFY_SOCKET=f"{directory}/notify",
        STATE_DIRECTORY=f"{directory}/state",
        WATCHDOG_USEC="200000",
    )
    if case not in ("pipe", "socket"):
        environment["JOURNAL_STREAM"] = f"{st.st_dev}:{st.st_ino}"
    os.execve(keyd, [keyd, "-c", conf], environment)


def request(n):
    """A packet as the shim sends it, for an unknown key; the daemon logs a line for it."""
    text = f"nvme-tls-psk:nqn.2026-11.org.example:host nqn.2026-11.org.example:none{n}"
    return struct.pack("=I32s", 0x324D564E, b"user") + text.encode()


def ask_kernel_requests(count):
    """Returns the number of requests that are answered, each within its deadline of 8 s."""
    for n in range(count):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(8)
            try:
                s.connect(f"{directory}/request")
                s.send(request(n))
                if len(s.recv(4096)) < 16:
                    return n
            except (TimeoutError, OSError):
                return n
    return count


def ask_calls(count):
    """Returns the number of calls that are answered. A connection for each makes it an activity."""
    for n in range(count):
        try:
            with Connection(f"{directory}/varlink", 8) as c:
                if "parameters" not in c.ask("org.varlink.service.GetInfo"):
                    return n
        except (TimeoutError, OSError):
            return n
    return count


def add_and_remove(count):
    """Calls that change the text of the status, and are logged."""
    try:
        with Connection(f"{directory}/varlink", 8) as c:
            for n in range(count):
                key = c.ask(f"{MANAGER}.Generate", {"subsystemNQN": f"nqn.2026-11.org.example:{n}",
                                                    "hostNQN": "nqn.2026-11.org.example:host"})
                c.ask(f"{MANAGER}.Remove", {"id": key["parameters"]["key"]["id"]})
        return count
    except (TimeoutError, OSError, TypeError, KeyError):
        return -1


def status():
    try:
        out = subprocess.run([keyctl, f"--socket={directory}/varlink", "status", "--json=short"],
                             stdout=subprocess.PIPE, timeout=10, check=False).stdout
        return json.loads(out)
    except (subprocess.TimeoutExpired, ValueError):
        return {}


def status_text():
    try:
        return subprocess.run([keyctl, f"--socket={directory}/varlink", "status"],
                              stdout=subprocess.PIPE, timeout=10, check=False).stdout.decode()
    except subprocess.TimeoutExpired:
        return ""


def stalled_journal(journal, notify):
    fill("/run/systemd/journal/socket")
    result(ask_kernel_requests(CALLS) == CALLS, f"{CALLS} requests are answered")
    result(add_and_remove(5) == 5, "changes are made and answered")
    dropped = status().get("droppedMessages", 0)
    result(dropped >= CALLS, f"status counts what was dropped: {dropped}")
    result("lines lost" in status_text(), "and the text of status says so")
    lines = drain_until(journal, "lines were dropped")
    told = [line for line in lines if "lines were dropped" in line]
    result(len(told) == 1 and f"MESSAGE={dropped} log lines were dropped" in told[0],
           "when the journal reads again, one line says how many")
    ask_kernel_requests(1)
    result(any("not here" in line for line in drain_until(journal, "not here")),
           "and lines come again")
    result(status().get("droppedMessages", 0) == dropped, "and the count stays")
    drain(notify)


def stalled_manager(journal, notify):
    # It is stalled before the daemon says that it is ready.
    result(ask_kernel_requests(CALLS) == CALLS, f"{CALLS} requests are answered")
    result(ask_calls(CALLS) == CALLS, f"{CALLS} calls are answered")
    told = drain_until(notify, "READY=1")
    result(any("READY=1" in d for d in told), "READY=1 comes when it reads again")
    result(any("STATUS=" in d for d in told + drain_until(notify, "STATUS=")), "STATUS= as well")
    result(any("WATCHDOG=1" in d for d in drain_until(notify, "WATCHDOG=1")), "and WATCHDOG=1")
    fill(f"{directory}/notify")
    os.kill(daemon, signal.SIGHUP)
    result(ask_calls(CALLS) == CALLS, "calls are answered while it reloads")
    told = "\n".join(drain_until(notify, "READY=1"))
    begun, ended = told.find("RELOADING=1\nMONOTONIC_USEC="), told.find("READY=1")
    result(0 <= begun < ended, "RELOADING=1 and READY=1 come when it reads again, in that order")
    drain(journal)


def stalled_stderr(_journal, _notify):
    result(ask_kernel_requests(CALLS) == CALLS, f"{CALLS} requests are answered")
    result(ask_calls(CALLS) == CALLS, f"{CALLS} calls are answered")
    result(status().get("droppedMessages", 0) > 0, "status counts what was dropped")
    text, end = b"", time.monotonic() + 30
    os.set_blocking(stderr, False)
    while b"lines were dropped" not in text and time.monotonic() < end:
        try:
            text += os.read(stderr, 1 << 20)
        except BlockingIOError:
            time.sleep(0.05)
    lines = text.lstrip(b"x").decode().splitlines()
    result(any("log lines were dropped" in line for line in lines), "one line says how many")
    result(all(line.startswith("nvme-keyd: ") for line in lines), "no line is torn")


def count_datagrams(_journal, notify):
    n, told = 2000, []
    with Connection(f"{directory}/varlink", 60) as c:
        for i in range(n):
            c.ask("org.varlink.service.GetInfo")
            if i % 5 == 0:
                told += drain(notify)
    told = [d for d in told + drain(notify) if "WATCHDOG=1" not in d]
    result(len(told) <= 10, f"{n} calls make few datagrams: {len(told)}")
    result(sum("STATUS=" in d for d in told) <= 2, "STATUS= comes only when its text changes")


if ctypes.CDLL(None).mount(b"tmpfs", b"/run", b"tmpfs", 0, None) != 0:
    print("mount")
    sys.exit(1)
os.makedirs("/run/systemd/journal")
journal_socket = listen(socket.SOCK_DGRAM, "/run/systemd/journal/socket")
notify_socket = listen(socket.SOCK_DGRAM, f"{directory}/notify")
listening = (listen(socket.SOCK_STREAM, f"{directory}/varlink"),
             listen(socket.SOCK_SEQPACKET, f"{directory}/request"))
if case == "manager":
    fill(f"{directory}/notify")
daemon, stderr = start(listening)
for s in listening:
    s.close()
try:
    {"journal": stalled_journal, "manager": stalled_manager, "pipe": stalled_stderr,
     "socket": stalled_stderr, "count": count_datagrams}[case](journal_socket, notify_socket)
    os.kill(daemon, signal.SIGTERM)
    deadline = time.monotonic() + 20
    ended = (0, 0)
    while ended[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
        ended = os.waitpid(daemon, os.WNOHANG)
    result(ended == (daemon, 0), "it ends with 0")
    if ended[0]:
        daemon = 0
finally:
    if daemon:
        os.kill(daemon, signal.SIGKILL)
        os.waitpid(daemon, 0)
