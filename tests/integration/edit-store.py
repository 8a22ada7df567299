#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""edit-store.py FILE WHAT [ARGUMENT...]: changes the file of a store without its key, as damage or
an attacker would, or with it, as other software would.

  flip ID...          a bit of each of these records; without ID of all
  cut ID...           each of these records ends early
  drop ID...          these records are gone
  twice ID            this record is there twice
  other ID OTHER      record ID is what record OTHER is, under its own id
  from BEFORE ID...   these records are as in another file
  head BEFORE         the head is that of another file
  flip-head           a bit of the index
  meta KEY            each line of standard input is an id, a blank and the metadata that the record
                      gets: authentic by the store key KEY, in hex
"""

import base64
import ctypes
import importlib.util
import os
import re
import sys


def read(path):
    lines = open(path, "rb").read().splitlines(keepends=True)
    return lines[:3], {id_of(line): line for line in lines[3:]}


def id_of(line):
    return re.match(rb'{"id":"([0-9a-f]{16})"', line).group(1).decode()


def flip(line):
    at = len(line) - 8
    return line[:at] + bytes([line[at] ^ 1]) + line[at + 1:]


def reader():
    """The module read-store.py, whose name is none for an import statement."""
    spec = importlib.util.spec_from_file_location("read_store", os.path.join(os.path.dirname(__file__), "read-store.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def encrypt(lib, key, aad, plain):
    """AES-256-GCM: the text of a sealed box."""
    lib.EVP_EncryptInit_ex.argtypes = lib.EVP_DecryptInit_ex.argtypes
    lib.EVP_EncryptUpdate.argtypes = lib.EVP_DecryptUpdate.argtypes
    lib.EVP_EncryptFinal_ex.argtypes = lib.EVP_DecryptFinal_ex.argtypes
    nonce, tag, n = os.urandom(12), ctypes.create_string_buffer(16), ctypes.c_int()
    out = ctypes.create_string_buffer(len(plain) + 16)
    ctx = lib.EVP_CIPHER_CTX_new()
    lib.EVP_EncryptInit_ex(ctx, lib.EVP_aes_256_gcm(), None, key, nonce)
    lib.EVP_EncryptUpdate(ctx, None, ctypes.byref(n), aad, len(aad))
    lib.EVP_EncryptUpdate(ctx, out, ctypes.byref(n), plain, len(plain))
    lib.EVP_EncryptFinal_ex(ctx, None, ctypes.byref(n))
    lib.EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag)
    lib.EVP_CIPHER_CTX_free(ctx)
    return b'{"nonce":"%s","ciphertext":"%s","tag":"%s"}' % tuple(
        base64.b64encode(x) for x in (nonce, out.raw[:len(plain)], tag.raw))


def with_meta(rs, key, line, meta):
    record, generation, _, secret = rs.read_line(key, line.rstrip(b"\n"))
    aad = b'{"id":"%s","generation":%d,"meta":%s' % (record.encode(), generation, meta)
    box = encrypt(rs.LIBCRYPTO, rs.expand(key, f"nvme-keyd record {record} {generation}"), aad, secret)
    return aad + b',"secret":' + box + b"}\n"


EVP_CTRL_AEAD_GET_TAG = 0x10
path, what, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
head, records = read(path)
if what == "flip":
    for i in arguments or list(records):
        records[i] = flip(records[i])
elif what == "cut":
    for i in arguments or list(records):
        records[i] = records[i][:60] + b"\n"
elif what == "drop":
    for i in arguments:
        del records[i]
elif what == "twice":
    records[arguments[0]] *= 2
elif what == "other":
    this, other = arguments
    records[this] = records[other].replace(other.encode(), this.encode(), 1)
elif what == "from":
    before = read(arguments[0])[1]
    for i in arguments[1:]:
        records[i] = before[i]
elif what == "head":
    head = read(arguments[0])[0]
elif what == "flip-head":
    head[1] = flip(head[1])
elif what == "meta":
    read_store, store_key = reader(), bytes.fromhex(arguments[0])
    for change in sys.stdin.buffer.read().split(b"\n")[:-1]:
        i, text = change.split(b" ", 1)
        records[i.decode()] = with_meta(read_store, store_key, records[i.decode()], text)
else:
    sys.exit(__doc__)
# In place: the file keeps its mode.
with open(path, "wb") as f:
    f.writelines(head + list(records.values()))
