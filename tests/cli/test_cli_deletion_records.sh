# docs/howto/deletion-records.md, command by command.
. "$(dirname "$0")/lib.sh"
page="$SOURCE/docs/howto/deletion-records.md"
export OMP_NUM_THREADS=1 LETHE_THREADS=1
run 0 train $tiny --epochs 1 --out runs/original
printf '3\n14\n15\n92\n' >request.txt
sed -n '/^```sh$/,/^```$/p' "$page" | sed '/^```/d' >commands
[ "$(grep -c '^lethe ' commands)" -ge 15 ] || fail "the page has lost commands"
lethe() { "$LETHE" "$@"; }
n=0
while IFS= read -r command; do
    n=$((n + 1))
    eval "$command" >"out.$n" 2>err </dev/null || fail "$command: exit code $?"
done <commands
grep -q 'audit' out.4 && grep -q '2031-17' out.4 || fail "the list lacks the audit or the request"
contains out.5 "was recorded before"
contains out.6 '"not_proven"'
contains receipt.html "Deletion receipt for request 2031-17"
contains receipt.html "made to forget 4 training samples"
contains "out.$n" "the one you named"
contains "out.$n" "4 runs\|3 runs"
finish
