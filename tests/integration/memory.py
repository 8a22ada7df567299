# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: memory.py PID < "LABEL HEX" lines

Looks for parts of secrets in all memory of a process: every run of 16 bytes at a multiple of 8 in each
of them. Prints "LABEL KIND ADDRESS MAPPING" for what it finds; KIND is "locked" for locked memory, else
"unlocked". The process is stopped meanwhile.
"""

import os
import re
import signal
import sys

WINDOW = 16


def mappings(pid):
    current = None
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as lines:
        for line in lines:
            head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)", line)
            if head:
                current = [int(head[1], 16), int(head[2], 16), head[3], head[4] or "anonymous"]
            elif line.startswith("VmFlags:"):
                flags = line.split()[1:]
                # "io", "dd": a device; "lo": mlock(2)
                if "io" not in flags:
                    yield (*current, "locked" if "lo" in flags else "unlocked")


def main():
    pid = int(sys.argv[1])
    windows = {}
    for line in sys.stdin:
        label, text = line.split()
        secret = bytes.fromhex(text)
        for start in range(0, max(1, len(secret) - WINDOW + 1), 8):
            windows[secret[start : start + WINDOW]] = label
    pattern = re.compile(b"|".join(re.escape(w) for w in windows))
    bytes_read = 0
    os.kill(pid, signal.SIGSTOP)
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for start, end, mode, name, kind in mappings(pid):
                # The guards of the arena cannot be read, nor can what the kernel maps.
                if "r" not in mode or name in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                    continue
                memory.seek(start)
                data = b""
                while len(data) < end - start:
                    part = memory.read(end - start - len(data))
                    if not part:
                        break
                    data += part
                bytes_read += len(data)
                for match in pattern.finditer(data):
                    print(f"{windows[match[0]]} {kind} {start + match.start():x} {name}")
    finally:
        os.kill(pid, signal.SIGCONT)
    print(f"# {bytes_read // 1024} KiB read", file=sys.stderr)
    if bytes_read == 0:
        sys.exit("nothing could be read")


main()
