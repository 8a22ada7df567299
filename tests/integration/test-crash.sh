#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The daemon is killed at random instants of a stream of changes. Afterwards every change that was
# confirmed is there, the one under way is there or not, and the ring holds what the store says.
. "$(dirname "$0")/lib.sh"

readonly kills=${KEYD_TEST_KILLS:-50}
# A seed makes a run that failed begin the same way.
readonly seed=${KEYD_TEST_SEED:-$RANDOM}
diag "KEYD_TEST_SEED=$seed"

printf '[Manager]\nRetireSec=100ms\n[Keyring]\nStandIn=yes\n' >"$conf"
# The group lets the daemon know the keys of the one that died.
printf '%s\n' "STATE_DIRECTORY=$state" "NVME_KEYD_LOG_LEVEL=warning" "PATH=$PATH" GID=12345 >"$tmp/environment"
python3 "$source/tests/integration/activator.py" "$tmp" "$build/nvme-keyd" -c "$conf" >"$tmp/events" &
defer "kill $! && wait $! 2>/dev/null"
wait_for 60 grep -qs ready "$tmp/events" || bail "activator.py"

cat >"$tmp/crash.py" <<'PY'
import os
import random
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, sys.argv[1])
from varlink import Connection

directory, kills = sys.argv[2], int(sys.argv[3])
chance = random.Random(int(sys.argv[4]))
MANAGER = "org.nvmekeyd.Manager."
KEYS_MAX = 12


class Killed(Exception):
    pass


def check(text, good, *details):
    print("ok" if good else "not ok", text)
    for detail in () if good else details:
        print(detail)
    sys.stdout.flush()


def ask(c, method, **parameters):
    try:
        reply = c.ask(MANAGER + method, parameters)
    except OSError as e:
        raise Killed from e
    if reply is None:
        raise Killed
    if "error" in reply:
        raise ValueError(reply)
    return reply["parameters"]


def list_keys(c):
    c.call(MANAGER + "List", more=True)
    keys = []
    while True:
        reply = c.reply()
        if reply is None:
            raise Killed
        if "error" in reply:
            raise ValueError(reply)
        keys += [reply["parameters"]["key"]] if "key" in reply["parameters"] else []
        if not reply.get("continues"):
            return keys


def main_pid():
    """Of the daemon that was started last, or None when that has ended."""
    with open(f"{directory}/events", encoding="utf-8") as lines:
        events = [line.split() for line in lines if " start " in line or " exit " in line]
    return int(events[-1][2]) if events and events[-1][1] == "start" else None


class Changes:
    """The confirmed changes: names of subsystems and the id of their active key."""

    def __init__(self):
        self.active, self.gone, self.pending = {}, set(), None
        self.n = self.confirmed = 0

    def one(self, c):
        what = chance.choice(("add", "rotate", "rotate", "remove"))
        if not self.active or (what == "add" and len(self.active) < KEYS_MAX):
            self.n += 1
            name = f"nqn.2026-11.org.example:{self.n:05d}"
            self.pending = "add", name, None
            role = chance.choice(("host", "target"))
            reply = ask(c, "Generate", subsystemNQN=name, hostNQN="nqn.host", role=role)
            self.active[name] = reply["key"]["id"]
        else:
            name = chance.choice(sorted(self.active))
            key = self.active[name]
            self.pending = what, name, key
            if what == "remove":
                ask(c, "Remove", id=key)
                del self.active[name]
                self.gone.add(key)
            else:
                self.active[name] = ask(c, "Rotate", id=key, force=True)["key"]["id"]
        self.pending = None
        self.confirmed += 1

    def is_half_rotated(self, key):
        """The daemon died between the two commits of a rotation on a host, and the old key is active."""
        return key["state"] == "pending" and key["role"] == "host" and key["succeeds"] in self.active.values()

    def settle(self, keys):
        """Takes over whatever became of the change under way. Returns what is wrong."""
        wrong = []
        found = {}
        for key in keys:
            if key["state"] == "active":
                if key["subsystemNQN"] in found:
                    wrong.append(f"two active keys: {key}")
                found[key["subsystemNQN"]] = key["id"]
            elif key["state"] != "retiring" and not self.is_half_rotated(key):
                wrong.append(f"in state {key['state']}: {key}")
            if key["id"] in self.gone:
                wrong.append(f"removed, and back: {key}")
        what, name, _ = self.pending or (None, None, None)
        if what in ("add", "remove"):
            self.active.pop(name, None)
            if name in found:
                self.active[name] = found[name]
        elif what == "rotate" and name in found:
            self.active[name] = found[name]
        self.pending = None
        for name in self.active.keys() | found.keys():
            if self.active.get(name) != found.get(name):
                wrong.append(f"{name}: {self.active.get(name)} was confirmed, {found.get(name)} is there")
        return wrong


