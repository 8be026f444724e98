# Every command of the pages for first-time users, in a directory of its own for each page.
. "$(dirname "$0")/lib.sh"
export OMP_NUM_THREADS=1
lethe() { "$LETHE" "$@"; }
for page in privacy-engineer researcher edge-engineer; do
    sed -n '/^```sh$/,/^```$/p' "$SOURCE/docs/start/$page.md" | sed '/^```/d' >"commands.$page"
    [ "$(grep -c '^lethe ' "commands.$page")" -ge 6 ] || fail "$page: the page has lost commands"
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
contains privacy-engineer/samples.csv '^index,class,file,digest'
finish
