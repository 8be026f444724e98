# lib.sh - what the scripts share: a work directory of their own, and checks that say what failed.
# A script is run with LETHE and JSON_CHECK set to the two programs and SOURCE to the repository.
set -u
: "${LETHE:?}" "${JSON_CHECK:?}" "${SOURCE:?}"
work=$(mktemp -d "${TMPDIR:-/tmp}/lethe-cli.XXXXXX") || exit 1
# A script that forgets `finish` fails too when a check did.
trap 'rc=$?; rm -rf "$work"; [ "${failures:-1}" = 0 ] || exit 1; exit "$rc"' EXIT
trap 'exit 1' INT TERM
cd "$work" || exit 1
export LETHE_HOME="$work/home" HOME="$work" XDG_DATA_HOME="$work/share"
unset LETHE_DATA NO_COLOR LETHE_TRACE
failures=0

fail() {
    failures=$((failures + 1))
    printf 'FAILED: %s\n' "$*" >&2
    [ ! -s err ] || sed 's/^/    stderr: /' err | tail -5 >&2
}

# run CODE ARGS...: the exit code must be CODE. Output in ./out and ./err.
run() {
    want=$1
    shift
    "$LETHE" "$@" >out 2>err
    got=$?
    [ "$got" = "$want" ] || fail "lethe $*: exit code $got, expected $want"
}

# error CODE TEXT ARGS...: fails with CODE, one clear line with TEXT on stderr, and nothing on stdout.
error() {
    code=$1 text=$2
    shift 2
    run "$code" "$@"
    grep -q "^lethe: .*$text" err || fail "lethe $*: no message with '$text'"
    [ "$(grep -c '^lethe: ' err)" = 1 ] || fail "lethe $*: more than one error line"
    [ ! -s out ] || fail "lethe $*: output on stdout although it failed"
}

contains() { # contains FILE TEXT
    grep -q -- "$2" "$1" || fail "$1 has no '$2'"
}

lacks() {
    ! grep -q -- "$2" "$1" || fail "$1 has '$2'"
}

json() { # json FILE KEY...: one JSON object with these keys
    file=$1
    shift
    "$JSON_CHECK" "$@" <"$file" 2>err || fail "$file: not one JSON object with the keys $*"
}

value() { # value FILE KEY
    "$JSON_CHECK" -g "$2" <"$1"
}

same() { # same WHAT A B
    [ "$2" = "$3" ] && [ -n "$2" ] || fail "$1: '$2' and '$3' differ"
}

calc() { # calc EXPRESSION of awk
    awk "BEGIN { printf \"%.15g\", $1 }"
}

near() { # near WHAT A B: numbers equal but for rounding
    awk -v a="$2" -v b="$3" 'BEGIN { d = a - b; m = b < 0 ? -b : b; exit !(a != "" && b != "" && d * d <= 1e-14 * (1 + m) * (1 + m)) }' ||
        fail "$1: '$2' and '$3' differ"
}

finish() {
    [ "$failures" = 0 ] || exit 1
    exit 0
}

# The small job of all scripts: 200 images, a network that trains in a second.
tiny="--data synthetic,train=200,test=100 --model simple-conv:width=8 --batch 50 --threads 1"
