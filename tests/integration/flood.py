# SPDX-License-Identifier: LGPL-2.1-or-later
"""Members of the group flood the service, and others measure the effect. For test-flood.sh, which
gives the sockets, the process id of the daemon, the group, and what to do; prints "ok" or "not ok" lines.

    flood.py VARLINK REQUEST PID GROUP order|memory|listing|lockout|refused|measure
"""

import contextlib
import json
import os
import signal
import socket
import sys
import time

varlink, request, pid, group, what = sys.argv[1:]
pid, group = int(pid), int(group)
MANAGER = "org.nvmekeyd.Manager"
MEMBER = 70000
DESCRIPTION = "org.varlink.service.GetInterfaceDescription"
CROWD = 60
CALLS = 64
ENDS = 120  # seconds, after which something hangs


def check(text, good, *details):
    print("ok" if good else "not ok", text, flush=True)
    if not good:
        print(*details, flush=True)


def connect(path, uid=0, kind=socket.SOCK_STREAM):
    """The kernel records the uid of a peer when it connects."""
    s = socket.socket(socket.AF_UNIX, kind)
    s.settimeout(ENDS)
    if uid:
        os.setegid(group)
        os.seteuid(uid)
    try:
        s.connect(path)
    finally:
        os.seteuid(0)
        os.setegid(0)
    return s


def call(method, more=False, **parameters):
    message = {"method": method if "." in method else f"{MANAGER}.{method}", "parameters": parameters}
    if more:
        message["more"] = True
    return json.dumps(message).encode() + b"\0"


def read_reply(s):
    """One reply, where nothing follows it; None at the end."""
    data = b""
    while not data.endswith(b"\0"):
        try:
            piece = s.recv(65536)
        except ConnectionResetError:
            piece = b""
        if not piece:
            return None
        data += piece
    return json.loads(data[:-1])


def ask(s, method, more=False, **parameters):
    try:
        s.sendall(call(method, more, **parameters))
    except BrokenPipeError:
        return None
    return read_reply(s)


def crowd(n=CROWD, uid=MEMBER):
    """Connections that the daemon knows."""
    sockets = [connect(varlink, uid) for _ in range(n)]
    for s in sockets:
        assert "parameters" in ask(s, "org.varlink.service.GetInfo")
    return sockets


def close_all(sockets):
    for s in sockets:
        s.close()


def packet():
    """Asks for the keys of a pair that has none."""
    return b"NVM2" + b"user".ljust(32, b"\0") + b"nvme-tls-psk:nqn.host:none nqn.x:none"


def request_socket():
    return connect(request, 0, socket.SOCK_SEQPACKET)


def replies_waiting(sockets):
    n = 0
    for s in sockets:
        s.setblocking(False)
        try:
            while data := s.recv(1 << 20):
                n += data.count(b"\0")
        except BlockingIOError:
            pass
        s.settimeout(ENDS)
    return n


def drain(sockets, n):
    """Reads until n replies have come."""
    left = n
    while left > 0:
        got = replies_waiting(sockets)
        left -= got
        if not got:
            time.sleep(0.01)


def behind_the_crowd(begin):
    """How many calls of the crowd are answered before what begin starts is; all its calls come first."""
    sockets = crowd()
    os.kill(pid, signal.SIGSTOP)
    for s in sockets:
        s.sendall(call("Status") * CALLS)
    end = begin()
    os.kill(pid, signal.SIGCONT)
    end()
    os.kill(pid, signal.SIGSTOP)
    n = replies_waiting(sockets)
    os.kill(pid, signal.SIGCONT)
    drain(sockets, CROWD * CALLS - n)
    close_all(sockets)
    return n


def begin_request():
    s = request_socket()
    s.send(packet())

    def end():
        assert s.recv(65536)
        s.close()

    return end


def begin_call():
    s = connect(varlink)
    s.sendall(call("Status"))

    def end():
        assert "parameters" in read_reply(s)
        s.close()

    return end


def begin_other():
    s = connect(varlink, MEMBER + 1)
    s.sendall(call("Status"))

    def end():
        assert "parameters" in read_reply(s)
        s.close()

    return end


def order():
    """This process may lose the processor between an answer and its look, so the best of some."""
    for text, begin in (
        ("a request of the kernel is answered", begin_request),
        ("a new connection of root is answered", begin_call),
        ("another member is answered", begin_other),
    ):
        n = min(behind_the_crowd(begin) for _ in range(4))
        check(f"{text} before a quarter of {CROWD * CALLS} calls of a member", n < CROWD * CALLS // 4, n)


def high_water():
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))


def reset_high_water():
    with open(f"/proc/{pid}/clear_refs", "w") as f:
        f.write("5")


def grown_by(n, messages, uid):
    """KiB that the daemon grows by for n connections that send what it takes of these and read nothing."""
    reset_high_water()
    before = high_water()
    sockets = [connect(varlink, uid) for _ in range(n)]
    for s in sockets:
        s.settimeout(0.1)
        with contextlib.suppress(OSError):
            s.sendall(messages)
    for _ in range(3):
        with connect(varlink) as s:
            ask(s, "Status")
        time.sleep(0.3)
    grown = high_water() - before
    close_all(sockets)
    return grown


