# Help, man page, reference page and the completion of three shells name the same options: those of the tables.
. "$(dirname "$0")/lib.sh"
for form in man bash zsh fish markdown; do
    run 0 --dump-docs $form
    cp out made.$form
done
sed 's/\\-/-/g' made.man >made.man.txt
verbs=$("$LETHE" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\)  .*/\1/p')
[ "$(echo "$verbs" | wc -l)" -gt 15 ] || fail "found too few commands: $verbs"
for verb in $verbs; do
    run 0 "$verb" --help
    sed -n 's|^  --\(\[no-\]\)\{0,1\}\([a-z0-9-]*\)\([ =].*\)\{0,1\}$|\2|p' out | sort -u >wanted
    [ "$(wc -l <wanted)" -ge 4 ] || fail "lethe $verb --help names too few options"
    sed -n "s/^    $verb) words=\"\(.*\)\" ;;\$/\1/p" made.bash | tr ' ' '\n' | sed -n 's/^--//p' | sort -u >bash.options
    sed -n "/^    $verb) _arguments/,/;;\$/s/^        '--\([a-z0-9-]*\)[=[].*/\1/p" made.zsh | sort -u >zsh.options
    sed -n "s/^complete -c lethe -n '__fish_seen_subcommand_from $verb' -l \([a-z0-9-]*\).*/\1/p" made.fish | sort -u >fish.options
    for shell in bash zsh fish; do
        missing=$(comm -23 wanted $shell.options | tr '\n' ' ')
        [ -z "$missing" ] || fail "$shell completion of $verb does not know: $missing"
        # and nothing that the help does not have, but for --no- forms and --help
        extra=$(grep -v '^no-\|^help$' $shell.options | comm -13 wanted - | tr '\n' ' ')
        [ -z "$extra" ] || fail "$shell completion of $verb invents: $extra"
    done
    while read -r option; do
        grep -q -- "--\(\[no-\]\)\{0,1\}$option\\\\fR\|--\(\[no-\]\)\{0,1\}$option\b" made.man.txt || fail "the man page lacks --$option of $verb"
        grep -q -- "$option" made.markdown || fail "the reference page lacks --$option of $verb"
    done <wanted
done

if command -v bash >/dev/null 2>&1; then
    cat >try.bash <<'END'
. ./made.bash
try() { COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=(); _lethe; echo "${COMPREPLY[*]}"; }
try lethe tra
try lethe train --sched
try lethe train --schedule co
try lethe train --schedule = st
try lethe unlearn x --method am
try lethe train --no-nest
END
    bash try.bash >answers 2>err || fail "bash completion fails"
    same "words that bash offers" "$(tr '\n' '|' <answers)" "train|--schedule|const cosine|step|amun|--no-nesterov|"
fi
if command -v zsh >/dev/null 2>&1; then
    zsh -n made.zsh 2>err || fail "zsh cannot read the completion"
    zsh -f -c 'autoload -Uz compinit; compinit -u -D; . ./made.zsh; whence -w _lethe' >answers 2>err || fail "zsh cannot load the completion"
    contains answers "_lethe: function"
fi
if command -v fish >/dev/null 2>&1; then
    fish --no-config -c 'source made.fish; complete -C "lethe train --schedule co"; complete -C "lethe unl"' >answers 2>err || fail "fish completion fails"
    contains answers "^cosine"
    contains answers "^unlearn"
fi
error 2 "markdown, man, bash, zsh, fish or options" --dump-docs powershell
finish
