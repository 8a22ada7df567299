#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# What a person sees: tables on terminals of several widths, colours, and the pager.
. "$(dirname "$0")/lib.sh"

command -v tmux >/dev/null || skip_all "needs tmux"
# tmux runs as a server of its own, whose socket is in our directory.
screen_server() { env -u TMUX TERM=xterm-256color tmux -S "$tmp/tmux" -f /dev/null "$@"; }
defer 'screen_server kill-server 2>/dev/null'

# screen WIDTH WORD...: sets out to what nvme-keyctl shows on a terminal of that width, with colours as
# escape sequences. A line that the terminal had to wrap is one line (-J). The file appears when the program has ended.
screen() {
    local width=$1 end=$((SECONDS + 20)) command
    shift
    command=$(printf ' %q' "$build/nvme-keyctl" --socket="$socket" "$@")
    rm -f "$tmp/done"
    screen_server kill-session -t screen 2>/dev/null
    screen_server new-session -d -s screen -x "$width" -y 150 "env $variables $command; touch $tmp/done; sleep 60"
    until [ -e "$tmp/done" ] || [ "$SECONDS" -gt "$end" ]; do sleep 0.1; done
    out=$(screen_server capture-pane -t screen -p -e -J | sed 's/\x1b\[39m//g; s/ *$//' | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}')
}
# The text alone.
plain() { printf "%s\n" "$out" | sed 's/\x1b\[[0-9;]*m//g'; }
widest() { plain | awk '{ if (length > n) n = length } END { print n + 0 }'; }

daemon_start
socket=$tmp/varlink
screen_server new-session -d -s keep "sleep 600"
variables=
subsystem=nqn.2014-08.org.nvmexpress:uuid:0d4e0c5a-70a4-4b5e-9a5c-2f6f2a1b3c4d
id=$(psk one | ctl add --hostnqn="$HOST" --subsysnqn="$subsystem")
psk two | ctl add --hostnqn="$HOST" --subsysnqn=nqn.2026-11.org.example:a --role=target >/dev/null

# A wrapped NQN, put together again from its column.
nqn_of() {
    plain | awk -v head="$1" 'NR == 1 { from = index($0, head); rest = substr($0, from); match(rest, /^[A-Z]+ NQN */); n = from + RLENGTH > length($0) ? 999 : RLENGTH; next }
        /listed/ { exit } { cell = substr($0, from, n); gsub(/ /, "", cell); printf "%s", cell }'
}

for width in 80 120 200; do
    screen "$width" list
    check "$width columns: no line is longer" test "$(widest)" -le "$width"
    check "$width columns: an id is whole" grep -q "^$id " <(plain)
    is "$width columns: no NQN is cut off" "$(nqn_of SUBSYSTEM)" "${subsystem}nqn.2026-11.org.example:a"
    like "$width columns: the total" "$(plain)" "2 keys listed\\.$"
done
# The other screens: what is for people is wrapped between words. NQNs, identities and commands to copy are not.
variables="SYSTEMD_PAGER="
for words in "show $id" status "slot list" "controllers" help "help list" doctor; do
    read -ra command <<<"$words"
    for width in 80 120 200; do
        screen "$width" "${command[@]}"
        is "$width columns: ${command[*]//$id/ID}: no line is longer" \
            "$(plain | awk -v w="$width" 'length > w && !/^ *(->|(Host|Subsystem) NQN:|Identity:)/')" ""
    done
done
variables=
screen 80 show "$id"
like "80 columns: show: an identity is not cut off" "$(plain)" "NVMe1R01 $HOST $subsystem [A-Za-z0-9+/]{43}="
screen 200 list
is "200 columns: one line for each key" "$(plain | grep -cE '^[0-9a-f]{16} .* nqn\.')" 2

