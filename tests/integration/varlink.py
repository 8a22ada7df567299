# SPDX-License-Identifier: LGPL-2.1-or-later
"""Speaks raw Varlink, and knows enough of its interface definition language to check a service
against its own description. For test-varlink.sh; needs nothing but Python."""

import json
import re
import socket


class Connection:
    def __init__(self, path, timeout=60):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.input = b""

    def send(self, message):
        self.socket.sendall(message)

    def call(self, method, parameters=None, **members):
        message = {"method": method, **members}
        if parameters is not None:
            message["parameters"] = parameters
        self.send(json.dumps(message).encode() + b"\0")

    def reply(self):
        """The next message, or None at the end of the stream."""
        while b"\0" not in self.input:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self.input += data
        message, self.input = self.input.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method, parameters=None, **members):
        self.call(method, parameters, **members)
        return self.reply()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Interface:
    """Types, methods and errors of a description; ValueError where it makes no sense."""

    TOKEN = re.compile(r"\s+|#[^\n]*|(->|\[\]|\[string\]|[(),:?]|[A-Za-z][A-Za-z0-9_.-]*)")
    BASIC = {"bool": bool, "int": int, "float": float, "string": str, "object": dict}

    def __init__(self, text):
        self.tokens, position = [], 0
        while position < len(text):
            match = self.TOKEN.match(text, position)
            if not match:
                raise ValueError(f"not a token: {text[position:position + 20]!r}")
            if match[1]:
                self.tokens.append(match[1])
            position = match.end()
        self.types, self.methods, self.errors = {}, {}, {}
        self.expect("interface")
        self.name = self.next()
        while self.tokens:
            self.member()
        self.check_names()

    def next(self):
        if not self.tokens:
            raise ValueError("ends too early")
        return self.tokens.pop(0)

    def expect(self, token):
        got = self.next()
        if got != token:
            raise ValueError(f"{got!r} in place of {token!r}")

    def member(self):
        keyword, name = self.next(), self.next()
        table = {"type": self.types, "method": self.methods, "error": self.errors}[keyword]
        if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name) or name in table:
            raise ValueError(f"{keyword} {name}")
        if keyword == "method":
            takes = self.fields()
            self.expect("->")
            table[name] = takes, self.fields()
        else:
            table[name] = self.fields()

    def type(self):
        if self.tokens[0] == "?":
            self.next()
            return "?", self.type()
        if self.tokens[0] == "[]":
            self.next()
            return "[]", self.type()
        return self.fields() if self.tokens[0] == "(" else self.next()

    def fields(self):
        """A dict for a struct, a list for an enumeration."""
        fields, names = {}, []
        self.expect("(")
        while self.tokens[0] != ")":
            name = self.next()
            if not re.fullmatch(r"[A-Za-z](_?[A-Za-z0-9])*", name):
                raise ValueError(f"field {name}")
            names.append(name)
            if self.tokens[0] == ":":
                self.next()
                fields[name] = self.type()
            if self.tokens[0] != ")":
                self.expect(",")
        self.expect(")")
        return names if names and not fields else fields

    def check_names(self):
        def check(kind):
            if isinstance(kind, dict):
                for inner in kind.values():
                    check(inner)
            elif isinstance(kind, tuple):
                check(kind[1])
            elif isinstance(kind, str) and kind not in self.BASIC and kind not in self.types:
                raise ValueError(f"no type {kind}")

        for kinds in self.types.values(), self.errors.values(), *self.methods.values():
            for kind in kinds.values() if isinstance(kinds, dict) else kinds:
                check(kind)

    def fits(self, value, kind):
        """Why value is not of that type, or None."""
        if isinstance(kind, tuple) and kind[0] == "?":
            return None if value is None else self.fits(value, kind[1])
        if isinstance(kind, tuple):
            if not isinstance(value, list):
                return f"{value!r} is no array"
            return next(filter(None, (self.fits(v, kind[1]) for v in value)), None)
        if isinstance(kind, list):
            return None if value in kind else f"{value!r} is none of {kind}"
        if isinstance(kind, dict):
            return self.fits_struct(value, kind)
        if kind in self.types:
            return self.fits(value, self.types[kind])
        good = isinstance(value, self.BASIC[kind]) and (kind == "bool" or not isinstance(value, bool))
        return None if good else f"{value!r} is no {kind}"

    def fits_struct(self, value, fields):
        if not isinstance(value, dict):
            return f"{value!r} is no object"
        for name in value:
            if name not in fields:
                return f"no field {name}"
        for name, kind in fields.items():
            why = self.fits(value.get(name), kind)
            if why:
                return f"{name}: {why}"
        return None

    def wrong_values(self, kind):
        """Values that are not of that type."""
        candidates = [0, -1, 1.5, 1 << 70, True, "", "x", [], ["x"], [7], [True], {}, {"x": 1}]
        return [v for v in candidates if self.fits(v, kind)]
