#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: examples.py TREE DIRECTORY

Takes the examples out of README.md, docs/*.md and the manual pages. Writes into DIRECTORY, for each block with
commands, NUMBER-PAGE:LINE.sh, and NUMBER-PAGE:LINE.out with the output that the page shows after it, if any; for each
snippet of nvme-keyd.conf, NUMBER-PAGE:LINE.conf. Lines that examples-elsewhere names are left out. Prints what is
wrong with that list, and fails then.

A line of the list: PLACE, WORDS, PATTERN, with tabs between them. PATTERN is a command as fnmatch(3) has it, on one
line. PLACE is the suite and name of the test that runs it, and WORDS stand in the file of that test. With the PLACE
"text", PATTERN is the first line of a block that is no command.
"""

import fnmatch
import pathlib
import re
import sys

tree, directory = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
LIST = tree / "tests/integration/examples-elsewhere"
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.S | re.M)
FOLDERS = {"vm": "tests/vm/scenarios/{}.sh", "guest": "tests/vm/guest/{}.sh", "unit": "tests/unit/test-{}.c",
           "fleet": "tests/fleet/test-{}.sh", "suite": "tests/suites/{}", "here": "{}"}
wrong = []


class Elsewhere:
    """A line of the list."""

    def __init__(self, number, line):
        fields = line.split("\t")
        self.used, self.where = False, f"{LIST.name}:{number}"
        if len(fields) != 3:
            sys.exit(f"{self.where}: not PLACE, WORDS, PATTERN")
        self.place, self.words, self.pattern = fields
        if self.place == "text":
            return
        suite, _, name = self.place.partition("/")
        file = tree / FOLDERS.get(suite, "tests/integration/test-{}.sh").format(name)
        if not file.is_file():
            wrong.append(f"{self.where}: there is no test {self.place}")
        elif self.words not in file.read_text(encoding="utf-8"):
            wrong.append(f'{self.where}: {self.place} has no "{self.words}"')

    def covers(self, line, text):
        """Whether the entry is for this command, or for this block of text."""
        found = (self.place == "text") == text and fnmatch.fnmatchcase(line, self.pattern)
        self.used |= found
        return found


def commands(body):
    """The commands of a block, one string each: lines that end in a backslash or a pipe go on."""
    command = ""
    for line in body.splitlines():
        command += line.strip() if command else line
        if re.search(r"(\\|\|)$", command):
            command = command.removesuffix("\\").rstrip() + " "
            continue
        if re.sub(r"(^|\s)#.*", "", command).strip():
            yield re.sub(r"\s+#\s.*", "", command)
        command = ""


entries = [Elsewhere(n, line) for n, line in enumerate(LIST.read_text(encoding="utf-8").splitlines(), 1)
           if line and not line.startswith("#")]
pages = [tree / "README.md", *sorted((tree / "docs").glob("*.md")), *sorted((tree / "man").glob("*.scd"))]
count, last = 0, None
for page in pages:
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        indent, language, body = block.groups()
        body = "".join(line.removeprefix(indent) for line in body.splitlines(True))
        where = f"{page.relative_to(tree)}:{text.count(chr(10), 0, block.start()) + 1}"
        name = where.replace("/", "+")
        if page.suffix == ".scd":
            body = body.replace("\\\\\n", "\\\n")
        if language == "text":
            # What the block before it prints.
            if last is None or not text[end:block.start()].strip() == "":
                wrong.append(f"{where}: this output stands after no commands")
            elif last.name:
                last.with_suffix(".out").write_text(body, encoding="utf-8")
            last = None
            continue
        last = None
        if language in ("c", "diff", "ini", "json"):
            continue
        first = body.splitlines()[0]
        if re.match(r"\[(Manager|Keyring|Store)\]", first):
            count += 1
            (directory / f"{count:03}-{name}.conf").write_text(body, encoding="utf-8")
            continue
        if any([e.covers(first, True) for e in entries]):
            continue
        here = [c for c in commands(body) if not any([e.covers(c, False) for e in entries])]
        end, last = block.end(), pathlib.Path()
        if here:
            count += 1
            last = directory / f"{count:03}-{name}.sh"
            last.write_text("\n".join(here) + "\n", encoding="utf-8")
wrong += [f"{e.where}: no page has {e.pattern}" for e in entries if not e.used]
print(*wrong, sep="\n", end="\n" if wrong else "")
sys.exit(bool(wrong))
