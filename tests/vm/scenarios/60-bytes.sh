# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# boot: shared
# needs: nvme-keyd
# shows: identities and key bytes equal those of nvme-cli
# timeout: 400

. /opt/vm/lib.sh

sub=nqn.2026-11.org.example:bytes
modprobe nvme-keyring

# compare TEXT NVME DERIVATION VERSION KEY
compare() {
    local text=$1 nvme=$2 derivation=$3 version=$4 key=$5 want want_identity got id said

    keyctl clear "$(nvme_ring)"
    if ! "$nvme" check-tls-key --insert --identity="$version" --hostnqn="$HOSTNQN" --subsysnqn="$sub" \
        --keydata="$key" >"$tmp/nvme.out" 2>&1; then
        not_ok "$text: nvme check-tls-key"
        diag "$(cat "$tmp/nvme.out")"
        return
    fi
    want=$(ring_list | cut -d' ' -f2-)
    want_identity=${want#* }
    keyctl clear "$(nvme_ring)"

    id=$(nvme-keyctl add --subsysnqn="$sub" --identity-version="$version" --derivation="$derivation" \
        <<<"$key" 2>&1) || {
        not_ok "$text: nvme-keyctl add"
        diag "$id"
        return
    }
    got=$(ring_list | cut -d' ' -f2-)
    is "$text: identity and bytes" "$got" "$want"
    said=$(nvme-keyctl identity --subsysnqn="$sub" --json=short <<<"$key" |
        jq -r --arg d "$derivation" --argjson v "$version" \
            '.identities[] | select(.derivation == $d and .version == $v) | .identity')
    is "$text: nvme-keyctl identity" "$said" "$want_identity"
    nvme-keyctl remove "$id"
}

# The first three are published test vectors of libnvme; hash 00 means that the key is used as it is.
keys=(
    'NVMeTLSkey-1:00:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:'
    'NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:'
    'NVMeTLSkey-1:02:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwP/w0S89ELi3W2LxIcLXVsDn8kXZQ==:'
    "$(new_psk 1)"
    "$(new_psk 2)"
)

for nvme in nvme /opt/sid/nvme; do
    version_text=$("$nvme" version | awk 'NR == 1 { print $3 }')
    # nvme-cli derived differently before 2.16 (libnvme 1.16)
    if [ "$(printf '%s\n' 2.16 "$version_text" | sort -V | head -n 1)" = 2.16 ]; then
        derivation=rfc8446
    else
        derivation=compat
    fi
    if ! "$nvme" check-tls-key --help 2>&1 | grep -q -- --insert; then
        not_ok "nvme-cli $version_text ($nvme) has check-tls-key --insert"
        continue
    fi
    for version in 0 1; do
        for i in "${!keys[@]}"; do
            compare "nvme-cli $version_text, $derivation, identity $version, key $i (hash $(cut -d: -f2 <<<"${keys[i]}"))" \
                "$nvme" "$derivation" "$version" "${keys[i]}"
        done
    done
done
