# Every command of the pages for first-time users, in a directory of its own for each page.
. "$(dirname "$0")/lib.sh"
export OMP_NUM_THREADS=1
lethe() { "$LETHE" "$@"; }
for page in privacy-engineer researcher edge-engineer; do
    sed -n '/^```sh$/,/^```$/p' "$SOURCE/docs/start/$page.md" | sed '/^```/d' >"commands.$page"
    [ "$(grep -c '^lethe \|; do lethe ' "commands.$page")" -ge 6 ] || fail "$page: the page has lost commands"
    mkdir "$page"
    cd "$page"
    while IFS= read -r command; do
        eval "$command" >out 2>err </dev/null || fail "$page: $command: exit code $?: $(tail -n 1 err)"
    done <"../commands.$page"
    cd ..
done
[ -s researcher/report.html ] || fail "the researcher has no report"
[ -s researcher/scores.npz ] || fail "the researcher has no scores"
[ -s edge-engineer/model.o ] || fail "the exported network was not compiled"
sed -n '/^```c$/,/^```$/p' "$SOURCE/docs/start/edge-engineer.md" | sed '/^```/d' >edge-engineer/program.c
(cd edge-engineer && cc -std=c11 -Wall -Wextra -Werror program.c deploy/model.c -o program && head -c 3072 deploy/model.onnx | ./program >class) 2>err ||
    fail "the program of the page does not work: $(cat err)"
contains edge-engineer/class '^[0-9]$'
contains privacy-engineer/samples.csv '^index,class,file,digest'
finish
