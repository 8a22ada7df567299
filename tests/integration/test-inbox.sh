#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# Envelopes in a drop directory: taken ones go, refused ones stay with the reason, and nothing leads out of it.
. "$(dirname "$0")/lib.sh"

command -v openssl >/dev/null || skip_all "needs openssl"
cd "$tmp" || exit
"$build/nvme-keyctl" envelope issuer issuer.key >issuer.pem
"$build/nvme-keyctl" envelope issuer other.key >other.pem
daemon_start
ctl machine show >machine.pem 2>/dev/null
ctl machine trust issuer.pem >/dev/null
# seal NAME [ISSUER]: an envelope for the subsystem NAME.
seal() { "$build/nvme-keyctl" envelope seal --issuer="${2:-issuer}.pem" --issuer-key="${2:-issuer}.key" --hostnqn="$HOST" --subsysnqn="nqn.2026-11.org.example:$1" --to=machine.pem --generate; }
names() { find "$1" -mindepth 1 -maxdepth 1 -printf '%P\n' | sort | xargs; }
count() { ctl list --json=short | json 'len(o["keys"])'; }
mkdir -m 700 inbox

run ctl inbox "$tmp/inbox"
is "nothing there" "$status$out$err" 0
refused "no directory" 3 "cannot read .*nowhere: No such file" ctl inbox "$tmp/nowhere"
seal a >inbox/a.tmp
seal b >inbox/.b
run ctl inbox "$tmp/inbox"
is "on their way: left alone" "$status$out$(names inbox)" "0.b a.tmp"
mv inbox/a.tmp inbox/a
mv inbox/.b inbox/b
run ctl inbox "$tmp/inbox"
is "renamed: taken, and removed" "$status $(count) $(names inbox)" "0 2 "

seal c other >inbox/c
head -c 300 <(seal d) >inbox/half
run ctl inbox "$tmp/inbox"
is "refused: they stay, with the reason" "$status $(names inbox)" "14 c c.reason half half.reason"
is "refused: the reason" "$(<inbox/c.reason)" "signed by no issuer that this machine trusts"
like "refused: a line for the journal" "$err" "c: refused: signed by no issuer"
run ctl inbox "$tmp/inbox"
is "refused: once" "$status$out$err" 0
seal d >inbox/half
run ctl inbox "$tmp/inbox"
is "refused: tried again when it has changed" "$status $(count) $(names inbox)" "0 3 c c.reason"
rm inbox/*

# --- names and files of strangers
seal e >outside
ln -s "$tmp/outside" inbox/link
mkfifo inbox/fifo
mkdir inbox/directory
seal f >"inbox/"$'\e[31mred\n'
head -c 300000 /dev/zero >inbox/large
run ctl inbox "$tmp/inbox"
is "strangers: the one that is an envelope was taken" "$status $(count)" "14 4"
is "strangers: no control character reaches the terminal" "$(grep -c $'\e' <<<"$out$err")" 0
check "strangers: a link is not followed" test -e outside -a -L inbox/link
like "strangers: too large" "$(<inbox/large.reason)" "too large"
rm -r inbox
mkdir -m 700 inbox

# --- a volume of Kubernetes: files are links into a directory that is swapped
mkdir inbox/..1
seal g >inbox/..1/g
ln -s ..1 inbox/..data
ln -s ..data/g inbox/g
run ctl inbox "$tmp/inbox"
is "volume: taken" "$status $(count)" "0 5"
is "volume: its files stay" "$(names inbox/..1)" g
run ctl inbox "$tmp/inbox"
is "volume: taken once" "$status$out$err" 0
mkdir inbox/..2
seal h >inbox/..2/h
ln -s ..2 inbox/..data_tmp
mv -T inbox/..data_tmp inbox/..data
run ctl inbox "$tmp/inbox"
is "volume: swapped" "$status $(count)" "0 6"
ln -sfT / inbox/..data
refused "volume: a link that leads out" 3 "leads out of the directory" ctl inbox "$tmp/inbox"
rm -r inbox

# --- what may go by
mkdir -m 700 inbox
seal i >inbox/i
daemon_stop
run ctl inbox "$tmp/inbox"
is "without the service: it stays, without a reason" "$status $(names inbox)" "7 i"
daemon_start
run ctl inbox "$tmp/inbox"
is "without the service: taken later" "$status $(names inbox)" "0 "
finish
