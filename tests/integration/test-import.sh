#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# nvme-keyctl import: key files of nvme-cli and of our own, all of it or nothing.
. "$(dirname "$0")/lib.sh"

readonly many=${KEYD_TEST_KEYS:-10000}
file=$tmp/keys
# The test writes thousands of keys several times, so the store is where a sync costs nothing.
if [ -w /dev/shm ]; then
    state=$(mktemp -d /dev/shm/keyd-test.XXXXXX)
    defer "rm -rf '$state'"
fi

cat >"$tmp/keyfile.py" <<'PY'
"""Lines of key files. keyfile.py KIND SEED NAME [HOST], or: keyfile.py many N"""
import base64
import hashlib
import sys
import zlib

HOST = "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"


def text(key, hash_id, version=1):
    data = base64.b64encode(key + zlib.crc32(key).to_bytes(4, "little")).decode()
    return f"NVMeTLSkey-{version}:{hash_id:02d}:{data}:"


def line(kind, seed, name, host=HOST):
    """kind: v0, v1, v0-384, v1-384, v0-old, generated, configured"""
    size = 48 if kind.endswith("384") else 32
    hash_id = 2 if size == 48 else 1
    key = hashlib.sha384(seed.encode()).digest()[:size]
    digest = base64.b64encode(hashlib.sha384(b"digest" + key).digest()[:size]).decode()
    pair = f"{host} nqn.2026-11.org.example:{name}"
    if kind == "configured":
        return f"{pair} {text(key, hash_id)}"
    if kind == "generated":
        return f"NVMe1G01 {pair} {digest} {text(key, hash_id)}"
    if kind.startswith("v0"):
        return f"NVMe0R{hash_id:02d} {pair} {text(key, hash_id, 0 if kind == 'v0-old' else 1)}"
    return f"NVMe1R{hash_id:02d} {pair} {digest} {text(key, hash_id)}"


if sys.argv[1] == "many":
    for i in range(int(sys.argv[2])):
        print(line("v1", f"many{i}", f"many:{i:06d}"))
else:
    print(line(*sys.argv[1:]))
PY

line() {
    python3 "$tmp/keyfile.py" "$@"
}

# make_file: standard input becomes the key file.
make_file() {
    cat >"$file"
    chmod 600 "$file"
}

# The bytes of a line's key, and those that the ring has under its identity, as hex.
line_hex() {
    "$python" -c 'import base64, sys; print(base64.b64decode(sys.argv[1].split(":")[-2])[:-4].hex())' "$1"
}
ring_hex() {
    local serial
    for serial in $(keyctl rlist "$(ring)"); do
        [ "$(keyctl rdescribe "$serial" | cut -d ';' -f 5-)" != "$1" ] ||
            keyctl pipe "$serial" | od -An -v -tx1 | tr -d ' \n'
    done
}

count() {
    ctl status --json=short | json 'o["keys"]'
}

daemon_start

# --- the form of nvme-cli

v0=$(line v0-old one a) v1=$(line v1 two a) big=$(line v1-384 three b)
{
    printf '\xef\xbb\xbf# exported by nvme\n'
    echo
    sed 's/ /\t/g' <<<"$v0"
    printf '%s\r\n' "${v1// /   }"
    line generated x y
    echo "$HOST DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:"
    printf '%s' "$big"
} | make_file
run ctl import "$file"
is "nvme-cli: it is imported" "$status ${out%%$'\n'*}" "0 3 imported, 0 unchanged, 2 skipped"
is "nvme-cli: a command comments the secrets out" "$(sed -n '$s/^ *//p' <<<"$out")" "sed -i -e '3,4s/^/#/' -e '7s/^/#/' -- '$file'"
cp -p "$file" "$file.before"
like "nvme-cli: the store is made for it" "$err" "^nvme-keyctl: the store is new and sealed by systemd-creds"
is "nvme-cli: exactly those identities" "$(ring_names)" \
    "$(printf '%s\n' "${v0% *}" "${v1% *}" "${big% *}" | sort)"
for text in "$v0" "$v1" "$big"; do
    is "nvme-cli: the bytes of ${text:0:8}" "$(ring_hex "${text% *}")" "$(line_hex "$text")"
