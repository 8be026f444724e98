# Every command that stands in a page is one: its verb is known and its options, with their values, can be read. Pages for
# people who begin, and the how-to pages, are also run as they are (test_docs_full, test_cli_deletion_full, ...).
. "$(dirname "$0")/lib.sh"
set -f # runs/* is no file here
lethe() { # what the options are, instead of doing it
    case ${1:-} in
    --* | '') "$LETHE" "$@" ;;
    *) "$LETHE" "$@" --show-config ;;
    esac
}
mkdir -p photos && printf '0\n' >ids.csv
n=0
for page in README.md docs/*.md docs/howto/*.md docs/start/*.md docs/methods/*.md docs/decisions/*.md experiments/*/README.md; do
    set +f
    for file in "$SOURCE"/$page; do
        indent='    ' # of code blocks; in the reference that is the usage, and examples have two blanks
        [ "${file##*/}" != cli.md ] || indent='  '
        # lines of code blocks, those that go on joined; without comments, other programs in front, and what is left open
        sed -e ':a' -e '/\\$/N; s/\\\n *//; ta' "$file" |
            sed -n "s/^\($indent\)\{0,1\}\(mpirun -n [0-9]* \|\.\/run \|build\/release\/cli\/\|[A-Z_]*=[^ ]* \)*\(lethe [a-z].*\)/\3/p" |
            grep -v '\.\.\.\|^lethe [a-z]* [^-]* [a-z]*:\|^lethe is \|^lethe takes \|^lethe does ' | sed 's/ #.*//; s/&$//' >commands
        while IFS= read -r command; do
            n=$((n + 1))
            case $command in # which need something that is there
            *' --config '* | *' --resume '*) continue ;;
            esac
            set -f
            eval "$command" >out 2>err </dev/null || fail "${file#"$SOURCE"/}: $command: exit code $?"
            set +f
        done <commands
    done
    set -f
done
[ "$n" -ge 60 ] || fail "only $n commands were found in the pages"
! command -v python3 >/dev/null 2>&1 || "$SOURCE/docs/figures/draw" --check 2>err || fail "figures of docs/concepts.md are out of date"
finish
