# SPDX-License-Identifier: LGPL-2.1-or-later
#
# usage: zsh -f complete.zsh DIRECTORY LINE
# Prints what the completion functions of DIRECTORY show for a line, in a shell on a terminal of its own.
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1= fpath=($1 \$fpath); stty -echo columns 400 rows 200; autoload -U compinit; compinit -u -D"
zpty -w shell 'zstyle ":completion:*" list-separator "--"; setopt no_list_ambiguous; unset LISTMAX; LISTMAX=0; zle_highlight=(none)'
zpty -w shell 'bindkey "^I" list-choices; zle -N done-listing; done-listing() { print; print LISTED }; bindkey "^X" done-listing; print READY'
zpty -r shell text '*READY*READY*' 2>/dev/null
zpty -n -w shell "$2"$'\t\x18'
zpty -r -m shell text '*LISTED*'
print -r -- "$text"