def memory():
    listing = call("List", more=True)
    with connect(varlink) as s:
        s.sendall(listing)
        size = 0
        data = b""
        while not data.endswith(b"}\0") or b'"continues":true}' in data[-20:]:
            data = s.recv(1 << 20)
            size += len(data)
    export = "that export the store and read nothing", call("StoreImage", more=True), 8
    for who, uid, more in ("a member's", MEMBER, ()), ("root's", 0, (export,)):
        for text, messages, lists in more + (
            ("that list all keys and read nothing", listing, 8),
            ("that ask for much and read nothing", call(DESCRIPTION, interface=MANAGER) * 500, 8),
            ("that never end a message", b'{"method":"' + b"x" * 8000, 8),
            ("that never end a long message", b'{"method":"' + b"x" * 3000000, 32),
        ):
            grown = grown_by(CROWD, messages, uid)
            print(f"{grown} KiB, a list has {size // 1024}")
            check(f"{CROWD} connections of {who} {text} cost less than {lists} lists", grown < lists * size // 1024)


def replies(s, data=b""):
    """Each reply of a stream, to its end."""
    while True:
        while b"\0" not in data:
            piece = s.recv(65536)
            if not piece:
                return
            data += piece
        text, data = data.split(b"\0", 1)
        yield json.loads(text)


def listing():
    """Keys go, change and come while a member lists them and takes its time."""
    with connect(varlink) as root, connect(varlink, MEMBER) as member:
        root.sendall(call("List", more=True))
        before = []
        for reply in replies(root):
            before.append(reply["parameters"]["key"]["id"])
            if not reply.get("continues"):
                break
        member.sendall(call("List", more=True))
        stream = replies(member)
        seen = [next(stream)]
        gone = set()
        for i in 0, 1, len(before) // 2, len(before) - 2, len(before) - 1:
            assert "parameters" in ask(root, "Remove", id=before[i])
            gone.add(before[i])
        reply = ask(root, "Rotate", id=before[len(before) // 3], force=True)
        check("a key is rotated meanwhile", "key" in reply["parameters"], reply)
        gone.add(before[len(before) // 3])
        ask(root, "Generate", subsystemNQN="nqn.2026-11.org.example:new", hostNQN="nqn.host")
        while seen[-1].get("continues"):
            seen.append(next(stream))
        ids = [r["parameters"]["key"]["id"] for r in seen if "key" in r["parameters"]]
        check("each key is listed once at most", len(ids) == len(set(ids)), len(ids), len(set(ids)))
        check("each that was there all the time is listed", set(before) - gone <= set(ids), set(before) - gone - set(ids))
        reply = ask(member, "Status")
        check("and the connection goes on", "parameters" in reply, reply)


def lockout():
    """Other users hold all connections that there are for them; root gets in, and so does one more user."""
    held = []
    for uid in range(MEMBER, MEMBER + 4):
        held += [connect(varlink, uid) for _ in range(64)]
    with connect(varlink) as s:
        reply = ask(s, "Status")
        check("root gets in beside 256 idle connections of 4 users", reply and "parameters" in reply, reply)
    end = time.monotonic() + ENDS
    reply = None
    while not reply and time.monotonic() < end:
        time.sleep(0.5)
        with connect(varlink, MEMBER + 9) as s:
            reply = ask(s, "Status")
    check("an idle one of theirs gives way to another user", reply and "parameters" in reply, reply)
    close_all(held)


def refused():
    """A refused call leaves a line: some lines a minute, and a count of the others."""
    denied = {"error": "org.varlink.service.PermissionDenied", "parameters": {}}
    with connect(varlink, MEMBER) as s:
        for method in "Add", "Remove":
            reply = ask(s, method, psk="NVMeTLSkey-1:01:secret:", id="x")
            check(f"{method} of a member is refused", reply == denied, reply)
        for _ in range(30):
            ask(s, "Sync")


def measure():
    """For people: how long others wait while one member does what it can."""
    child = os.fork()
    if child == 0:
        sockets = [connect(varlink, MEMBER) for _ in range(CROWD)]
        for s in sockets:
            s.setblocking(False)
        piece = call("Status") * CALLS
        left = [b""] * CROWD
        total, start = 0, time.monotonic()
        while True:
            for i, s in enumerate(sockets):
                try:
                    left[i] = left[i] or piece
                    left[i] = left[i][s.send(left[i]):]
                except BlockingIOError:
                    pass
                try:
                    total += s.recv(1 << 20).count(b"\0")
                except BlockingIOError:
                    pass
            if time.monotonic() - start > 5:
                print("the crowd:", int(total / 5), "replies a second", flush=True)
                total, start = 0, time.monotonic()
    time.sleep(3)
    for text, begin in ("request", begin_request), ("root", begin_call), ("other", begin_other):
        times = []
        for _ in range(5):
            start = time.monotonic()
            begin()()
            times.append(time.monotonic() - start)
        print(f"{text}: at most {max(times):.3f} s of {times}", flush=True)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


{"order": order, "memory": memory, "listing": listing, "lockout": lockout, "refused": refused, "measure": measure}[what]()
