#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# backup and restore: the whole store in one sealed file, from a running service, which opens by its
# recovery key on a machine with another host key and another TPM.
. "$(dirname "$0")/host-key.sh"

# The test must not use the machine's TPM, nor its systemd, which has another host key.
start() {
    daemon_start -E "NVME_KEYD_TCTI=swtpm:path=$TPM" -E "NVME_KEYD_CREDS_SOCKET=$tmp/none"
}
stop() {
    daemon_rest
    daemon_stop
}
restart() {
    stop
    start
}
# machine NAME: goes to another machine, with a host key, a state and a kernel of its own.
machine() {
    stop
    rm -f "$host_key/credential.secret"
    tpm_replace
    keyctl clear "$(ring)"
    state=$tmp/$1
    [ -d "$state" ] || mkdir -m 700 "$state"
}
ids() { ctl list --json=short | json '"\n".join(sorted(k["id"] for k in o["keys"]))'; }
types() { ctl slot list --json=short | json '"\n".join(sorted(s["type"] for s in o["slots"]))'; }
files() { (cd "$state" && find . ! -name . | sort); }
# The records that a reader of its own finds; it fails for a broken one.
ids_in() {
    mkdir -m 700 "$tmp/read" && cp "$1" "$tmp/read/store" &&
        "$python" "$source/tests/integration/read-store.py" "$tmp/read" | sed -n 's/^{"id": "\([0-9a-f]*\)".*/\1/p' | sort
    rm -rf "$tmp/read"
}
tpm_is_there() { command -v swtpm >/dev/null; }

backup=$tmp/backup

# --- backup

start
refused "backup: no store yet" 8 "there is no store yet" ctl backup "$backup"
a=$(add one a) && b=$(add two b --role=target) || bail "add"
refused "backup: no recovery key" 5 "has no recovery key, .*nvme-keyctl slot add recovery" ctl backup "$backup"
check "backup: nothing is left of what failed" test ! -e "$backup"
key=$(ctl slot add recovery | tail -n 1)
echo "$key" >"$tmp/key" && chmod 600 "$tmp/key"
run ctl backup "$backup"
is "backup: prints what it has" "$status $out$err" "0 2 keys in $backup"
is "backup: mode" "$(stat -c %a "$backup")" 600
check "backup: the same bytes as the store" cmp "$backup" "$state/store"
is "backup: its records" "$(ids_in "$backup")" "$(ids)"
is "backup: JSON" "$(ctl backup "$backup" --json=short | json 'o["keys"], o["broken"]')" "(2, 0)"
is "backup: to a pipe" "$(ctl backup - | sha256sum)" "$(sha256sum <"$state/store")"
refused "backup: JSON beside the backup" 2 "needs a file" ctl backup - --json=short
refused "backup: a directory" 5 "not a regular file" ctl backup "$tmp"
ln -s "$backup" "$tmp/link"
refused "backup: a symbolic link" 5 "not a regular file" ctl backup "$tmp/link"
refused "backup: a missing directory" 1 "cannot make $tmp/none/x: No such file" ctl backup "$tmp/none/x"
refused "backup: no file" 2 "backup needs FILE" ctl backup
like "backup: not to a terminal" "$(script -qec "$build/nvme-keyctl --socket=$varlink backup -" /dev/null)" "a backup is not for a terminal"
run bash -c '"$@" >/dev/full' bash "$build/nvme-keyctl" --socket="$varlink" backup -
is "backup: a full disk" "$status $err" "1 nvme-keyctl: standard output is full (No space left on device)"
chmod 666 "$varlink" && chmod 755 "$tmp" && chown 65534 "$tmp/key"
run setpriv --reuid=65534 --regid=65534 --clear-groups "$build/nvme-keyctl" --socket="$varlink" backup -
is "backup: another user is refused" "$status$out" 6
run setpriv --reuid=65534 --regid=65534 --clear-groups "$build/nvme-keyctl" --socket="$varlink" restore - --key-file="$tmp/key" <"$backup"
is "restore: another user is refused" "$status$out" 6
chmod 700 "$tmp" && chown 0 "$tmp/key"
like "backup: the log names the user" "$(<"$log")" "The store was backed up, sealed, with 2 keys, for uid 0"
# While keys are added and removed, each backup is one state.
changes() {
    local i
    for i in {1..12}; do
        ctl remove "$(add "$i" "busy$i")"
    done
}
changes >/dev/null &
changing=$!
broken=0
while kill -0 "$changing" 2>/dev/null; do
    ctl backup "$tmp/busy" --no-legend && ids_in "$tmp/busy" >/dev/null || broken=$((broken + 1))
