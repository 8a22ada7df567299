#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A second reader of the sealed store, written from docs/CREDSTORE.md and sharing no code with
credstore/. It checks everything and prints one line of JSON for each record.

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

SHARDS = 64
B64 = r"[A-Za-z0-9+/]+={0,2}"
BOX = re.compile(rf'\{{"nonce":"({B64})","ciphertext":"({B64})","tag":"({B64})"\}}')
MAC = re.compile(rf'\{{"mac":"({B64})"\}}')
RECORD_NAME = re.compile(r"([0-9a-f]{16})\.json")


class Bad(Exception):
    pass


class Stale(Bad):
    pass


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


def decrypt(key, aad, text):
    """AES-256-GCM of a sealed box in its text form."""
    match = BOX.fullmatch(text)
    if not match:
        raise Bad("not a sealed box")
    nonce, ciphertext, tag = (base64.b64decode(x, validate=True) for x in match.groups())
    if len(nonce) != 12 or len(tag) != 16 or len(key) != 32:
        raise Bad("a nonce, tag or key of a wrong size")
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


def derive(key, info):
    """HKDF-Expand (RFC 5869) with SHA-256 to 32 bytes."""
    return hmac.new(key, info.encode() + b"\x01", hashlib.sha256).digest()


def read(*path):
    with open(os.path.join(*path), "rb") as f:
        return f.read()


def split(data):
    """The two lines of a file."""
    lines = data.split(b"\n")
    if len(lines) != 3 or lines[2] != b"":
        raise Bad("not two lines")
    return lines[0], lines[1].decode("ascii", "replace")


def verify(key, label, data):
    body, line = split(data)
    match = MAC.fullmatch(line)
    mac = hmac.new(derive(key, "nvme-keyd " + label), body, hashlib.sha256).digest()
    if not match or not hmac.compare_digest(base64.b64decode(match[1]), mac):
        raise Bad(label + " is not authentic")
    return json.loads(body)


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


def read_shard(directory, key, number, generation, label):
    try:
        data = read(directory, "index", f"{number:02x}.json")
    except FileNotFoundError:
        if generation == 0:
            return {}
        raise Bad(f"shard {number:02x} is missing") from None
    shard = verify(key, label, data)
    if shard["shard"] != number:
        raise Bad("another shard's index")
    if shard["generation"] != generation:
        raise Stale(f"shard {number:02x} has generation {shard['generation']}, not {generation}")
    for record in shard["records"]:
        if int(record, 16) >> 58 != number:
            raise Bad(f"{record} is in the wrong shard")
    return shard["records"]


def read_record(directory, key, record, generation):
    line, box = split(read(directory, "records", record + ".json"))
    try:
        secret = decrypt(derive(key, f"nvme-keyd record {record} {generation}"), line, box)
    except Bad:
        claimed = json.loads(line)
        decrypt(derive(key, f"nvme-keyd record {record} {claimed['generation']}"), line, box)
        raise Stale(f"generation {claimed['generation']}, not {generation}") from None
    public = json.loads(line)
    if public["version"] != 1 or public["id"] != record or public["generation"] != generation:
        raise Bad("line 1 is of another record")
    return public["meta"], secret


def read_all(directory, key, header):
    """Yields (id, generation, metadata, secret, error)."""
    names = os.listdir(os.path.join(directory, "records"))
    on_disk = {m[1] for m in map(RECORD_NAME.fullmatch, names) if m}
    # Those of a copy for a boot image fit nowhere else.
    label = f"shard {header['image']}" if "image" in header else "shard"
    for number in range(SHARDS):
        here = {record for record in on_disk if int(record, 16) >> 58 == number}
        try:
            listed = read_shard(directory, key, number, header["shards"][number], label)
        except (Bad, ValueError, KeyError) as e:
            for record in sorted(here) or [f"{number << 58:016x}"]:
                yield record, None, None, None, str(e)
            continue
        for record in sorted(here | set(listed)):
            try:
                if record not in listed:
                    raise Stale("not in the index")
                yield (record, listed[record],
                       *read_record(directory, key, record, listed[record]), None)
            except (Bad, OSError, ValueError, KeyError) as e:
                yield record, listed.get(record), None, None, str(e)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--key", type=bytes.fromhex, help="the store key")
    parser.add_argument("--kek", metavar="FILE", help="the key-encryption key of a slot")
    parser.add_argument("--show-secrets", action="store_true")
    parser.add_argument("--show-keys", action="store_true")
    parser.add_argument("directory")
    args = parser.parse_args()

    if os.path.exists(os.path.join(args.directory, "commit.json")):
        raise Bad("there is an interrupted commit")
    data = read(args.directory, "header.json")
    header = json.loads(split(data)[0])
    if header["format"] != "nvme-keyd store" or header["version"] != 1:
        raise Bad("not a store of version 1")
    kek, key = None, args.key
    if not key:
        kek, key = unlock(header, read(args.kek) if args.kek else None)
    verify(key, "header", data)
    if args.show_keys:
        print("kek", kek.hex() if kek else "-")
        print("key", key.hex())
        return 0

    status = 0
    for record, generation, meta, secret, error in read_all(args.directory, key, header):
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
