#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# nvme-keyctl import: files of each program that keeps PSKs, and what it says about what is left in them.
. "$(dirname "$0")/lib.sh"

readonly samples=$source/tests/samples OWN=nqn.2014-08.org.nvmexpress:uuid:befdec4c-2234-11b2-a85c-ca77c773af36
key=$(grep -o 'NVMeTLSkey-1:01:V.*:' "$samples/tls-keys-2.9" | head -n 1)
creds=$tmp/creds
export NVME_KEYD_NVME_CREDENTIALS=$creds
mkdir -m 700 "$creds"

# take FILE...: private copies of samples.
take() {
    local name
    for name; do
        install -m 600 "$samples/$name" "$tmp/$name"
    done
}

remove_all() {
    local id
    for id in $(ctl list --no-legend | cut -d ' ' -f 1); do
        ctl remove "$id"
    done
}

# imports FILE NUMBER SKIPPED [OPTION...]
imports() {
    local file=$1 number=$2 skipped=$3
    shift 3
    take "$file"
    run ctl import "$@" "$tmp/$file"
    is "$file: it is imported" "$status ${out%%$'\n'*}" "0 $number imported, 0 unchanged, $skipped skipped"
}

daemon_start

imports tls-keys-2.9 2 0
like "tls-keys-2.9: the ring has both" "$(ring_names)" $'NVMe1R01 .* nqn.io-1 .*\nNVMe1R02 .* nqn.io-2 '
remove_all
imports tls-keys-2.11 2 0
remove_all
imports tls-keys-3.1 2 2
remove_all
imports tls-keys-edited 2 0
is "tls-keys-edited: warnings" "$(grep -c 'does not begin with' <<<"$err")" 2
remove_all

# --- config.json

imports config.json 2 0
is "config.json: a configured PSK and one of an identity" \
    "$(ctl list --json=short | json 'sorted((k["subsystemNQN"], k["kind"], k["hostNQN"] == "'$OWN'") for k in o["keys"])')" \
    "[('nqn.io-1', 'configured', True), ('nqn.io-2', 'derived', True)]"
is "config.json: the line of what is left" "$(sed '1,2d' <<<"$out")" "    $tmp/config.json:18"
remove_all
imports config-hosts.json 1 1 --hostnqn="$HOST"
like "config-hosts.json: the host of the command line" "$(ring_names)" "^NVMe1R02 $HOST nqn.io-4 "
remove_all

# --- nvme-fabrics.conf

take nvme-fabrics.conf
mkdir "$tmp/nvme-fabrics.conf.d"
printf '[Host]\nhostnqn=nqn.x:other\n[Subsystem]\nnqn=nqn.io-6\ntls-key=%s\n' "$key" >"$tmp/nvme-fabrics.conf.d/other.conf"
echo "tls-key=x" >"$tmp/nvme-fabrics.conf.d/README"
chmod 600 "$tmp"/nvme-fabrics.conf.d/*
run ctl import --dry-run "$tmp/nvme-fabrics.conf"
is "nvme-fabrics.conf: a dry run lists what is in it and in its drop-ins" "$status $out" "0 $tmp/nvme-fabrics.conf:9: import: PSK of host $OWN and subsystem nqn.2014-08.org.nvmexpress.discovery, hash sha256
$tmp/nvme-fabrics.conf:15: import: PSK of host $OWN and subsystem nqn.2024-01.com.example:prod.vol1, hash sha256
$tmp/nvme-fabrics.conf:23: import: TLS PSK of NVMe1R01 $OWN nqn.2024-01.com.example:prod.vol2 iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU=
$tmp/nvme-fabrics.conf.d/other.conf:5: import: PSK of host nqn.x:other and subsystem nqn.io-6, hash sha256
4 to import, 0 unchanged, 1 skipped"
like "nvme-fabrics.conf: a dry run says what it skips" "$err" "nvme-fabrics.conf:27: skipped: it names a key of the keyring by its serial"
run ctl import --dry-run --json=short "$tmp/nvme-fabrics.conf"
is "nvme-fabrics.conf: the same as JSON" \
    "$(json '[(k["line"], k["action"], k["kind"], k["hostNQN"], k["subsystemNQN"], k.get("hash")) for k in o["keys"]][1:3], o["skipped"]' <<<"$out")" \
    "([(15, 'import', 'configured', '$OWN', 'nqn.2024-01.com.example:prod.vol1', 'sha256'), (23, 'import', 'derived', '$OWN', 'nqn.2024-01.com.example:prod.vol2', None)], 1)"
refused "nvme-fabrics.conf: another PSK for a pair of another file" 5 "other.conf:5: see $tmp/nvme-fabrics.conf:15: another PSK" \
    bash -c "sed -i 's/^hostnqn=.*/hostnqn=$OWN/; s/^nqn=.*/nqn=nqn.2024-01.com.example:prod.vol1/; s/^tls-key=.*/tls-key=$(psk other)/' \"\$1.d/other.conf\" && '$build/nvme-keyctl' --socket='$varlink' import \"\$1\"" bash "$tmp/nvme-fabrics.conf"