done
id=$(ctl list --no-legend | awk '/ 0 +-$/ { print $1 }')
is "nvme-cli: the properties of the key of version 0" "$(ctl show "$id" --json=short |
    json '(o["key"]["kind"], o["key"]["hash"], o["key"]["identityVersions"], "derivation" in o["key"])')" \
    "('derived', 'sha256', [0], False)"
is "nvme-cli: import itself leaves the file alone" "$(cmp "$file" "$file.before")" ""
run ctl import - <"$file"
is "again: nothing changes" "$status $out$err" "0 0 imported, 3 unchanged, 2 skipped"
daemon_stop
daemon_start
is "after a restart: the same" "$(ring_names | wc -l) $(count)" "3 3"
like "rotation makes it a configured key" "$(psk new | ctl rotate "$id" --force --json=short | json 'o["key"]["kind"]')" configured
is "rotation: the identity is the same" "$(ring_names)" "$(printf '%s\n' "${v0% *}" "${v1% *}" "${big% *}" | sort)"
is "rotation: the bytes are not" "$([ "$(ring_hex "${v0% *}")" != "$(line_hex "$v0")" ] && echo other)" other

# --- names that nvme-cli's pages and tests have

printf '%s\n' "NVMe0R01 hostnqn blktests-subsystem-1 ${v0##* }" "host-2 subsystem-2 $(psk without)" | make_file
run ctl import "$file"
is "names without nqn.: they are imported" "$status ${out%%$'\n'*}" "0 2 imported, 0 unchanged, 0 skipped"
is "names without nqn.: each is a warning" "$(grep -c "$file:[12]: warning: the .* NQN .* does not begin with \"nqn.\"" <<<"$err")" 4
like "names without nqn.: they are published" "$(ring_names)" "NVMe0R01 hostnqn blktests-subsystem-1"
like "names without nqn.: also of a configured PSK" "$(ring_names)" "NVMe1R01 host-2 subsystem-2 "
daemon_stop
daemon_start
is "names without nqn.: the store has them after a restart" "$(ctl status --json=short | json 'o["keys"], o["broken"]')" "(6, 0)"
is "names without nqn.: as docs/CREDSTORE.md has them" "$("$python" "$source/tests/integration/read-store.py" "$state" |
    grep -c "host-2\|hostnqn")" 2
for id in $(ctl list --no-legend | awk '/subsystem-[12]/ { print $1 }'); do ctl remove "$id"; done

# --- our own form

{ line configured four c && line v1 five d; } | make_file
run ctl import "$file" --role=target --json=short
is "configured: the result" "$status $(json '(o["added"], o["unchanged"], o["skipped"])' <<<"$out")" "0 (2, 0, 0)"
id=$(add four c --role=target 2>/dev/null)
is "configured: it is there" "$id" ""
is "configured: as add would have made it" "$(ring_names | grep -c ':c')" 2
is "derived: of one version on a target, too" "$(ring_names | grep -c ':d')" 1

# --- refusals: nothing is changed by any

