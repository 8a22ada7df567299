# SPDX-License-Identifier: LGPL-2.1-or-later
"""The TPM, as one that takes 20 s to unseal: for NVME_KEYD_TCTI=cmd:, which talks to it by standard input and output."""

import os
import sys
import time

TPM2_CC_UNSEAL = 0x15E
HEADER = 10


def read_exactly(size):
    data = sys.stdin.buffer.read(size)
    if len(data) < size:
        sys.exit(0)
    return data


def main():
    tpm = os.open("/dev/tpmrm0", os.O_RDWR)
    while True:
        header = read_exactly(HEADER)
        size = int.from_bytes(header[2:6], "big")
        command = header + read_exactly(size - HEADER)
        if int.from_bytes(header[6:10], "big") == TPM2_CC_UNSEAL:
            time.sleep(20)
        os.write(tpm, command)
        sys.stdout.buffer.write(os.read(tpm, 4096))
        sys.stdout.buffer.flush()


main()
