# The committed reference page is what the program says; man page and completion are well formed.
. "$(dirname "$0")/lib.sh"

run 0 --dump-docs markdown
cp out cli.md
diff -u "$SOURCE/docs/cli.md" cli.md >diff.txt || {
    head -40 diff.txt >&2
    fail "docs/cli.md is out of date: lethe --dump-docs markdown >docs/cli.md"
}
run 0 --dump-docs man
contains out "^\.TH LETHE 1"
if command -v man >/dev/null 2>&1; then
    man -l out >rendered 2>warnings || fail "man cannot render the page"
fi
run 0 --dump-docs bash
contains out "complete -o filenames -F _lethe lethe"
if command -v bash >/dev/null 2>&1; then
    bash -n out || fail "bash cannot read the completion"
    cat >try.bash <<'END'
. ./out
COMP_WORDS=(lethe unlearn --meth) COMP_CWORD=2
_lethe
echo "${COMPREPLY[*]}"
END
    bash try.bash | grep -q -- "--method" || fail "completion does not offer --method"
fi
error 2 "expected markdown, man or bash" --dump-docs html
finish
