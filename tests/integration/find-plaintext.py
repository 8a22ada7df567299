#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Looks for secrets in all files below some directories, or in some files.

Each line of standard input is a name and the secret in hex. It is found as it is, as hex in either case,
and as Base64, beginning anywhere in what was encoded. Prints where, never what. Exit status: 1 if
anything was found, 2 if nothing could be looked for.

With --forms, prints the forms of the secret NAME instead, one a line in hex: to see that each is found.
"""
import argparse
import base64
import os
import stat
import sys


def base64_inside(secret, before):
    """The Base64 digits that the secret alone decides, where it follows so many other bytes."""
    text = base64.b64encode(bytes(before) + secret + bytes(2)).rstrip(b"=")
    first = -(-before * 8 // 6)
    last = (before + len(secret)) * 8 // 6
    return text[first:last]


def forms_of(secret):
    forms = {"as it is": secret, "hex": secret.hex().encode(), "HEX": secret.hex().upper().encode()}
    for before in range(3):
        text = base64_inside(secret, before)
        forms[f"Base64 {before}"] = text
        forms[f"Base64url {before}"] = text.replace(b"+", b"-").replace(b"/", b"_")
    return forms


def files_below(path):
    if not os.path.isdir(path):
        yield path
        return
    for where, _, names in os.walk(path):
        for name in names:
            full = os.path.join(where, name)
            if stat.S_ISREG(os.lstat(full).st_mode):
                yield full


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:  # gone meanwhile
        return b""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--forms", metavar="NAME")
    parser.add_argument("paths", nargs="*")
    args = parser.parse_args()

    secrets = {}
    for line in sys.stdin:
        name, text = line.split()
        secrets[name] = bytes.fromhex(text)
    if not secrets or min(map(len, secrets.values())) < 16:
        print("no secrets, or such as are everywhere", file=sys.stderr)
        return 2
    if args.forms:
        for form in forms_of(secrets[args.forms]).values():
            print(form.hex())
        return 0

    found, n = 0, 0
    needles = [(name, what, form) for name, s in secrets.items() for what, form in forms_of(s).items()]
    for top in args.paths:
        for path in files_below(top):
            data = read(path)
            n += 1
            for name, what, form in needles:
                if form in data:
                    found += 1
                    print(f"{path}: {name}, {what}")
    print(f"{n} files, {len(secrets)} secrets")
    return 1 if found else 2 if not n else 0


if __name__ == "__main__":
    sys.exit(main())
