#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""edit-store.py FILE WHAT [ARGUMENT...]: changes the file of a store without its key, as damage or
an attacker would.

  flip ID...          a bit of each of these records; without ID of all
  cut ID...           each of these records ends early
  drop ID...          these records are gone
  twice ID            this record is there twice
  other ID OTHER      record ID is what record OTHER is, under its own id
  from BEFORE ID...   these records are as in another file
  head BEFORE         the head is that of another file
  flip-head           a bit of the index
"""

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
else:
    sys.exit(__doc__)
# In place: the file keeps its mode.
with open(path, "wb") as f:
    f.writelines(head + list(records.values()))