base=$(count)
good=$(line v1 six e)
# bad TEXT STATUS REGEX LINE...: a good line stands before them.
bad() {
    local text=$1 expected=$2 regex=$3 before
    shift 3
    printf '%s\n' "$good" "$@" | make_file
    before=$(store_digest)
    run ctl import "$file"
    [ "$status" -eq "$expected" ] && [ -z "$out" ] && [[ $err =~ $regex ]] && [ "$(store_digest)" = "$before" ] &&
        [ "$(count)" = "$base" ]
    result $? "$text" || diag "status: $status, expected $expected" "stderr: $err" "stdout: $out"
}
bad "a line of one word" 3 "$file:2: not a line of a key file" "hello"
bad "version 1 without digest" 3 "$file:2: .*ends with a PSK digest" "NVMe1R01 $HOST $SUBSYSTEM ${v0##* }"
bad "two errors are both reported" 3 "$file:2: .*$file:4: " "x" "$(line v1 seven f)" "y"
bad "another PSK for a pair that is kept" 5 "$file:2: key [0-9a-f]{16} is already active" "$(line v1 other a)"
bad "two PSKs for one pair" 5 "$file:3: see line 2: another PSK" "$(line v1 seven f)" "$(line v1 eight f)"
bad "one NQN begins with another" 5 "$file:2: .*one subsystem NQN begins with the other" "$(line v1 nine aa)"
bad "one NQN of the file begins with another" 5 "$file:2: see line 1: the kernel may take this key .*--force-for=nqn.2026-11.org.example:e" "$(line v1 nine ee)"
printf '%s\n' "$good" "$(line v1 nine ee)" | make_file
run ctl import --force --dry-run "$file"
is "a dry run, forced" "$status $(tail -n 1 <<<"$out")$err $(count)" "0 2 to import, 0 unchanged, 0 skipped $base"
is "a dry run lists the keys line by line" "$(sed '$d' <<<"$out")" "$file:1: import: TLS PSK of ${good% *}
$file:2: import: TLS PSK of $(line v1 nine ee | sed 's/ [^ ]*$//')"
bad "many errors" 3 "$file:31: not a line.*nothing was imported" {1..30}
is "many errors: all are reported" "$(wc -l <"$tmp/err")" 31
refused_with "an empty file" 3 "no PSK in standard input" "# nothing" ctl import
rivals="NVMe0R01 $HOST nqn.2026-11.org.example:rivals $(psk one)
NVMe0R02 $HOST nqn.2026-11.org.example:rivals $(psk two 2)"
refused_with "two hashes on a host" 5 "standard input:2: see line 1: .*another hash.*takes one of them without being asked which" "$rivals" ctl import -
run ctl import --no-legend - <<<"${rivals%%$'\n'*}"
refused_with "another hash than one that is kept" 5 "standard input:1: key [0-9a-f]{16}, which has another hash" "${rivals#*$'\n'}" ctl import -
run ctl import --force - <<<"$rivals"
is "two hashes on a host, forced" "$status$err $out" "0 1 imported, 1 unchanged, 0 skipped"
for rival in $(ctl list --json=short | json '" ".join(k["id"] for k in o["keys"] if k["subsystemNQN"].endswith(":rivals"))'); do
    ctl remove "$rival"
done
refused "no such file" 3 "cannot open /nonexistent" ctl import /nonexistent
mkdir "$tmp/empty"
refused "a directory without files" 3 "no PSK in $tmp/empty" ctl import "$tmp/empty"
refused "two files" 2 "unexpected argument after import \[FILE\]$" ctl import "$file" "$file"
head -c 20000 /dev/zero | tr '\0' x | make_file
run ctl import "$file"
is "a line too long" "$status $err" "3 nvme-keyctl: $file:1: longer than any line of a key file
nvme-keyctl: nothing was imported"
{ printf 'x\0' && head -c 300000 /dev/urandom; } | make_file
run ctl import "$file"
is "random bytes: one line says what it is" "$status $err" "3 nvme-keyctl: $file:1: a byte 0: this is no text file
nvme-keyctl: nothing was imported"

# --- all conflicts at once: of the file, with the store, and of names that begin alike

{
    echo "$good"
    line v1 nine cnode10
    line v1 nine cnode1
    line v1 other a
    line v1-384 nine bb
    line v1-384 nine cnode12
} | make_file
run ctl import "$file"
# kept NAME: the id of the key of version 1 for a subsystem
kept() {
    ctl list --json=short | json "[k['id'] for k in o['keys'] if k['subsystemNQN'].endswith(':$1') and k['identityVersions'] == [1]][0]"
}
subsystem=nqn.2026-11.org.example
alike="because one subsystem NQN begins with the other"
is "all conflicts are listed" "$status $(<"$tmp/err")" "5 $(
    sed 's/^[^ ]/nvme-keyctl: &/' <<END
$file:3: see line 2: the kernel may take the key for $subsystem:cnode10 instead of this one, $alike
$file:4: key $(kept a) is already active for this host and subsystem NQN: rotate or remove it
$file:5: the kernel may take this key instead of key $(kept b) for $subsystem:b, $alike
$file:6: see line 3: the kernel takes this key instead of the key for $subsystem:cnode1, $alike
to accept what can be accepted, and connect to these subsystems with --tls-key, give
  --force-for=$subsystem:b
  --force-for=$subsystem:cnode1
