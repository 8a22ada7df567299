#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""pcr-extend.py PCR: measures something into a PCR, as firmware does (TPM2_PCR_Extend, with 32 random bytes for SHA-256)."""

import os
import struct
import sys

ST_SESSIONS, CC_PCR_EXTEND, RS_PW, ALG_SHA256 = 0x8002, 0x182, 0x40000009, 0x000B

# one authorization: an empty password
authorization = struct.pack(">IHBH", RS_PW, 0, 0, 0)
body = struct.pack(">II", int(sys.argv[1]), len(authorization)) + authorization
body += struct.pack(">IH", 1, ALG_SHA256) + os.urandom(32)
with open("/dev/tpmrm0", "r+b", buffering=0) as tpm:
    tpm.write(struct.pack(">HII", ST_SESSIONS, 10 + len(body), CC_PCR_EXTEND) + body)
    code = struct.unpack(">HII", tpm.read(4096)[:10])[2]
if code != 0:
    sys.exit(f"TPM2_PCR_Extend: 0x{code:x}")