def ring():
    serial = subprocess.run(["keyctl", "search", "@u", "keyring", "nvme-keyd-stand-in"],
                            capture_output=True, text=True, check=True).stdout.strip()
    keys = subprocess.run(["keyctl", "rlist", serial], capture_output=True, text=True, check=True).stdout.split()
    names = (subprocess.run(["keyctl", "rdescribe", k], capture_output=True, text=True, check=False).stdout for k in keys)
    return sorted(n.strip().split(";", 4)[4] for n in names if n)


def verify(changes):
    """Returns what is wrong after a restart."""
    with Connection(f"{directory}/varlink", timeout=60) as c:
        keys = list_keys(c)
        wrong = changes.settle(keys)
        time.sleep(0.15)
        done = ask(c, "Sync")
        keys = list_keys(c)
        # A host keeps its old keys until the new ones have worked, which none does here.
        wrong += [f"still retiring: {k}" for k in keys if k["state"] == "retiring" and k["role"] != "host"]
        for k in keys:
            if k["state"] == "pending":
                ask(c, "Remove", id=k["id"])
        wanted = sorted(i["identity"] for k in keys if k["state"] == "active" for i in k["identities"])
        status = ask(c, "Status")
    if done["added"] or done["failed"] or done["kept"] < len(wanted):
        wrong.append(f"the start left work: {done}")
    if status["broken"] or status["published"] != len(wanted):
        wrong.append(f"status: {status}")
    if ring() != wanted:
        wrong += [f"in the ring only: {i}" for i in ring() if i not in wanted]
        wrong += [f"in the store only: {i}" for i in wanted if i not in ring()]
    return wrong


def span(changes):
    """How long a life may be, in seconds: long enough for some changes, however slow the machine is."""
    with Connection(f"{directory}/varlink", timeout=60) as c:
        ask(c, "Status")
        begin = time.monotonic()
        for _ in range(5):
            changes.one(c)
        return max(0.25, (time.monotonic() - begin) / 5 * 4)


def crash(changes, longest):
    """One life of the daemon. Returns what kind of change it died in."""
    try:
        with Connection(f"{directory}/varlink", timeout=60) as c:
            ask(c, "Status")
            while not (pid := main_pid()):
                time.sleep(0.001)
            killer = threading.Timer(chance.uniform(0, longest), os.kill, (pid, signal.SIGKILL))
            killer.start()
            try:
                while True:
                    changes.one(c)
            finally:
                killer.join()
    except Killed:
        pass
    while main_pid() == pid:
        time.sleep(0.005)
    return changes.pending[0] if changes.pending else None


def crash_at_start():
    """Kills it while it opens the store or publishes."""
    with Connection(f"{directory}/varlink"):
        while not (pid := main_pid()):
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.08))
        os.kill(pid, signal.SIGKILL)
    while main_pid() == pid:
        time.sleep(0.005)


changes, died_in, bad = Changes(), {}, 0
longest = span(changes)
for i in range(kills):
    what = crash(changes, longest)
    died_in[what] = died_in.get(what, 0) + 1
    if i % 5 == 4:
        crash_at_start()
    wrong = verify(changes)
    if wrong:
        bad += 1
        check(f"crash {i + 1}, during {what}", False, *wrong)
check(f"{kills} crashes: nothing is lost, and the ring is as the store", bad == 0)
check("crashes came during changes", sum(n for what, n in died_in.items() if what) >= kills // 2, died_in)
check("changes were confirmed between them", changes.confirmed >= kills // 2, changes.confirmed)
print(f"{changes.confirmed} changes confirmed; lives of {longest:.2f} s at most; died in {died_in}")
PY
relay python3 "$tmp/crash.py" "$source/tests/integration" "$tmp" "$kills" "$seed"
is "the test came to its end" "$tap_results" 3
is "nothing half-written is left" "$(find "$state" -name '*.new')" ""
# LeakSanitizer prints the second text if the daemon is killed while it looks for leaks.
is "the daemon logged no error" "$(grep -v -e 'not in the keyring' -e 'Unable to get registers' "$tmp/log" 2>/dev/null)" ""

finish
