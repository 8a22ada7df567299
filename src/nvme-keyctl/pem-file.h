/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "envelope/machine.h"
#include "nvme-keyctl/cli.h"

/* Files with certificates and keys, for envelopes. All return an exit code, after printing what is
 * wrong. */

/* Reads the certificate of a machine or an issuer. */
int pem_file_read_certificate(const char *path, X509 **ret);

/* Reads the private key of an issuer: a file, or a URI that a provider of OpenSSL knows, such as
 * pkcs11: or handle:. A passphrase is asked for by OpenSSL. */
int pem_file_read_key(const char *path, EVP_PKEY **ret);

/* Writes a private key into a new file of mode 0600. */
int pem_file_write_key(const char *path, EVP_PKEY *key);
