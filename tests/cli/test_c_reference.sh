# docs/c-reference.md is what the headers give, says something of every function, and has every function of the library.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null 2>&1 || {
    echo "skipped: no Python on this machine"
    exit 77
}
page=$SOURCE/docs/c-reference.md
"$SOURCE/tools/c-reference" --check 2>err || fail "docs/c-reference.md is not what the headers give"
! grep -n '|  |$' "$page" >silent || fail "nothing is said of: $(head -3 silent)"
library=$(find "${BUILD:-nowhere}" -name liblethe.so 2>/dev/null | head -1)
if [ -n "$library" ] && command -v nm >/dev/null 2>&1; then
    nm -D --defined-only "$library" | sed -n 's/.* \(lt_[a-z0-9_]*\).*/\1/p' | sort -u >exported
    [ "$(wc -l <exported)" -gt 600 ] || fail "the library exports $(wc -l <exported) functions only"
    sed -n 's/^| `\(lt_[a-z0-9_]*\).*/\1/p' "$page" | sort -u >listed
    comm -23 exported listed >missing
    [ ! -s missing ] || fail "not in the page: $(head -5 missing | tr '\n' ' ')"
    comm -13 exported listed >unknown
    [ ! -s unknown ] || fail "in the page, but not in the library: $(head -5 unknown | tr '\n' ' ')"
fi
finish
