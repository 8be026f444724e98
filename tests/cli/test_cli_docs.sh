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
error 2 "expected markdown, man, bash, zsh, fish or options" --dump-docs html
error 2 "expected unlearn.METHOD" --dump-docs options nothing

# code in the pages: the method compiles, the arrays are what audit reads
sed -n '/^```c$/,/^```$/p' "$SOURCE/docs/add-a-method.md" | sed '/^```/d' >weighted.c
cc -std=c11 -Wall -Wextra -Werror -D_GNU_SOURCE -fsyntax-only -I"$SOURCE/include" -I"$SOURCE/src" weighted.c 2>err ||
    fail "the method of docs/add-a-method.md does not compile"
if python3 -c 'import numpy' 2>/dev/null; then
    sed -n '/^```python$/,/^```$/p' "$SOURCE/docs/audit-arrays.md" | sed '/^```/d' >arrays.py
    cat >>arrays.py <<'END'
rng = np.random.default_rng(1)
sizes = (80, 40, 60)
save_signals("signals.npz", [(rng.normal(0, 1, (n, 4)), rng.integers(0, 4, n), np.arange(n)) for n in sizes])
END
    python3 arrays.py 2>err || fail "the code of docs/audit-arrays.md fails"
    run 0 audit --allow-lint --signals signals.npz --json --bootstrap 20 # every part is numbered from 0
    json out ua ra ta svc_mia loss.ft_auc
fi

# pages of methods: option tables as generated, tags with an equation, methods with a page
"$SOURCE/tools/update-docs" --check "$LETHE" >out 2>err || fail "docs are out of date: $(cat err)"
"$SOURCE/tools/check-docs" >out 2>err || fail "tools/check-docs: $(cat out)"
same "tables with the momentum of training" "$(grep -c '\.momentum' "$SOURCE/docs/cli.md")" 1
mkdir -p copy/docs copy/src copy/tools copy/include copy/cli
cp -r "$SOURCE/docs/methods" "$SOURCE/docs/decisions" copy/docs/ && cp "$SOURCE/tools/check-docs" copy/tools/
for study in "$SOURCE"/experiments/*/README.md; do
    study=${study#"$SOURCE"/} && mkdir -p "copy/${study%/*}" && sed -n '/^#/p' "$SOURCE/$study" >"copy/$study"
done
for page in "$SOURCE"/docs/*.md "$SOURCE"/docs/howto/*.md; do # their links lead beyond the copy
    page=${page#"$SOURCE"/} && mkdir -p "copy/${page%/*}" && sed -n '/^#/p' "$SOURCE/$page" >"copy/$page"
done
for dir in unlearn attack audit train; do mkdir -p copy/src/$dir && cp "$SOURCE/src/$dir/"*.list copy/src/$dir/ 2>/dev/null; done
copy/tools/check-docs >out 2>err || fail "check-docs fails on a copy: $(cat out)"
printf '// [TRW 99] [ATT 1-99] [Izzo 2021]\n' >copy/src/unlearn/new.c
! copy/tools/check-docs >out 2>err || fail "check-docs passes a tag without an equation"
contains out 'new.c:1: \[TRW 99\]'
contains out '\[ATT 99\]'
lacks out 'Izzo'
rm copy/src/unlearn/new.c
echo 'LT_X(brand_new)' >>copy/src/unlearn/methods.list
! copy/tools/check-docs >out 2>err || fail "check-docs passes a method without a page"
contains out 'brand-new has no page'
printf '[gone](gone.md) [here](../audits.md#no-such-heading)\n' >copy/docs/methods/loss.md
! copy/tools/check-docs >out 2>err || fail "check-docs passes links to nothing"
contains out 'loss.md:1: link to docs/methods/gone.md, which does not exist'
contains out 'no heading for docs/audits.md#no-such-heading'
finish
