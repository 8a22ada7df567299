#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck source-path=SCRIPTDIR
# Completion in bash, fish and zsh: commands, options, values, and ids of the keys that there are.
. "$(dirname "$0")/lib.sh"

daemon_start
id=$(add one a)
slot=$(ctl slot list --no-legend | awk 'NR == 1 { print $1 }')

# The completions run nvme-keyctl and systemctl by their names.
mkdir "$tmp/bin"
printf '#!/bin/sh\nexec "%s/nvme-keyctl" --socket="%s" "$@"\n' "$build" "$varlink" >"$tmp/bin/nvme-keyctl"
printf '#!/bin/sh\nexit 0\n' >"$tmp/bin/systemctl"
chmod +x "$tmp/bin/"*
PATH=$tmp/bin:$PATH

in_bash() {
    # shellcheck disable=SC2016 # expands inside
    bash -c '. "$1"; COMP_LINE=$2 COMP_POINT=${#2}; _nvme_keyctl; printf "%s\n" "${COMPREPLY[@]}"' \
        bash "$source/shell-completion/bash/nvme-keyctl" "$1" 2>&1
}
in_fish() {
    HOME=$tmp fish --no-config -c "source $source/shell-completion/fish/nvme-keyctl.fish; complete -C '$1'" 2>&1
}
in_zsh() {
    HOME=$tmp timeout 60 zsh -f "$source/tests/integration/complete.zsh" "$source/shell-completion/zsh" "$1" 2>&1 |
        sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g' | tr -d '\r'
}

for shell in bash fish zsh; do
    if ! command -v "$shell" >/dev/null; then
        skip "$shell" "$shell is not installed"
        continue
    fi
    # offers TEXT LINE REGEX
    offers() { like "$shell: $1" "$("in_$shell" "$2")" "$3"; }
    offers "commands" "nvme-keyctl " "monitor"
    offers "the beginning of a command" "nvme-keyctl rota" "rotate"
    offers "commands of two words" "nvme-keyctl " "slot"
    offers "the second word" "nvme-keyctl slot " "reseal"
    offers "options of a command" "nvme-keyctl add --der" "--derivation="
    offers "options of all commands" "nvme-keyctl add --js" "--json="
    is "$shell: no options of others" "$("in_$shell" "nvme-keyctl list --" | grep -c -e --tpm2-pcrs)" 0
    offers "options of two words" "nvme-keyctl slot add --tpm" "--tpm2-pcrs="
    offers "values" "nvme-keyctl add --role=" "target"
    offers "types of slots" "nvme-keyctl slot add " "systemd-creds"
    offers "ids of keys" "nvme-keyctl show " "$id"
    offers "ids of slots" "nvme-keyctl slot remove " "$slot"
    offers "NQNs" "nvme-keyctl list --hostnqn=" "11111111-2222"
    offers "options after an argument" "nvme-keyctl rotate $id --key" "--key-file="
done

# --- many keys

# A stand-in that lists as many keys as the test says. All of bash is in one process, without its start.
printf '#!/bin/sh\nexec cat "%s/keys"\n' "$tmp" >"$tmp/bin/nvme-keyctl"
# timed N LINE: prints the milliseconds for a completion among N keys, the best of five.
timed() {
    awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "%016x active host 1 h nqn.2026-11.org.example:s%06d 1 f\n", i * 7919, i }' >"$tmp/keys"
    # shellcheck disable=SC2016 # expands inside
    bash -c '. "$1"; COMP_LINE=$2 COMP_POINT=${#2}
        for i in 1 2 3 4 5; do
            start=${EPOCHREALTIME/./}; _nvme_keyctl; echo $(((${EPOCHREALTIME/./} - start) / 1000))
        done' bash "$source/shell-completion/bash/nvme-keyctl" "$2" | sort -n | head -n 1
}
for line in "nvme-keyctl show 0" "nvme-keyctl list --subsysnqn=nqn.2026"; do
    few=$(timed 3000 "$line") many=$(timed 12000 "$line")
    diag "$line: $few ms among 3,000 keys, $many ms among 12,000"
    check "12,000 keys: ${line#nvme-keyctl }: linear" test "$many" -lt $((few * 6 + 50))
done
finish