4 conflicts: nothing was imported
END
)"
is "all conflicts: nothing was imported" "$(count)" "$base"
run ctl import --dry-run --json=short "$file"
is "all conflicts: a dry run with JSON" "$status $(json '[(c["reason"], c["line"], c.get("otherLine"), c.get("forceFor", "")[-6:]) for c in o["conflicts"]]' <<<"$out")" \
    "5 [('name', 3, 2, 'cnode1'), ('exists', 4, None, ''), ('name', 5, None, 'mple:b'), ('name', 6, 3, 'cnode1')]"
sed -i 4d "$file"
run ctl import --force-for=$subsystem:cnode1 "$file"
is "one subsystem is forced: the others are not" "$status $(count) $(grep -c "the kernel" "$tmp/err") $(grep -o "force-for=.*" "$tmp/err")" \
    "5 $base 1 force-for=$subsystem:b"
run ctl import --dry-run --json=short --force-for=$subsystem:cnode1 --force-for=$subsystem:b "$file"
is "two subsystems are forced" "$status $(json 'o["added"], o["forced"]' <<<"$out")$err" "0 (5, 3)"
run ctl import --dry-run --force-for=$subsystem:none - <<<"$(line v1 nine y)"
is "nothing to force" "$status $err" "0 nvme-keyctl: warning: no conflict needed --force-for="
refused "no NQN to force for" 2 "force-for= needs the NQN of a subsystem" ctl import "--force-for=cnode 1" "$file"

# more_than_fits LENGTH N: N lines, each NQN has that length
more_than_fits() {
    "$python" -c 'import sys
for i in range(int(sys.argv[2])):
    print(f"nqn.2026-11.x:h{i:06d}".ljust(int(sys.argv[1]), "x"), f"nqn.2026-11.x:s{i:06d}".ljust(int(sys.argv[1]), "x"), sys.argv[3])' \
        "$@" "${v1##* }" | make_file
}
more_than_fits 220 40000
refused "a file with more than fits into one call" 3 "at most 16 MiB at once: nothing was sent" ctl import "$file"
more_than_fits 21 130000
refused "keys that need more as a message" 3 "at most 16 MiB at once: nothing was sent" ctl import "$file"

# --- the call of an import on the wire

cat >"$tmp/calls.py" <<'PY'
import subprocess
import sys
import time

sys.path.insert(0, sys.argv[1])
from varlink import Connection

path, first, second, *command = sys.argv[2], sys.argv[3].rsplit(" ", 1), sys.argv[4].rsplit(" ", 1), *sys.argv[5:]
IMPORT = "org.nvmekeyd.Manager.Import"


def key(words):
    return {"identity": words[0], "psk": words[1]}


def count(c):
    return c.ask("org.nvmekeyd.Manager.Status")["parameters"]["keys"]


def check(text, good, *details):
    print("ok" if good else "not ok", text)
    for detail in () if good else details:
        print(detail)


with Connection(path) as c:
    base = count(c)
    reply = c.ask(IMPORT, {"keys": [key(first), {"identity": "x", "psk": first[1]}]})
    check("a wrong key is named by its place", reply.get("error") == "org.nvmekeyd.Manager.InvalidKey" and
          reply["parameters"]["index"] == 1, reply)
    for keys in (None, {}, [1], [{}], [{"identity": second[0]}], [{**key(second), "hostNQN": "nqn.a", "subsystemNQN": "nqn.b"}],
                 [{"hostNQN": "nqn.host", "psk": first[1]}]):
        reply = c.ask(IMPORT, {"keys": keys})
        check(f"bad keys {str(keys)[:20]}", reply.get("parameters") == {"parameter": "keys"}, reply)
    reply = c.ask(IMPORT, {"keys": [key(first), key(second)], "dryRun": True})
    check("a dry run", reply.get("parameters") == {"added": 2, "unchanged": 0, "unpublished": 0} and
          count(c) == base, reply)
    reply = c.ask(IMPORT, {"keys": []})
    check("no key is no error", reply.get("parameters", {}).get("added") == 0 and count(c) == base, reply)
    reply = c.ask(IMPORT, {"keys": [key(first), key(second)]})
    check("two keys", reply.get("parameters", {}).get("added") == 2 and count(c) == base + 2, reply)
    with Connection(path) as long:
        long.send(b'{"method":"' + IMPORT.encode() + b'","parameters":{"keys":[]' + b" " * 1000000)
        with subprocess.Popen(command) as other:
            time.sleep(1)
            check("another import waits while one is being sent", other.poll() is None and count(c) == base + 2)
            long.send(b"}}\0")
            check("the first one is answered", long.reply().get("parameters", {}).get("added") == 0)
            check("then the other import is answered", other.wait(60) == 0)
