#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A second reader of the sealed store, written from docs/CREDSTORE.md and sharing no code with
credstore/. It checks the form of the file, that all of it is authentic, and the metadata of each
record, but not the fields of a secret. It prints one line of JSON for each record.

    read-store.py [--key HEX | --kek FILE] [--show-secrets | --show-keys] DIRECTORY

--show-keys prints the key-encryption key of the slot and the store key instead. Without a key it opens a slot of type systemd-creds by `systemd-creds decrypt`, as root.
Exit status: 0 all records are sound, 1 one is not, 2 the store cannot be read.
"""

import argparse
import base64
import ctypes
import ctypes.util
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys

B64 = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
BOX = re.compile(rf'\{{"nonce":"({B64})","ciphertext":"({B64})","tag":"({B64})"\}}')
MAC = re.compile(rf'\{{"mac":"({B64})"\}}')
GENERATION = r"[1-9][0-9]{0,15}"
INDEX = re.compile(rf'\{{(?:"[0-9a-f]{{16}}":{GENERATION}(?:,"[0-9a-f]{{16}}":{GENERATION})*)?\}}')
RECORD = re.compile(rf'\{{"id":"([0-9a-f]{{16}})","generation":({GENERATION}),"meta":(\{{.*\}}),'
                    r'"secret":(\{"nonce":"[^"]*","ciphertext":"[^"]*","tag":"[^"]*"\})\}')
BEGINNING = re.compile(r'\{"id":"([0-9a-f]{16})"')
LINE_MAX = 16384
META = ["kind", "hostNQN", "subsystemNQN", "role", "state", "hash", "derivation", "identityVersions",
        "created", "changed", "digest", "deadline", "step", "planned", "unsynchronized", "succeeds",
        "confirmed", "follow", "expires", "rotateAfter", "comment"]
OPTIONAL = META[10:]
WORDS = {
    "kind": ("configured", "derived"),
    "role": ("host", "target", "both"),
    "state": ("pending", "active", "retiring", "revoked"),
    "hash": ("none", "sha256", "sha384"),
    "derivation": ("rfc8446", "compat", "lastfrag"),
}
# Records that are no keys.
OTHERS = {
    "machine": ["kind", "created", "name", "fingerprint", "certificate"],
    "issuer": ["kind", "created", "fingerprint"],
    "pair": ["kind", "hostNQN", "subsystemNQN", "generation", "changed", "envelope", "issuer"],
}
DIGEST = re.compile(r"[0-9a-f]{64}")
STEPS = ("activate", "retire", "revoke", "remove")
ID = re.compile(r"[0-9a-f]{16}")
NQN = re.compile(r"[!-:<-~]{1,223}")
DIGEST_SIZES = {"sha256": 32, "sha384": 48}
TIME_MAX = (1 << 63) - 1


class Bad(Exception):
    """An error in a store or in a record."""


def load_libcrypto():
    lib = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
    for name in ("EVP_CIPHER_CTX_new", "EVP_aes_256_gcm"):
        getattr(lib, name).restype = ctypes.c_void_p
    pointer, size = ctypes.c_void_p, ctypes.c_int
    lib.EVP_CIPHER_CTX_free.argtypes = [pointer]
    lib.EVP_DecryptInit_ex.argtypes = [pointer, pointer, pointer, ctypes.c_char_p, ctypes.c_char_p]
    lib.EVP_DecryptUpdate.argtypes = [pointer, ctypes.c_char_p, ctypes.POINTER(size),
                                      ctypes.c_char_p, size]
    lib.EVP_DecryptFinal_ex.argtypes = [pointer, ctypes.c_char_p, ctypes.POINTER(size)]
    lib.EVP_CIPHER_CTX_ctrl.argtypes = [pointer, size, size, ctypes.c_char_p]
    return lib


LIBCRYPTO = load_libcrypto()
EVP_CTRL_AEAD_SET_TAG = 0x11


def decode(text):
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise Bad("unused bits of Base64 are set")
    return data


def decrypt(key, aad, text):
    """AES-256-GCM of a sealed box in its text form."""
    match = BOX.fullmatch(text)
    if not match:
        raise Bad("not a sealed box")
    nonce, ciphertext, tag = (decode(x) for x in match.groups())
    if len(nonce) != 12 or len(tag) != 16 or len(key) != 32 or not ciphertext:
        raise Bad("a nonce, tag, key or ciphertext of a wrong size")
    out, n = ctypes.create_string_buffer(len(ciphertext) + 16), ctypes.c_int()
    ctx = LIBCRYPTO.EVP_CIPHER_CTX_new()
    try:
        ok = (LIBCRYPTO.EVP_DecryptInit_ex(ctx, LIBCRYPTO.EVP_aes_256_gcm(), None, key, nonce) == 1
              and LIBCRYPTO.EVP_DecryptUpdate(ctx, None, ctypes.byref(n), aad, len(aad)) == 1
              and LIBCRYPTO.EVP_DecryptUpdate(ctx, out, ctypes.byref(n), ciphertext,
                                              len(ciphertext)) == 1
              and LIBCRYPTO.EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1
              and LIBCRYPTO.EVP_DecryptFinal_ex(ctx, None, ctypes.byref(n)) == 1)
    finally:
        LIBCRYPTO.EVP_CIPHER_CTX_free(ctx)
    if not ok:
        raise Bad("not authentic")
    return out.raw[:len(ciphertext)]


def expand(key, info):
    """HKDF-Expand (RFC 5869) with SHA-256 to 32 bytes."""
    return hmac.new(key, info.encode() + b"\x01", hashlib.sha256).digest()


class Store:
    """The text of a store, and its header, in which nothing is authentic yet."""

    def __init__(self, data):
        lines = data.split(b"\n", 3)
        if len(lines) != 4:
            raise Bad("not three lines")
        self.signed = lines[0] + b"\n" + lines[1] + b"\n"
        self.index_line, self.mac_line = lines[1].decode("latin-1"), lines[2].decode("latin-1")
        self.records = lines[3]
        self.header = json.loads(lines[0])
        if self.header["format"] != "nvme-keyd store" or self.header["version"] != 1:
            raise Bad("not a store of version 1")

    def verify(self, key):
        match = MAC.fullmatch(self.mac_line)
        mac = hmac.new(expand(key, "nvme-keyd header"), self.signed, hashlib.sha256).digest()
        if not match or not hmac.compare_digest(decode(match[1]), mac):
            raise Bad("the head is not authentic")

    def index(self):
        if not INDEX.fullmatch(self.index_line):
            raise Bad("not an index")
        entries = json.loads(self.index_line, object_pairs_hook=list)
        ids = [record for record, _ in entries]
        if ids != sorted(set(ids)) or any(g > 1 << 53 for _, g in entries):
            raise Bad("not an index")
        return dict(entries)

    def lines(self):
        """The lines of the records; whether each ends as it should."""
        parts = self.records.split(b"\n")
        return [(part, True) for part in parts[:-1]] + ([(parts[-1], False)] if parts[-1] else [])


def unwrap(header, slot, kek):
    aad = f"nvme-keyd slot {header['id']} {slot['id']} {slot['type']}".encode()
    return decrypt(kek, aad, json.dumps(slot["wrapped"], separators=(",", ":")))


def unlock(header, kek):
    """Returns the KEK of a slot that opens, and the store key."""
    for slot in header["slots"]:
        if kek:
            try:
                return kek, unwrap(header, slot, kek)
            except Bad:
                continue
        if slot["type"] == "systemd-creds":
            result = subprocess.run(
                ["systemd-creds", "decrypt", "--name=nvme-keyd.kek", "-", "-"],
                input=slot["credential"].encode(), stdout=subprocess.PIPE, check=False)
            if result.returncode == 0:
                return result.stdout, unwrap(header, slot, result.stdout)
    raise Bad("no slot opens")


def no_number(text):
    raise Bad(f"{text} is no number")


def is_time(value, least=0):
    return type(value) is int and least <= value <= TIME_MAX


def digest_fits(meta):
    size = len(decode(meta["digest"])) if "digest" in meta else None
    if meta["kind"] == "configured":
        return size in DIGEST_SIZES.values()
    expected = {"[0]": None, "[1]": DIGEST_SIZES.get(meta["hash"])}
    versions = json.dumps(meta["identityVersions"])
    return meta["hash"] != "none" and versions in expected and size == expected[versions]


def check_life(meta):
    if "step" in meta:
        if "deadline" not in meta or "planned" not in meta or meta["step"] not in STEPS:
            raise Bad("not a step with its times")
        if (meta["state"], meta["step"], meta["planned"]) == ("retiring", "remove", meta["changed"]):
            raise Bad("the usual step of a retiring key")
    elif "planned" in meta or ("deadline" in meta and meta["state"] != "retiring"):
        raise Bad("a deadline of no step")
    if not isinstance(meta.get("succeeds", "0" * 16), str) or not ID.fullmatch(meta.get("succeeds", "0" * 16)):
        raise Bad("succeeds is no id")
    if meta.get("follow", True) is not True:
        raise Bad("follow is not true")
    if meta.get("unsynchronized", True) is not True or ("unsynchronized" in meta and "deadline" not in meta):
        raise Bad("unsynchronized is not true, or has no step")


def check_values(meta):
    for member, words in WORDS.items():
        if meta[member] not in words:
            raise Bad(f"{member} is no word for it")
    for member in "hostNQN", "subsystemNQN":
        if not isinstance(meta[member], str) or not NQN.fullmatch(meta[member]):
            raise Bad(f"{member} is no NQN")
    # By their text: in Python true is 1.
    if json.dumps(meta["identityVersions"]) not in ("[0]", "[1]", "[0, 1]"):
        raise Bad("identityVersions has no such value")
    if not all(is_time(meta.get(member, 0)) for member in ("created", "changed", "planned")):
        raise Bad("not a time")
    if not all(is_time(meta.get(member, 1), 1) for member in ("deadline", "confirmed", "expires", "rotateAfter")):
        raise Bad("not a time")
    if not isinstance(meta.get("digest", ""), str) or not digest_fits(meta):
        raise Bad("no digest of this key")
    check_life(meta)
    comment = meta.get("comment", "")
    if not isinstance(comment, str) or "\0" in comment:
        raise Bad("not a comment")


def check_other(meta):
    for member, value in meta.items():
        good = {
            "kind": lambda v: True,
            "created": is_time,
            "changed": is_time,
            "generation": lambda v: is_time(v, 1),
            "name": lambda v: isinstance(v, str) and (not v or NQN.fullmatch(v)),
            "certificate": lambda v: isinstance(v, str) and v.startswith("-----BEGIN CERTIFICATE-----\n"),
            "envelope": lambda v: isinstance(v, str) and re.fullmatch("[0-9a-f]{32}", v),
            "hostNQN": lambda v: isinstance(v, str) and NQN.fullmatch(v),
            "subsystemNQN": lambda v: isinstance(v, str) and NQN.fullmatch(v),
        }.get(member, lambda v: isinstance(v, str) and DIGEST.fullmatch(v))
        if not good(value):
            raise Bad(f"{member} has no such value")


def read_meta(text):
    """Returns the metadata, whose text has to be the one that they have."""
    text.encode()
    try:
        meta = json.loads(text, parse_constant=no_number)
    except RecursionError:
        raise Bad("metadata are nested too deep") from None
    other = OTHERS.get(meta.get("kind"))
    members = other or [m for m in META if m in meta or m not in OPTIONAL]
    if list(meta) != members or json.dumps(meta, separators=(",", ":"), ensure_ascii=False) != text:
        raise Bad("metadata in another form")
    if other:
        check_other(meta)
    else:
        check_values(meta)
    return meta


def read_line(key, line):
    """Returns id, generation, metadata and secret of the line of a record."""
    match = RECORD.fullmatch(line.decode("utf-8", "surrogateescape")) if len(line) <= LINE_MAX else None
    if not match:
        raise Bad("not a record")
    record, generation, meta, box = match.groups()
    aad = line[:-len(box) - len('}') - len(',"secret":')]
    secret = decrypt(expand(key, f"nvme-keyd record {record} {generation}"), aad, box)
    return record, int(generation), read_meta(meta), secret


def id_of(line):
    match = BEGINNING.match(line.decode("latin-1"))
    return match[1] if match else None


def tails(line):
    """The parts of a line that may be a record after a damaged newline."""
    text = line.decode("latin-1")
    return [line[m.start():] for m in BEGINNING.finditer(text) if m.start() > 0]


def read_all(store, key):
    """Returns {id: (generation, metadata, secret, error)}."""
    index, found, odd = store.index(), {}, []
    for line, ends in store.lines():
        try:
            record, generation, meta, secret = read_line(key, line)
        except (Bad, ValueError) as e:
            odd.append((line, id_of(line), str(e)))
            continue
        if not ends:
            odd.append((line, record, "the line is cut"))
        elif record in found:
            found[record] = (None, None, None, "there twice")
        elif generation != index.get(record):
            found[record] = (None, None, None,
                             f"generation {generation}, not {index.get(record, 'in the index')}")
        else:
            found[record] = (generation, meta, secret, None)
    for line, _, _ in odd:
        for tail in tails(line):
            try:
                record, generation, meta, secret = read_line(key, tail)
            except (Bad, ValueError):
                continue
            if record not in found and generation == index.get(record):
                found[record] = (generation, meta, secret, None)
    for _, record, error in odd:
        if record in index:
            found[record] = (None, None, None, "there twice" if record in found else error)
    spare = [line for line in odd if line[1] not in index]
    for record in index:
        if record not in found:
            found[record] = (None, None, None, spare.pop(0)[2] if spare else "missing")
    for _, record, error in spare:
        if record:
            found[record] = (None, None, None, error)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--key", type=bytes.fromhex, help="the store key")
    parser.add_argument("--kek", metavar="FILE", help="the key-encryption key of a slot")
    parser.add_argument("--show-secrets", action="store_true")
    parser.add_argument("--show-keys", action="store_true")
    parser.add_argument("directory")
    args = parser.parse_args()

    with open(os.path.join(args.directory, "store"), "rb") as f:
        store = Store(f.read())
    kek, key = None, args.key
    if not key:
        given = None
        if args.kek:
            with open(args.kek, "rb") as f:
                given = f.read()
        kek, key = unlock(store.header, given)
    store.verify(key)
    if args.show_keys:
        print("kek", kek.hex() if kek else "-")
        print("key", key.hex())
        return 0

    status = 0
    for record, (generation, meta, secret, error) in sorted(read_all(store, key).items()):
        line = {"id": record, "generation": generation}
        if error is None:
            line["meta"] = meta
            line["secret"] = secret.hex() if args.show_secrets else f"({len(secret)} bytes)"
        else:
            line["error"] = error
            status = 1
        print(json.dumps(line))
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Bad, OSError, ValueError, KeyError) as problem:
        print(f"read-store.py: {problem}", file=sys.stderr)
        sys.exit(2)