done
wait "$changing"
is "backup: each is sound while keys change" "$broken" 0

# --- what is no backup, and what would be lost

for what in empty text binary cut image; do
    case $what in
    empty) : >"$tmp/bad" ;;
    text) echo '{"format":"another"}' >"$tmp/bad" ;;
    binary) head -c 100000 /dev/urandom >"$tmp/bad" ;;
    cut) head -c -100 "$backup" >"$tmp/bad" ;;
    image) ctl store image "$tmp/image" >/dev/null && mv "$tmp/image/store" "$tmp/bad" ;;
    esac
    refused "restore: $what" 3 "not a backup|cannot be read|export for a boot image" ctl restore "$tmp/bad" --key-file="$tmp/key"
done
refused "restore: no such file" 3 "cannot open $tmp/none" ctl restore "$tmp/none" --key-file="$tmp/key"
refused_with "restore: another recovery key" 3 "not the recovery key of this store" \
    "$(ctl slot add recovery | tail -n 1)" ctl restore "$backup"
refused "restore: standard input is one thing" 2 "give the recovery key by --key-file=FILE" ctl restore -
refused "restore: the keys are in the backup" 5 "has 2 keys, and the backup has them as well" ctl restore "$backup" --key-file="$tmp/key"
c=$(add three c) || bail "add"
refused "restore: a key would be lost" 5 "has 3 keys, and the backup lacks 1 of them or has an older state: $c" ctl restore "$backup" --key-file="$tmp/key"
is "restore: nothing is left of what was refused" "$(files)" "./store"
is "restore: the keys are as before" "$(ring_names | wc -l)" 4

# --- over a store with keys

serials=$(keyctl rlist "$(ring)")
run ctl restore "$backup" --key-file="$tmp/key" --force
is "forced: prints what it did" "$status $out$err" "0 2 keys restored, the store before is $state/store.replaced"
is "forced: the keys are those of the backup" "$(ids)" "$(printf '%s\n' "$a" "$b" | sort)"
becomes "forced: so are those of the ring" 3 eval 'ring_names | wc -l'
is "forced: keys of both stores were never replaced" "$(comm -12 <(tr ' ' '\n' <<<"$serials" | sort) <(keyctl rlist "$(ring)" | tr ' ' '\n' | sort) | grep -c .)" 3
is "forced: the store before is kept" "$(ids_in "$state/store.replaced")" "$(printf '%s\n' "$a" "$b" "$c" | sort)"
is "forced: modes" "$(stat -c %a "$state/store" "$state/store.replaced" | sort -u)" 600
is "forced: no other file" "$(files)" $'./store\n./store.replaced'
like "forced: the log names it" "$(<"$log")" "The store was restored from a backup with 2 keys by uid 0; the store before is $state/store.replaced"
restart
is "forced: it opens by itself afterwards" "$(ids)" "$(printf '%s\n' "$a" "$b" | sort)"
ctl restore "$backup" --key-file="$tmp/key" --force >/dev/null
is "forced: again, and the store between is kept as well" "$(files)" $'./store\n./store.replaced\n./store.replaced.2'

# --- on another machine

