# Files that the user names: reports, tables and arrays replace their like, and nothing else; report prints its warnings.
. "$(dirname "$0")/lib.sh"
run 0 train $tiny --epochs 1 --out base --json
run 0 unlearn base --method retrain --out r1 --threads 1 --json
run 0 unlearn base --method salun --epochs 1 --out salun --threads 1 --json
cp base/model.safetensors model

error 2 "signals model: expected an archive of arrays" eval base --signals model
cmp -s model base/model.safetensors || fail "eval --signals changed a model"
run 0 eval base --signals out.npz --json
run 0 eval base --signals out.npz --json
run 0 eval base --signals model --force --json
cp base/model.safetensors model

# A run is not computed into the directory of another one, its own parent least of all.
error 2 "base: expected a run of .lethe unlearn. with this configuration" unlearn base --method ft --epochs 1 --out base
error 2 "salun: expected a run of .lethe train. with this configuration" train $tiny --epochs 1 --init base --out salun
error 2 "expected another directory than that of the run that is read" unlearn base --method ft --epochs 1 --out ./base/ --force
cmp -s model base/model.safetensors || fail "unlearn replaced the run that it started from"

error 2 "out model: expected a report of lethe or no file" report r1 salun --out model
error 2 "csv model: expected a table of lethe" report r1 salun --csv model --out page.html
error 2 "markdown model: expected a report of lethe" report r1 salun --markdown model --out page.html
error 2 "out model: expected a table of lethe" report r1 salun --format csv --out model
cmp -s model base/model.safetensors || fail "report changed a model"
[ ! -e page.html ] || fail "a report that was refused left a page"
for again in 1 2; do
    run 0 report r1 salun --out page.html --csv table.csv --markdown table.md
done
contains out "^SalUn  *with retained data"
contains out "^warning: .*forgotten samples: one sample moves every rate"
[ "$(awk '/^(error|warning|note):/ { exit } { if (length($0) > n) n = length($0) } END { print n + 0 }' out)" -le 80 ] ||
    fail "the table of report is wider than 80 columns"
error 2 "out table.csv: expected a report of lethe" report r1 salun --out table.csv
run 0 report r1 salun --out model --force
contains model '<meta name="generator" content="lethe '
finish
