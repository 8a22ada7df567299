#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The service on the wire: it agrees with its interface description, and no message ends it.
. "$(dirname "$0")/lib.sh"

daemon_start
id=$(add one a)
pid=$daemon

cat >"$tmp/checks.py" <<'PY'
import json
import os
import socket
import sys
import time

sys.path.insert(0, sys.argv[1])
from varlink import Connection, Interface

path, key, psk, pid, psk_none, psk_384 = sys.argv[2:]
INVALID = "org.varlink.service.InvalidParameter"
MANAGER = "org.nvmekeyd.Manager"


def check(text, good, *details):
    print("ok" if good else "not ok", text)
    if not good:
        for detail in details:
            print(detail)


def ask(method, parameters=None, **members):
    with Connection(path) as c:
        return c.ask(method, parameters, **members)


def alive():
    try:
        return "parameters" in ask(f"{MANAGER}.Status") and os.path.exists(f"/proc/{pid}")
    except (OSError, TypeError):
        return False


def survives(text, good, *details):
    check(text, good and alive(), *details)


# --- org.varlink.service

info = ask("org.varlink.service.GetInfo")["parameters"]
check("GetInfo: five fields", sorted(info) == ["interfaces", "product", "url", "vendor", "version"], info)
check("GetInfo: interfaces", info["interfaces"] == ["org.varlink.service", MANAGER], info)
check("GetInfo: the texts are not empty", all(info.values()))
interfaces = {}
for name in info["interfaces"]:
    reply = ask("org.varlink.service.GetInterfaceDescription", {"interface": name})
    try:
        interfaces[name] = Interface(reply["parameters"]["description"])
        check(f"{name}: its description parses", interfaces[name].name == name)
    except ValueError as e:
        check(f"{name}: its description parses", False, e)
service, manager = interfaces["org.varlink.service"], interfaces[MANAGER]
check("GetInfo is as described", not service.fits(info, service.methods["GetInfo"][1]))
for what, parameters, error in (
    ("an unknown interface", {"interface": "org.example"}, "org.varlink.service.InterfaceNotFound"),
    ("no interface", {}, INVALID),
    ("a number", {"interface": 7}, INVALID),
):
    reply = ask("org.varlink.service.GetInterfaceDescription", parameters)
    survives(f"GetInterfaceDescription: {what}", reply.get("error") == error, reply)
reply = ask("org.example.Nothing")
survives("an unknown interface", reply.get("error") == "org.varlink.service.InterfaceNotFound", reply)
reply = ask(f"{MANAGER}.Nothing")
survives("an unknown method", reply.get("error") == "org.varlink.service.MethodNotFound", reply)


# --- each method against its description

base = {
    "Add": {"subsystemNQN": "nqn.x:z", "hostNQN": "nqn.host", "psk": psk},
    "Generate": {"subsystemNQN": "nqn.x:z", "hostNQN": "nqn.host"},
    "Rotate": {"id": "0" * 16},
    "Import": {"keys": [], "dryRun": True},
    "Adopt": {"dryRun": True},
    "Schedule": {"id": "0" * 16, "rotateAfterSec": 60},
    "Machine": {"withRequest": True},
    "TrustIssuer": {"certificate": "-----BEGIN CERTIFICATE-----"},
    "DistrustIssuer": {"fingerprint": "0" * 64},
    "ListIssuers": {},
    "TakeEnvelope": {"envelope": "-----BEGIN CMS-----"},
    "ListPairs": {},
    "Activate": {"id": "0" * 16},
    "Revert": {"id": "0" * 16},
    "Retire": {"id": "0" * 16},
    "Revoke": {"id": "0" * 16},
    "Remove": {"id": "0" * 16},
    "Describe": {"id": key},
    "Export": {"id": key},
    "Probe": {"id": key, "address": "127.0.0.1"},
    "AddSlot": {"type": "recovery"},
    "ResealSlot": {"id": "0" * 8},
    "RemoveSlot": {"id": "0" * 8},
    "RemoveCounter": {"index": 0x01800000},
    "Unlock": {"recoveryKey": "0"},
    "StoreImage": {},
    "Backup": {},
    "StageBackup": {"offset": 1, "content": "x"},
    "Restore": {"recoveryKey": "0"},
}