# restored TEXT TYPES: it has the keys and, after a restart, opens by itself by slots of these types.
restored() {
    is "$1: prints what it did" "$status $out" "0 2 keys restored"
    is "$1: keys" "$(ids)" "$(printf '%s\n' "$a" "$b" | sort)"
    is "$1: published" "$(ring_names | wc -l)" 3
    is "$1: slots" "$(types)" "$2"
    keyctl clear "$(ring)"
    restart
    is "$1: it opens by itself" "$(ids)" "$(printf '%s\n' "$a" "$b" | sort)"
    is "$1: published again" "$(ring_names | wc -l)" 3
}
machine second
start
run ctl restore "$backup" --key-file="$tmp/key"
restored "another host key" $'recovery\nsystemd-creds'
is "another host key: nothing else is said" "$err" ""
is "another host key: no other file" "$(files)" "./store"

machine third
start
run ctl restore - --key-file="$tmp/key" <"$backup"
restored "from a pipe" $'recovery\nsystemd-creds'

# A store that does not open: it may have keys.
machine third
rm -f "$host_key/credential.secret"
start
refused "a locked store is not replaced" 5 "the store here is not open, so its keys are not known" ctl restore "$backup" --key-file="$tmp/key"
run ctl restore "$backup" --key-file="$tmp/key" --force
like "a locked store, forced" "$status $out" "^0 2 keys restored, the store before is $state/store.replaced$"

if tpm_is_there; then
    machine with-tpm
    tpm_start
    start
    ctl restore "$backup" --key-file="$tmp/key" >/dev/null
    run ctl slot add tpm2 --rollback-counter
    is "a slot of the TPM, and a counter" "$status" 0
    ctl backup "$tmp/of-tpm" --no-legend

    # The counter shows an old copy, and a restore is one on purpose.
    ctl remove "$(add four d)"
    run ctl restore "$tmp/of-tpm" --key-file="$tmp/key" --force
    is "the same TPM: restored" "$status $out" "0 2 keys restored, the store before is $state/store.replaced"
    ctl backup "$tmp/of-tpm" --no-legend
    restart
    is "the same TPM: it opens by itself" "$(ids)" "$(printf '%s\n' "$a" "$b" | sort)"
    is "the same TPM: it has a counter" "$(ctl slot list --json=short | json 'o["rollbackCounter"]')" True

    machine other-tpm
    tpm_start
    start
    run ctl restore "$tmp/of-tpm" --key-file="$tmp/key"
    restored "another TPM" $'recovery\nsystemd-creds\ntpm2'
    is "another TPM: it has a counter" "$(ctl slot list --json=short | json 'o["rollbackCounter"]')" True

    machine no-tpm
    start
    run ctl restore "$tmp/of-tpm" --key-file="$tmp/key"
    like "no TPM: the slot of the old one is removed, and a warning says so" "$err" "warning: slot [0-9a-f]{8} \(tpm2\) was removed, because this machine cannot seal it; later: nvme-keyctl slot add tpm2"
    restored "no TPM" $'recovery\nsystemd-creds'
else
    skip "TPMs" "no swtpm"
fi

# --- killed

# killed_at NAME SYSCALL NUMBER: the daemon is killed as it begins that call of the restore.
machine killed
start
d=$(add five e) && ctl slot add recovery >/dev/null || bail "add"
for signal in HUP TERM KILL; do
    kill -STOP "$daemon"
    "$build/nvme-keyctl" --socket="$varlink" restore "$backup" --key-file="$tmp/key" --force >/dev/null 2>&1 &
    client=$!
    sleep 0.3
    kill "-$signal" "$client"
    wait "$client" 2>/dev/null
    kill -CONT "$daemon"
    is "nvme-keyctl is killed by $signal: the store is as before" "$(ids)" "$d"
done
stop
is "it has two states: with its key it opens" "$(ids_in "$state/store")" "$d"
finish
