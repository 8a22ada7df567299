#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: fake-etcd.py DIRECTORY - speaks as much of etcd's JSON gateway as nvme-keyd-fetch needs, and misbehaves
as the file DIRECTORY/mode says.

DIRECTORY/port gets the port. A line "put NAME TEXT" of DIRECTORY/commands sets an envelope, "hide NAME TEXT" one
whose event is compacted, "revision N" the revision.
DIRECTORY/requests gets the path of each request and the mode at that time. A watch ends when the mode changes.
"""

import base64
import http.server
import json
import pathlib
import socketserver
import sys
import threading
import time

place = pathlib.Path(sys.argv[1])
PREFIX = "/nvme-keyd/machines/m1/"
state = {"revision": 10, "kvs": {}, "events": [], "lines": 0, "cluster": "77"}
lock = threading.Lock()


def b64(text):
    return base64.b64encode(text.encode()).decode()


def mode():
    return (place / "mode").read_text().strip()


def header():
    return {"cluster_id": state["cluster"], "member_id": "1", "revision": str(state["revision"])}


def run_commands():
    while True:
        lines = (place / "commands").read_text().splitlines()
        with lock:
            for line in lines[state["lines"]:]:
                word, *rest = line.split(" ")
                if word == "revision":
                    state.update(revision=int(rest[0]), kvs={}, events=[])
                elif word == "cluster":
                    state["cluster"] = rest[0]
                else:
                    state["revision"] += 1
                    key = PREFIX + "envelopes/" + rest[0]
                    text = "x" * int(rest[2]) if rest[1] == "bytes" else rest[1]
                    kv = {"key": b64(key), "mod_revision": str(state["revision"]), "value": b64(text)}
                    state["kvs"][key] = kv
                    if word == "put":
                        state["events"].append((state["revision"], kv))
            state["lines"] = len(lines)
        time.sleep(0.05)


class Gateway(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, text, status=200, length=None):
        data = text if isinstance(text, bytes) else (text if isinstance(text, str) else json.dumps(text)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(length or len(data)))
        self.end_headers()
        self.wfile.write(data)
        if length:
            self.close_connection = True

    def fault(self, status, code, message):
        self.answer({"error": message, "code": code, "message": message}, status)

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def line(self, result):
        self.chunk(json.dumps({"result": {"header": header(), **result}}).encode() + b"\n")

    def hang(self, was):
        while mode() == was:
            time.sleep(0.05)
        self.close_connection = True

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        now = mode()
        with open(place / "requests", "a", encoding="utf-8") as f:
            f.write(f"{self.path} {now} {self.headers.get('Authorization', '-')}\n")
        name = self.path.removeprefix("/v3/").replace("/", "_")
        try:
            getattr(self, name)(body, now)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def auth_authenticate(self, body, now):
        if body != {"name": "m1", "password": "s3\"cret"}:
            self.fault(400, 3, "etcdserver: authentication failed, invalid user ID or password")
        elif now == "bad-login":
            self.answer("{\"token\":7}")
        else:
            self.answer({"header": header(), "token": f"token.{now}"})

    def kv_range(self, body, now):
        key = base64.b64decode(body["key"]).decode()
        single = "range_end" not in body
        if now == "stall-range":
            self.hang(now)
        elif now == "half-range":
            self.answer("{\"header\":{\"revi", length=500)
        elif now == "huge-range" or (now == "huge-envelope" and single):
            self.send_response(200)
            self.send_header("Content-Length", str(100 << 20))
            self.end_headers()
            for _ in range(1600):
                self.wfile.write(b"x" * 65536)
        elif now == "garbage":
            self.answer(b"\xff\xfe{}")
        elif now == "more-forever":
            self.answer({"header": header(), "more": True})
        elif now == "html":
            self.answer("<html>Bad Gateway</html>", 502)
        elif now == "redirect":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif now == "token-never":
            self.fault(401, 16, "etcdserver: invalid auth token")
        else:
            with lock:
                found = [kv for k, kv in sorted(state["kvs"].items()) if k == key or (not single and k >= key)]
                if body.get("keys_only"):
                    found = [{m: v for m, v in kv.items() if m != "value"} for kv in found]
                limit = min(int(body.get("limit", "0")), 3) or len(found)
                reply = {"header": header(), "kvs": found[:limit], "count": str(len(found))}
                if len(found) > limit:
                    reply["more"] = True
            self.answer(reply)

    def kv_put(self, body, now):
        key = base64.b64decode(body["key"]).decode()
        if now == "denied-put":
            self.fault(403, 7, "etcdserver: permission denied")
            return
        with open(place / "puts", "a", encoding="utf-8") as f:
            f.write(f"{key} lease={body.get('lease', 'none')} {base64.b64decode(body['value']).decode()}\n")
        self.answer({"header": header()})

    def lease_grant(self, body, now):
        reply = {"header": header(), "ID": "4711"}
        if now != "no-lease":
            reply["TTL"] = body["TTL"]
        self.answer(reply)

    def lease_keepalive(self, body, now):
        if now == "stall-member":
            self.hang(now)
        else:
            reply = {"header": header(), "ID": body["ID"]}
            if now != "lease-ended":
                reply["TTL"] = "30"
            self.answer(json.dumps({"result": reply}) + "\n")

    def watch(self, body, now):
        start = int(body["create_request"]["start_revision"])
        if now == "token-ended" and self.headers.get("Authorization") != "token.token-ended":
            self.fault(401, 16, "etcdserver: invalid auth token")
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if now == "stall-watch":
            self.hang(now)
            return
        if now == "denied-watch":
            self.line({"created": True, "canceled": True, "watch_id": "-1",
                       "cancel_reason": "rpc error: code = PermissionDenied desc = etcdserver: permission denied"})
            self.hang(now)
            return
        self.line({"created": True})
        if now == "compacted":
            (place / "mode").write_text("good\n")
            self.line({"canceled": True, "compact_revision": str(start + 1)})
            return
        if now == "half-line":
            self.chunk(b"{\"result\":{\"header\":{\"revi")
            self.close_connection = True
            return
        if now == "stall-line":
            self.chunk(b"{\"result\":{\"header\":{\"revi")
            self.hang(now)
            return
        if now == "no-leader":
            self.chunk(b"{\"error\":{\"grpc_code\":14,\"message\":\"etcdserver: no leader\"}}\n")
            return
        if now == "huge-line":
            for _ in range(1600):
                self.chunk(b"x" * 65536)
        if now == "many-values":
            self.chunk(b"{\"result\":[" + b"{}," * 900000 + b"{}]}\n")
        if now == "garbage-watch":
            self.chunk(b"{\"result\":{\"header\":7}}\n")
        while mode() == now:
            with lock:
                new = [kv for revision, kv in state["events"] if revision >= start]
                if new:
                    start = state["revision"] + 1
            if new:
                self.line({"events": [{"kv": kv} for kv in new]})
            time.sleep(0.05)
        self.chunk(b"")
        self.close_connection = True


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Gateway)
threading.Thread(target=run_commands, daemon=True).start()
(place / "port").write_text(str(server.server_address[1]))
server.serve_forever()