def invalid(reply, name):
    return reply == {"error": INVALID, "parameters": {"parameter": name}}


def as_described(method, reply):
    """Why the reply is not what the description allows, or None."""
    if "error" not in reply:
        return manager.fits(reply["parameters"], manager.methods[method][1])
    interface, _, name = reply["error"].rpartition(".")
    if interface not in interfaces or name not in interfaces[interface].errors:
        return f"no error {reply['error']}"
    return interfaces[interface].fits(reply["parameters"], interfaces[interface].errors[name])


check("no method is left out", set(manager.methods) - {"List", "ListControllers", "ListHosts", "ListSlots", "Monitor", "Sync", "Status"} == set(base), set(manager.methods))
for method, (takes, _) in manager.methods.items():
    name, good = f"{MANAGER}.{method}", base.get(method, {})
    with Connection(path) as c:
        for field, kind in takes.items():
            optional = isinstance(kind, tuple) and kind[0] == "?"
            if not optional:
                without = {k: v for k, v in good.items() if k != field}
                reply = c.ask(name, without, more=True)
                check(f"{method} without {field}", invalid(reply, field), reply)
            wrong = []
            for value in manager.wrong_values(kind):
                reply = c.ask(name, {**good, field: value}, more=True)
                if not invalid(reply, field):
                    wrong.append(f"{value!r}: {reply}")
            check(f"{method} with a wrong {field}", not wrong, *wrong)
        for value in [], "x", 7:
            reply = c.ask(name, value, more=True)
            check(f"{method} with {value!r} as parameters", invalid(reply, "parameters"), reply)
    reply = ask(name, {**good, "extra": 1}, more=True)
    check(f"{method} with an extra parameter", invalid(reply, "extra"), reply)
    if method in ("Add", "Generate") and "key" in reply["parameters"]:
        ask(f"{MANAGER}.Remove", {"id": reply["parameters"]["key"]["id"]})
    check(f"{method}: the daemon lives", alive())

made = ask(f"{MANAGER}.Generate", {**base["Generate"], "returnPSK": True})
check("Generate answers as described", not as_described("Generate", made), as_described("Generate", made))
check("Generate returns the PSK when asked", made["parameters"].get("psk", "").startswith("NVMeTLSkey-1:01:"))
made = made["parameters"]["key"]["id"]
for method in "Rotate", "Activate", "Retire", "Revoke", "Remove":
    reply = ask(f"{MANAGER}.{method}", {"id": made, "at": 1, "in": 1})
    check(f"{method}: at and in exclude each other", invalid(reply, "in"), reply)
reply = ask(f"{MANAGER}.Retire", {"id": made, "in": 3600000000})
left = reply["parameters"]["key"]["deadline"] - time.time() * 1e6
check("Retire in an hour: planned", 3000e6 < left <= 3600e6, reply)
check("Retire in an hour: dropped", "error" not in ask(f"{MANAGER}.Retire", {"id": made, "at": 0}))
for method, parameters in (
    ("Describe", {"id": made}),
    ("Rotate", {"id": made}),
    ("Describe", {"id": made}),
    ("Add", {"subsystemNQN": "nqn.x:z", "hostNQN": "nqn.host", "psk": psk}),
    ("Add", {"subsystemNQN": "nqn.x:zz", "hostNQN": "nqn.host", "psk": psk}),
    ("Add", {"subsystemNQN": "nqn.x:y", "hostNQN": "nqn.host", "psk": "NVMeTLSkey-1:01:x:"}),
    ("Add", {"subsystemNQN": "nqn.x:y\u00e4", "hostNQN": "nqn.host", "psk": psk}),
    ("Add", {"subsystemNQN": "nqn.x:y", "hostNQN": "nqn.host", "psk": psk, "role": None, "comment": "c"}),
    ("Add", {"subsystemNQN": "nqn.x:w", "hostNQN": "nqn.host", "psk": psk_none, "role": "target", "derivation": "compat"}),
    ("Add", {"subsystemNQN": "nqn.x:v", "hostNQN": "nqn.host", "psk": psk_384, "role": "both", "identityVersions": [0]}),
    ("Probe", {"id": key, "address": "127.0.0.1", "port": 4420, "hostAddress": "127.0.0.1", "hostInterface": "lo"}),
    ("Probe", {"id": key}),
    ("Sync", {}),
    ("Status", {}),
    ("Retire", {"id": made}),
    ("Activate", {"id": made}),
    ("Revert", {"id": made}),
    ("Revoke", {"id": made}),
    ("Remove", {"id": made}),
):
    reply = ask(f"{MANAGER}.{method}", parameters)
    why = as_described(method, reply)
    check(f"{method} answers as described: {reply.get('error', 'good').rpartition('.')[2]}", not why, why, reply)

