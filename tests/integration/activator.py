# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: activator.py DIRECTORY PROGRAM ARGUMENT...

Takes the part of the service manager: holds DIRECTORY/varlink and DIRECTORY/request, starts PROGRAM
with them when a client connects, again after each exit, and listens to its notifications.
Events go to standard output: "start PID", "notify PID TEXT", "exit PID STATUS", each with the time in
seconds before it. The environment of PROGRAM is what is in DIRECTORY/environment; GID there is the
group it runs with.
"""

import os
import select
import signal
import socket
import sys
import time

directory, command = sys.argv[1], sys.argv[2:]
names = os.environ.get("ACTIVATOR_NAMES", "varlink:request")


def listen(kind, name):
    s = socket.socket(socket.AF_UNIX, kind)
    s.bind(f"{directory}/{name}")
    if kind != socket.SOCK_DGRAM:
        s.listen(1024)
    return s


def event(*texts):
    """One write, so that a reader sees all of them or none."""
    os.write(1, "".join(f"{time.monotonic():.3f} {text}\n" for text in texts).encode())


def start(sockets):
    child = os.fork()
    if child > 0:
        event(f"start {child}")
        return child
    with open(f"{directory}/environment", encoding="ascii") as lines:
        environment = dict(line.rstrip("\n").split("=", 1) for line in lines)
    # Out of the way first, since 3 and 4 may be taken.
    fds = [os.dup(os.dup2(s.fileno(), 50 + i)) for i, s in enumerate(sockets)]
    for i, fd in enumerate(fds):
        os.dup2(fd, 3 + i, inheritable=True)
    os.dup2(os.open(f"{directory}/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT), 2)
    os.closerange(3 + len(fds), 256)
    os.setgid(int(environment.pop("GID", os.getgid())))
    environment.update(LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names, LISTEN_PID=str(os.getpid()),
                       NOTIFY_SOCKET=f"{directory}/notify")
    os.execve(command[0], command, environment)


def hear(notify, child):
    """Reads all notifications up to now."""
    try:
        while True:
            lines = notify.recv(4096, socket.MSG_DONTWAIT).decode().split("\n")
            event(*(f"notify {child} {line}" for line in lines))
    except BlockingIOError:
        pass


def main():
    sockets = listen(socket.SOCK_STREAM, "varlink"), listen(socket.SOCK_SEQPACKET, "request")
    notify = listen(socket.SOCK_DGRAM, "notify")
    child = None

    def stop(*_):
        if child:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
        sys.exit()

    signal.signal(signal.SIGTERM, stop)
    event("ready")
    while True:
        ready = select.select([notify] if child else [notify, *sockets], [], [], 0.02)[0]
        pid, status = os.waitpid(child, os.WNOHANG) if child else (0, 0)
        # Its last words come before its end.
        hear(notify, child)
        if pid:
            event(f"exit {pid} {os.waitstatus_to_exitcode(status)}")
            child = None
        elif any(s in ready for s in sockets):
            child = start(sockets)


main()
