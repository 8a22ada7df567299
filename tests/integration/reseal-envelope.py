#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: reseal-envelope.py ISSUER.pem ISSUER.key RECIPIENT.pem FINGERPRINT [notBefore|damaged|nonsense]

Makes an envelope by openssl(1) whose content names the machine of FINGERPRINT as the host: an
envelope that nvme-keyctl would not make.
"""

import json
import subprocess
import sys
import tempfile

issuer, key, recipient, fingerprint = sys.argv[1:5]
how = sys.argv[5] if len(sys.argv) > 5 else ""
pair = {
    "hostNQN": "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555",
    "subsystemNQN": "nqn.2026-11.org.example:a",
    "host": fingerprint,
    "generation": 9,
    "psk": "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:",
    "identityVersions": [1],
    "derivation": "rfc8446",
}
if how == "notBefore":
    pair["notBefore"] = 2**60
content = {"format": "nvme-keyd envelope", "version": 1, "id": "0" * 32, "issued": 1, "keys": [pair]}
text = b"nonsense" if how == "nonsense" else json.dumps(content).encode()
inner = subprocess.run(
    ["openssl", "cms", "-sign", "-binary", "-nodetach", "-nocerts", "-keyid", "-nosmimecap"]
    + ["-outform", "DER", "-signer", issuer, "-inkey", key],
    input=text, stdout=subprocess.PIPE, check=True).stdout
if how == "damaged":
    inner = inner.replace(b'"generation": 9', b'"generation": 8')
with tempfile.NamedTemporaryFile() as f:
    f.write(inner)
    f.flush()
    subprocess.run(
        ["openssl", "cms", "-encrypt", "-binary", "-aes-256-gcm", "-outform", "PEM", "-in", f.name]
        + ["-recip", recipient, "-keyopt", "ecdh_kdf_md:sha256"],
        check=True)