with Connection(path) as c:
    c.call(f"{MANAGER}.List", more=True)
    replies = [c.reply()]
    while replies[-1].get("continues"):
        replies.append(c.reply())
    why = [as_described("List", r) for r in replies]
    check("List: one reply for each key", len(replies) == 5 and not any(why), len(replies), *why)
    # test-controllers.sh has more of them.
    c.call(f"{MANAGER}.ListControllers", more=True)
    reply = c.reply()
    check("ListControllers: none", reply == {"parameters": {}} and not as_described("ListControllers", reply), reply)
    c.call(f"{MANAGER}.ListHosts", more=True)
    reply = c.reply()
    check("ListHosts: not known", reply["error"] == f"{MANAGER}.HostsUnknown" and not as_described("ListHosts", reply), reply)
    c.call(f"{MANAGER}.StoreImage", {"subsystemNQNs": None}, more=True)
    replies = [c.reply()]
    while replies[-1].get("continues"):
        replies.append(c.reply())
    why = [as_described("StoreImage", r) for r in replies]
    text = "".join(r["parameters"].get("content", "") for r in replies)
    check("StoreImage: the text in pieces", text.startswith('{"format":') and text.count("\n") == 3 + 5 and not any(why), text, *why)
    check("StoreImage: the last one counts", replies[-1]["parameters"] == {"keys": 5, "broken": 0}, replies[-1])
    reply = c.ask(f"{MANAGER}.Monitor")
    check("Monitor without more", reply["error"] == "org.varlink.service.ExpectedMore", reply)
with Connection(path) as c:
    c.call(f"{MANAGER}.Monitor", more=True)
    first = c.reply()
    check("Monitor: a first reply without an event", first == {"parameters": {}, "continues": True}, first)
    ask(f"{MANAGER}.Generate", {"subsystemNQN": "nqn.x:monitored", "hostNQN": "nqn.host"})
    event = c.reply()
    check("Monitor: an event as described", event["parameters"]["event"]["kind"] == "published" and not as_described("Monitor", event), event)
with Connection(path) as c:
    reply = c.ask(f"{MANAGER}.StoreImage")
    check("StoreImage without more", reply["error"] == "org.varlink.service.ExpectedMore", reply)
    for method in "ListControllers", "ListHosts":
        reply = c.ask(f"{MANAGER}.{method}")
        check(f"{method} without more", reply["error"] == "org.varlink.service.ExpectedMore", reply)
    reply = c.ask(f"{MANAGER}.List")
    check("List without more", reply["error"] == "org.varlink.service.ExpectedMore", reply)
    c.call(f"{MANAGER}.Status", oneway=True)
    reply = c.ask(f"{MANAGER}.Describe", {"id": key})
    check("oneway gets no answer", "key" in reply["parameters"], reply)
    for _ in range(200):
        c.call(f"{MANAGER}.Describe", {"id": key})
    check("200 calls at once", all(c.reply()["parameters"]["key"]["id"] == key for _ in range(200)))


# --- messages that are no calls

def closes(data, text):
    with Connection(path) as c:
        c.send(data)
        answers = []
        while (reply := c.reply()) is not None:
            answers.append(reply)
        survives(text, all(invalid(a, "") for a in answers), answers)