like "colours: the head is underlined" "$out" $'\e\\[4m'"ID"
like "colours: active is green" "$out" $'\e\\[32m'"active"
variables="NO_COLOR=1"
screen 200 list
is "NO_COLOR: no colour" "$(grep -c $'\e' <<<"$out")" 0
variables="TERM=dumb"
screen 200 list
is "TERM=dumb: no colour" "$(grep -c $'\e' <<<"$out")" 0
is "not a terminal: no colour, and nothing is wrapped" "$(ctl list | grep -c $'\e\\|^ ')" 0
# A pager that marks what goes through it.
cat >"$tmp/pager" <<'PAGER'
#!/bin/sh
echo "pager, LESSSECURE=$LESSSECURE"
exec cat
PAGER
chmod +x "$tmp/pager"
variables="SYSTEMD_PAGER=$tmp/pager"
for words in list "show $id" status "slot list" help "list --json=pretty"; do
    read -ra command <<<"$words"
    screen 200 "${command[@]}"
    like "pager: ${command[*]//$id/ID}" "$(plain)" "^pager, LESSSECURE=1"
done
screen 120 list
check "pager: the table is as wide as the terminal" test "$(widest)" -le 120
like "pager: colours stay" "$out" $'\e\\[32m'"active"
for words in "list --no-pager" "status --check" "identity --subsysnqn=x" sync; do
    read -ra command <<<"$words"
    screen 200 "${command[@]}"
    is "no pager: $words" "$(plain | grep -c '^pager')" 0
done
variables="SYSTEMD_PAGER="
screen 200 list
is "no pager: SYSTEMD_PAGER is empty" "$(plain | grep -c '^pager')$(plain | grep -c '^2 keys')" 01
variables="SYSTEMD_PAGER=/nonexistent/pager"
screen 200 list
check "a pager that is not there: the program ends" test -e "$tmp/done"
variables="SYSTEMD_PAGER=true"
screen 200 list
check "a pager that does not read: the program ends" test -e "$tmp/done"
# --- a QR code

# code_of: prints the modules of the code on the screen, row by row, "#" for dark, without the border.
code_of() {
    screen_server capture-pane -t screen -p | "$python" -c '
import sys
halves = {"\u2588": "  ", "\u2580": " #", "\u2584": "# ", " ": "##"}
lines = [line.rstrip("\n") for line in sys.stdin if line.startswith("\u2588" * 4)]
rows = ["".join(halves[c][half] for c in line) for line in lines for half in (0, 1)]
print(*(row[4:-4] for row in rows if "#" in row), sep="\n")'
}
variables=LC_ALL=C.UTF-8
screen 120 slot add recovery
recovery=$(plain | grep -E '^([0-9A-Z]{5}-){12}[0-9A-Z]{5}$')
if command -v qrencode >/dev/null; then
    is "QR code: of the recovery key" "$(code_of)" "$(qrencode -l M -m 0 -t ASCII "$recovery" | sed 's/\(.\)./\1/g')"
else
    skip "QR code: of the recovery key" "qrencode is not installed"
fi
variables=LC_ALL=C
screen 120 slot add recovery
is "QR code: none without UTF-8" "$(code_of)" ""
is "QR code: none where it is no terminal" "$(ctl slot add recovery 2>/dev/null | wc -l)" 2

# --- a question

# asked ANSWER WORD...: like screen, and types an answer to the question.
asked() {
    local answer=$1 end=$((SECONDS + 20))
    shift
    screen_server kill-session -t screen 2>/dev/null
    (
        until screen_server capture-pane -t screen -p 2>/dev/null | grep -q "\[y/N\]" || [ "$SECONDS" -gt "$end" ]; do sleep 0.1; done
        screen_server send-keys -t screen "$answer" Enter
    ) &
    screen 200 "$@"
    wait "$!"
}
state_of() { ctl show "$1" --json=short | json 'o["key"]["state"]'; }

variables=
asked n retire "$id"
like "retire: asks about a key that a controller could need" "$(plain)" "would not survive.*Do it nevertheless\? \[y/N\] n"
is "retire: no" "$(state_of "$id")" active
asked "" retire "$id"
is "retire: no answer is no" "$(state_of "$id")" active
refused "retire: no question without a terminal" 5 "would not survive its next reset" ctl retire "$id"
asked y retire "$id"
is "retire: yes" "$(state_of "$id")" retiring
finish
