#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# The rules of request-key.d with those of keyutils and of others: ours match our requests and nothing
# else, in whatever order the files are read.
. "$(dirname "$0")/lib.sh"

# Files as a test leaves them that is killed with all its processes; another test may remove them first.
readonly left_rule=/etc/request-key.d/00-keyd-test-0.conf left_socket=/run/nvme-keyd/request
leave_behind() {
    flock -w 1500 9 || return
    [ ! -e "$left_socket" ] || return
    mkdir -p "${left_socket%/*}"
    "$python" -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$left_socket"
    echo "create user keyd-left * /left/behind/request-key-shim %k" >"$left_rule"
}
[ ! -d "${left_rule%/*}" ] || leave_behind 9<"${left_rule%/*}"
. "$(dirname "$0")/upcall.sh"
check "the files that a killed test left are gone" test ! -e "$left_rule" -a ! -e "$left_socket"

readonly stock=/etc/request-key.conf
readonly pair="nvme-tls-psk:$HOST $SUBSYSTEM"

daemon_start
add one a >/dev/null || bail "add"
name=$(ring_names)
serial=$(ring_serials "$name")

# chosen TYPE DESCRIPTION CALLOUT: the command that request-key(8) would run, a word on a line. Of key
# types that this kernel does not have, too.
chosen() {
    /sbin/request-key -d -n -v -D "$1;0;0;1f0000;$2" create 4711 0 0 1 2 3 "$3" 2>&1 |
        sed -n 's/^Run /run /p; s/^- argv/argv/p'
}
# ours TYPE DESCRIPTION CALLOUT: the command that it should run.
ours() {
    echo "run $shim"
    local words=("${shim##*/}" 4711 0 "$@") i
    for i in "${!words[@]}"; do
        echo "argv[$i] = \"${words[$i]}\""
    done
}

# --- the rules as they are installed

product_rules >"$rule"
is "no word is left to be replaced" "$(grep -c '@' "$rule")" 0
is "the build has the same, for where it is installed" "$(sed "s|/[^ \t]*/request-key-shim|$shim|" "$build/nvme-keyd.conf")" "$(<"$rule")"
for callout in "" "version=0" "version=1  hash=sha384 x"; do
    is "psk, callout \"$callout\"" "$(chosen psk "$name" "$callout")" "$(ours psk "$name" "$callout")"
    is "user, callout \"$callout\"" "$(chosen user "$pair" "$callout")" "$(ours user "$pair" "$callout")"
done
like "psk without digest" "$(chosen psk "NVMe1R01 $HOST $SUBSYSTEM" "")" "^run $shim"
# Keys of other types, or with other descriptions.
while IFS=: read -r type description; do
    is "not ours: $type \"$description\"" "$(chosen "$type" "$description" "" | grep -c "$shim")" 0
done <<END
user:nvme-tls-psk
user:nvme-tls-pskx $pair
user:xnvme-tls-psk:$HOST $SUBSYSTEM
user:NVME-TLS-PSK:$HOST $SUBSYSTEM
user:$name
user:NVMe
logon:$pair
psk:$pair
psk:nvme
psk:xNVMe1R01
psk:
keyring:.nvme
keyring:$name
encrypted:NVMe
dns_resolver:NVMe
dns_resolver:$pair
cifs.spnego:NVMe
id_resolver:uid:NVMe@x
END

request user "$pair"
is "the pair is answered" "$result $(text "$answer")" "OK $serial"
request user "$name"
is "no rule is for an identity of type user" "$result" ENOKEY
is "the daemon was not asked for it" "$(grep -c "not here" "$log")" 0

# --- with the rules of keyutils