closes(b"\0", "an empty message")
closes(b"garbage\0", "garbage")
closes(bytes(range(1, 256)) + b"\0", "every byte")
closes(b"[]\0", "an array")
closes(b'{"method":"org.varlink.service.GetInfo"}{}\0', "something after the object")
closes(b'{"method":"\xff\xfe"}\0', "no UTF-8")
closes(b"[" * 60000 + b"\0", "deeply nested arrays")
closes(b'{"parameters":' * 4000 + b"\0", "deeply nested objects")
with Connection(path) as c:
    try:
        c.send(b"x" * (1 << 20) + b"\0")
        reply = c.reply()
    except (BrokenPipeError, ConnectionResetError):
        reply = None
    survives("a message of 1 MB", reply is None or invalid(reply, ""), reply)
with Connection(path) as c:
    big = {"subsystemNQN": "nqn.x:y", "hostNQN": "nqn.host", "psk": psk, "comment": "x" * 60000}
    reply = c.ask(f"{MANAGER}.Add", big)
    survives("a message just below the limit", invalid(reply, "comment"), reply)
for size in 1, 20, 40:
    with Connection(path) as c:
        c.send(b'{"method":"org.nvmekeyd.Manager.Status"}'[:size])
    survives(f"{size} bytes of a message, then the end", True)
with Connection(path) as c:
    c.send(b'{"method":"org.varlink.service.GetInfo"}\0' * 3 + b"{")
    c.socket.shutdown(socket.SHUT_WR)
    answers = []
    while (reply := c.reply()) is not None:
        answers.append(reply)
    survives("calls before half a one are answered", len(answers) == 3, answers)
with Connection(path) as c:
    c.call(f"{MANAGER}.List", more=True)
survives("a caller that does not wait for its answer", True)
with Connection(path) as slow:
    slow.send(b'{"method":')
    survives("a call that never ends delays no other", True)
    for byte in b'"org.varlink.service.GetInfo"}\0':
        slow.send(bytes([byte]))
    check("byte by byte", "interfaces" in slow.reply()["parameters"])

crowd = []
try:
    for _ in range(400):
        crowd.append(Connection(path))
except OSError:
    pass
for c in crowd:
    c.close()
# Until it has seen that they are closed, it refuses another connection.
end = time.monotonic() + 60
while not (lives := alive()) and time.monotonic() < end:
    time.sleep(0.1)
check("400 connections at once, and the daemon lives", len(crowd) > 200 and lives, len(crowd))
PY
relay python3 "$tmp/checks.py" "$source/tests/integration" "$varlink" "$id" "$(psk two)" "$pid" "$(psk none 0)" "$(psk long 2)"
check "all checks were made" test "$tap_results" -gt 100

# --- a user who is not root

cat >"$tmp/nobody.py" <<'PY'
import sys

from varlink import Connection

with Connection(sys.argv[1]) as c:
    for method in sys.argv[2:]:
        reply = c.ask(method, {"id": "0" * 16}, more=True)
        good = reply == {"error": "org.varlink.service.PermissionDenied", "parameters": {}}
        print("ok" if good else "not ok", f"uid 65534: {method}")
PY
cp "$source/tests/integration/varlink.py" "$tmp"
chmod 644 "$tmp/nobody.py" "$tmp/varlink.py"
chmod 755 "$tmp"
chmod 666 "$varlink"
methods=(org.varlink.service.GetInfo)
for method in Add Adopt Generate Import List Describe Rotate Activate Revert Retire Revoke Remove Probe Export StoreImage Backup StageBackup Restore Sync Status; do
    methods+=("org.nvmekeyd.Manager.$method")
done
relay setpriv --reuid=65534 --regid=65534 --clear-groups \
    "$python" "$tmp/nobody.py" "$varlink" "${methods[@]}"
chmod 700 "$tmp"

is "the daemon is the same process to the end" "$(readlink "/proc/$pid/exe")" "$build/nvme-keyd"
if command -v varlinkctl >/dev/null; then
    check "varlinkctl: info" varlinkctl info "$varlink"
    check "varlinkctl: introspect" varlinkctl introspect "$varlink" org.nvmekeyd.Manager
else
    skip "varlinkctl" "not on this system"
fi
daemon_stop
is "the daemon ends with status 0" "$daemon_status" 0

finish