rm -r "$tmp/nvme-fabrics.conf.d"
run ctl import "$tmp/nvme-fabrics.conf"
is "nvme-fabrics.conf: it is imported" "$status ${out%%$'\n'*}" "0 3 imported, 0 unchanged, 1 skipped"
eval "$(tail -n 1 <<<"$out")"
is "nvme-fabrics.conf: its command comments out what was imported" "$(grep -n '^#tls-key' "$tmp/nvme-fabrics.conf" | cut -d : -f 1 | xargs)" "9 15 23"
refused "nvme-fabrics.conf: then there is no PSK in it" 3 "no PSK in" ctl import "$tmp/nvme-fabrics.conf"
remove_all

# --- key-source=systemd-creds

take nvme-stas.conf
refused "nvme-stas.conf: without its credential" 3 "nvme-stas.conf:8: cannot read the credential tls-io-5 .*: No such file" \
    sh -c "'$build/nvme-keyctl' --socket='$varlink' import '$tmp/nvme-stas.conf' 2>&1 | head -n 1 >&2; exit 3"
systemd-creds encrypt --with-key=host --name=tls-io-5 - "$creds/tls-io-5" <<<"$key" 2>/dev/null
run ctl import "$tmp/nvme-stas.conf"
is "nvme-stas.conf: systemd opens the credential" "$status ${out%%$'\n'*}" "0 1 imported, 0 unchanged, 0 skipped"
like "nvme-stas.conf: for the pair of the file" "$(ring_names)" "^NVMe1R01 $OWN nqn.io-5 "
like "nvme-stas.conf: the command names both lines" "$out" "sed -i -e '4s/\^/#/' -e '8s/\^/#/' -- '$tmp/nvme-stas.conf'\$"
remove_all
mv "$creds/tls-io-5" "$creds/other"
sed -i 's/tls-io-5/other/' "$tmp/nvme-stas.conf"
run ctl import "$tmp/nvme-stas.conf"
like "nvme-stas.conf: a credential of another name is refused" "$status $err" "^3 .*:8: cannot open the credential other: "
systemd-creds encrypt --with-key=host --name=other - - <<<hello 2>/dev/null >"$creds/other"
run ctl import "$tmp/nvme-stas.conf"
like "nvme-stas.conf: a credential without a PSK" "$status $err" "^3 .*:8: prefix: "
systemd-creds encrypt --with-key=null --name=other - - <<<"$key" 2>/dev/null >"$creds/other" ||
    systemd-creds encrypt --with-key=tpm2-absent --name=other - - <<<"$key" 2>/dev/null >"$creds/other"
run ctl import "$tmp/nvme-stas.conf"
like "nvme-stas.conf: a credential that is sealed with no key" "$status $err" "^3 .*sealed with no key"
ln -sf /etc/passwd "$creds/other"
run ctl import "$tmp/nvme-stas.conf"
like "nvme-stas.conf: a symbolic link" "$status $err" "^3 .*cannot read the credential other"

# --- SPDK, and one PSK

take spdk-key
refused "spdk-key: it does not say for whom" 3 "spdk-key:1: it does not say for which subsystem: give --subsysnqn=" \
    sh -c "'$build/nvme-keyctl' --socket='$varlink' import '$tmp/spdk-key' 2>&1 | head -n 1 >&2; exit 3"
imports spdk-key 1 0 --hostnqn=nqn.2016-06.io.spdk:host1 --subsysnqn=nqn.2016-06.io.spdk:cnode1 --role=target --identity-version=0
is "spdk-key: the identity of SPDK's documentation" "$(ring_names)" "NVMe0R01 nqn.2016-06.io.spdk:host1 nqn.2016-06.io.spdk:cnode1"
like "spdk-key: the command removes the file" "$out" "    rm -- '$tmp/spdk-key'\$"
run ctl import --subsysnqn=nqn.io-7 --hostnqn="$HOST" - <<<"$key"
is "one PSK from standard input: nothing is left" "$status $out" "0 1 imported, 0 unchanged, 0 skipped"
run ctl import --json=short "$tmp/spdk-key" --hostnqn=nqn.2016-06.io.spdk:host1 --subsysnqn=nqn.2016-06.io.spdk:cnode1 --role=target --identity-version=0
is "JSON says what is unchanged, and what is left" "$(json '[k["action"] for k in o["keys"]], o["left"]' <<<"$out")" \
    "(['unchanged'], [{'lines': [1], 'file': '$tmp/spdk-key', 'command': \"rm -- '$tmp/spdk-key'\"}])"

# --- hostile files

mkfifo -m 600 "$tmp/fifo"
refused "a FIFO without a writer does not block" 3 "no PSK in $tmp/fifo" timeout 20 "$build/nvme-keyctl" --socket="$varlink" import "$tmp/fifo"
run ctl import --subsysnqn=nqn.io-8 --hostnqn="$HOST" <(echo "$key")
is "a pipe" "$status" 0
refused "an endless file" 3 "at most 16 MiB at once: nothing was sent" ctl import /dev/zero
printf '[%.0s' {1..100} >"$tmp/deep"
run ctl import "$tmp/deep"
like "deep JSON" "$status $err" "^3 .*nothing was imported"
quoted=$tmp/"it's a file"
install -m 600 "$samples/tls-keys-2.9" "$quoted"
run ctl import "$quoted"
eval "$(tail -n 1 <<<"$out")"
is "a name with a quote: its command works" "$(grep -c '^#' "$quoted")" 2
(cd "$tmp" && install -m 600 "$samples/tls-keys-2.9" ./-x && run ctl import ./-x && [ "$status" -eq 0 ])
check "a name that begins like an option" test $? -eq 0

finish