is_stock() {
    [ "$(dpkg-query -W -f '${Conffiles}\n' keyutils 2>/dev/null | awk -v f="$stock" '$1 == f { print $2 }')" = \
        "$(md5sum <"$stock" | cut -d ' ' -f 1)" ]
}
# stock_answers: what the rules of keyutils do, by the kernel and by what they would run.
stock_answers() {
    local callout
    for callout in spoon negate rejected expired revoked; do
        request user "debug:keyd-$$" "$callout"
        echo "debug:* $callout: $result $(text "$answer")"
    done
    request user "debug:loop:keyd-$$" "abc def"
    echo "debug:loop: $result $(text "$answer")"
    request dns_resolver localhost ""
    echo "dns_resolver: $result $(text "$answer")"
    request user "keyd-$$" ""
    echo "nobody's: $result"
    chosen dns_resolver "afsdb:example.org" ""
    chosen user debug:loop:x ""
    chosen user "debug:nvme-tls-psk:x" ""
    chosen id_resolver "uid:x" ""
    /sbin/request-key -d -n -v -D "psk;0;0;1f0000;$name" negate 4711 0 0 1 2 3 "" 2>&1 | sed -n 's/^Run //p'
}
if ! is_stock; then
    skip "the rules of keyutils" "$stock is not as its package has it"
else
    install_rules
    stock_answers >"$tmp/with"
    rm "$rule"
    stock_answers >"$tmp/without"
    is "the rules of keyutils do the same with ours and without" "$(<"$tmp/with")" "$(<"$tmp/without")"
    like "debug: instantiates" "$(<"$tmp/with")" "debug:\* spoon: OK Debug spoon"
    like "debug: negates" "$(<"$tmp/with")" "debug:\* negate: ENOKEY"
    like "debug: rejects" "$(<"$tmp/with")" "rejected: EKEYREJECTED.*expired: EKEYEXPIRED.*revoked: EKEYREVOKED"
    like "debug: pipes" "$(<"$tmp/with")" "debug:loop: OK abc def"
    like "dns_resolver: its own program" "$(<"$tmp/with")" "run /sbin/key.dns_resolver"
    like "no rule for it: ENOKEY" "$(<"$tmp/with")" "nobody's: ENOKEY"
fi

# --- with the rules of others

# In the order in which they are read.
order() {
    find "$rules" -maxdepth 1 -name "*-keyd-test-$$-*" | grep -o '[a-z]*\.conf$'
}
readonly theirs=$rules/0-keyd-test-$$-theirs.conf
reject="/bin/keyctl reject %k 1 revoked 0"

# both TEXT TYPE DESCRIPTION RESULT: by the kernel, with our file before theirs and after it.
both() {
    local n where file seen_before='' seen_after=''
    for n in {a..z}; do
        file=$rules/$n-keyd-test-$$-ours.conf
        install_rules "$file"
        where=before
        [ "$(order | head -n 1)" = ours.conf ] || where=after
        local -n seen=seen_$where
        if [ -z "$seen" ]; then
            seen=yes
            request "$2" "$3"
            is "$1, ours $where theirs" "$result" "$4"
        fi
        rm "$file"
        [ "$seen_before$seen_after" != yesyes ] || return 0
    done
    skip "$1, the other order" "no name of 26 has it here"
}

rm -f "$rule"
printf '%s\n' "create * * * $reject" >"$theirs"
both "a rule for everything: the pair" user "$pair" OK
both "a rule for everything: an identity" user "$name" OK
printf '%s\n' "create user * * $reject" "create user debug:* * $reject" "create user *:$HOST* * $reject" \
    "create user n* * $reject" "create user N* * $reject" "create * nvme-tls-psk:* * $reject" \
    "create user nvme-tls-psk:*x * $reject" >"$theirs"
both "wider rules: the pair" user "$pair" OK
both "wider rules: an identity" user "$name" OK
both "wider rules: what is not ours is theirs" user "nvme-tls-psk" EKEYREVOKED
printf '%s\n' "create user nvme-tls-psk:$HOST* * $reject" >"$theirs"
both "a narrower rule of an administrator wins" user "$pair" EKEYREVOKED
both "but not for others" user "nvme-tls-psk:nqn.2026-11.org.example:host $SUBSYSTEM" ENOKEY
finish
