# Checkpoints that would run a command, claim more than they hold, or are damaged: exit code 3, nothing is executed, no
# memory beyond twice the file (and 16 MiB, which the description of a small file may take).
. "$(dirname "$0")/lib.sh"

program_kib=20000 # what the command itself takes before it reads anything
limited() {       # limited FILE TEXT: refused with TEXT under the limit of memory
    kib=$(($(wc -c <"$1") / 1024))
    if [ -n "${SANITIZE:-}" ]; then # which takes memory of its own
        error 3 "$2" inspect "$1"
        return
    fi
    (
        ulimit -d $((2 * kib + 16384 + program_kib)) || exit 1
        failures=0
        error 3 "$2" inspect "$1"
        [ "$failures" = 0 ]
    ) || failures=$((failures + 1))
}

n=0
for file in "$SOURCE"/tests/golden/hostile/*; do
    n=$((n + 1))
    limited "$file" "$(basename "$file"): "
    error 3 "$(basename "$file"): " convert "$file" x --model resnet18:width=1 --normalize none --input 3x32x32
    [ ! -e pwned ] || fail "$file: it ran a command"
    [ ! -e x ] || fail "$file: a refused checkpoint left a directory"
    rm -rf pwned x
done
[ "$n" -ge 17 ] || fail "hostile checkpoints are missing"
error 3 "the global 'posix.system' is not allowed" eval "$SOURCE/tests/golden/hostile/zip-system-2.pth" --model resnet18 --data synthetic,train=20,test=10

# Descriptions that grow a hundredfold in memory, in files of 24 MiB.
start() { printf '\200\002\212\012\154\374\234\106\371\040\152\250\120\031.\200\002M\351\003.\200\002}.\200\002K\001'; }
for opcode in N '}' '(' 2 ')'; do
    {
        start
        head -c 25165824 /dev/zero | tr '\0' "$opcode"
    } >grown.pth
    limited grown.pth "pickle byte [0-9]*: expected"
done
rm grown.pth

# Damage: every truncation of a checkpoint is refused.
for form in plain-torch1.13 plain-legacy-torch2.15 half-torch2.15; do
    sound="$SOURCE/tests/golden/checkpoints/$form.pth"
    size=$(wc -c <"$sound")
    for tenth in 1 3 5 7 9; do
        head -c $((size * tenth / 10)) "$sound" >cut.pth
        limited cut.pth "cut.pth"
    done
    run 0 inspect "$sound"
done
finish
