#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""unit-order.py DUMP DEPENDENCY UNIT [AWAY...]: all that UNIT reaches by DEPENDENCY (After, Before), one a line.

Not by way of units that are AWAY: one without a job orders nothing.
DUMP is what "systemd --test" prints: units with all their dependencies, those that systemd adds too."""
import re
import sys


def read_dump(path, dependency):
    edges, unit = {}, None
    with open(path, encoding="utf-8", errors="replace") as dump:
        for line in dump:
            if match := re.match(r"\t*-> Unit (.*):$", line):
                unit = edges.setdefault(match[1], set())
            elif (match := re.match(rf"\t+{dependency}: (\S+) \(", line)) and unit is not None:
                unit.add(match[1])
    return edges


def reach(edges, start, away):
    seen, todo = set(away), [start]
    while todo:
        for unit in edges.get(todo.pop(), ()):
            if unit not in seen:
                seen.add(unit)
                todo.append(unit)
    return seen - set(away)


edges = read_dump(sys.argv[1], sys.argv[2])
if sys.argv[3] not in edges:
    sys.exit(f"{sys.argv[3]} is not in {sys.argv[1]}")
print("\n".join(sorted(reach(edges, sys.argv[3], sys.argv[4:]))))
