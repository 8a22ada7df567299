# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Completion of nvme-keyctl(1) for fish. Commands and options are those of "nvme-keyctl help".

# __nvme_keyctl_rows REGEX [COMMAND]: prints the rows of a help text as WORD TAB DESCRIPTION.
function __nvme_keyctl_rows
    nvme-keyctl help --no-pager $argv[2..] 2>/dev/null |
        string match --regex --groups-only -- "^  ($argv[1])(?: ?[A-Z\[][^ ]*)? +(.*)" |
        while read --local --line word text
            printf '%s\t%s\n' $word $text
        end
end

# Asks the service if it runs. Completion must not start it, and waits for a second at most.
function __nvme_keyctl_ask
    systemctl is-active --quiet nvme-keyd.service
    and timeout 1 nvme-keyctl $argv --no-legend 2>/dev/null </dev/null
end

function __nvme_keyctl_column
    __nvme_keyctl_ask list | awk -v n=$argv[1] '$n ~ /^[A-Za-z0-9][A-Za-z0-9._:-]*$/ { print $n }' | sort -u
end

# ID TAB "state host NQN, subsystem NQN"
function __nvme_keyctl_keys
    __nvme_keyctl_ask list | awk '$1 ~ /^[0-9a-f]+$/ { print $1 "\t" $2 " " $6 }'
end

function __nvme_keyctl_slots
    __nvme_keyctl_ask slot list | awk '$1 ~ /^[0-9a-f]+$/ { print $1 "\t" $2 }'
end

# Prints the command that has been typed so far: one word or two, or nothing.
function __nvme_keyctl_command
    set --local words
    for word in (commandline --tokenize --current-process --cut-at-cursor)[2..]
        string match --quiet -- '-*' $word; or set --append words $word
    end
    switch "$words[1]"
        case schedule slot store envelope fleet machine
            echo $words[1..2]
        case '*'
            echo $words[1]
    end
end

function __nvme_keyctl_values
    switch $argv[1]
        case --subsysnqn --force-for
            __nvme_keyctl_column 6
        case --hostnqn
            __nvme_keyctl_column 5
        case --role
            printf '%s\n' host target both
        case --state
            printf '%s\n' pending active retiring revoked broken overridden
        case --identity-version
            printf '%s\n' 0 1 0,1
        case --derivation
            printf '%s\n' rfc8446 compat lastfrag
        case --hmac
            printf '%s\n' sha256 sha384 none
        case --json
            printf '%s\n' pretty short off
        case --at
            printf '%s\n' now today tomorrow never
        case --key-file --socket --to --issuer --issuer-key --machine-key --place
            __fish_complete_path (commandline --current-token | string replace --regex '^--[a-z-]*=' '')
    end
end

function __nvme_keyctl_arguments
    switch "$argv"
        case ''
            __nvme_keyctl_rows '[a-z]+' | string replace --regex '^(schedule|slot|store|envelope|fleet|machine)\t.*' '$1' | sort -u
        case help
            __nvme_keyctl_rows '[a-z]+' | string replace --regex '\t.*' '' | sort -u
        case schedule slot store envelope fleet machine
            __nvme_keyctl_rows "$argv [a-z]+" | string replace "$argv " ''
        case 'slot add'
            printf '%s\n' tpm2 systemd-creds recovery
        case 'slot remove' 'slot reseal'
            __nvme_keyctl_slots
        case show adopt export rotate activate retire revoke remove probe 'schedule set'
            __nvme_keyctl_keys
        case move
            __nvme_keyctl_column 6
        case backup import restore 'store image' 'envelope show' 'envelope issuer' 'fleet enrol' inbox 'envelope take' 'machine trust'
            __fish_complete_path (commandline --current-token)
    end
end

function __nvme_keyctl_complete
    set --local token (commandline --current-token)
    set --local command (__nvme_keyctl_command)

    switch "$token"
        case '--*=*'
            set --local option (string split --max 1 = -- $token)[1]
            for value in (__nvme_keyctl_values $option)
                echo "$option=$value"
            end
        case '-*'
            __nvme_keyctl_rows '--[a-z0-9-]+=?' (string split ' ' -- $command)
            test -n "$command"; and __nvme_keyctl_rows '--[a-z0-9-]+=?'
        case '*'
            __nvme_keyctl_arguments $command
    end
end

complete --command nvme-keyctl --no-files --arguments '(__nvme_keyctl_complete)'