PY
line many 1000 | make_file
relay python3 "$tmp/calls.py" "$source/tests/integration" "$varlink" "$(line v1 ten g)" "$(line v0 eleven h)" \
    "$build/nvme-keyctl" --socket="$varlink" import --dry-run --no-legend "$file"

# --- many

daemon_stop
cp -a "$state" "$tmp/base"
keyctl clear "$(ring)"
daemon_start
base=$(count)
line many "$many" | make_file
start=$(date +%s%N)
run ctl import "$file"
took=$((($(date +%s%N) - start) / 1000000))
is "$many keys" "$status ${out%%$'\n'*}$err" "0 $many imported, 0 unchanged, 0 skipped"
diag "$many keys imported in $took ms"
is "$many keys: all are published" "$(ctl status --json=short | json 'o["keys"], o["identities"] == o["published"]')" \
    "($((base + many)), True)"
before=$(store_digest)
run ctl import "$file"
is "$many keys again: nothing changes" "${out%%$'\n'*} $(store_digest)" "0 imported, $many unchanged, 0 skipped $before"
add one more >/dev/null
is "one more key after the import" "$(count)" $((base + many + 1))

# again: the store and the ring as they were before.
again() {
    daemon_stop
    rm -rf "${state:?}"
    cp -a "$tmp/base" "$state"
    keyctl clear "$(ring)"
    daemon_start
}

again
{ cat "$file" && echo "the last line"; } >"$file.bad"
run ctl import "$file.bad"
is "an error in the last line: no key is imported" "$status $(count)" "3 $base"
line v1 other many:000000 >>"$file"
run ctl import "$file"
is "the last line has another PSK for the first pair: no key is imported" "$status $(count)" "5 $base"
like "the error names both lines" "$err" "$file:$((many + 1)): see line 1: "
sed -i '$d' "$file"

# killed WHEN...: imports, kills the daemon when the command WHEN has ended, and notes what the next
# daemon finds.
outcomes=() wrong=()
killed() {
    local found left
    again
    ctl import "$file" >/dev/null 2>&1 &
    client=$!
    "$@"
    kill -KILL "$daemon"
    wait "$daemon" "$client" 2>/dev/null
    left=$(find "$state" -name store.new)
    daemon_start
    found=$(ctl status --json=short | json '(o["keys"], o["broken"], o["identities"] == o["published"])')
    case $found in
    "($base, 0, True)") found=none ;;
    "($((base + many)), 0, True)") found=all ;;
    *) wrong+=("$found") ;;
    esac
    # A commit renames its file to the name of the store, so a new file means that it is not in force.
    [ -z "$left" ] || [ "$found" = none ] || wrong+=("a new file was left, $found was found")
    outcomes+=("$found${left:+!}")
}

# there PATTERN: waits for a file, while the import runs.
there() {
    until compgen -G "$state/$1" >/dev/null || ! kill -0 "$client" 2>/dev/null; do :; done
}
for when in "there store.new" "there store.new" "there store.new" "sleep 0.1" "sleep 0.2" "sleep 0.4" "sleep 0.8"; do
    # shellcheck disable=SC2086 # words
    killed $when
done
is "killed on the way: all or none" "$(printf '%s\n' "${wrong[@]}")" ""
diag "killed: ${outcomes[*]} (!: in the midst of the commit)"
is "nothing half-written is left" "$(find "$state" -name '*.new')" ""

finish
