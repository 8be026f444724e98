# `lethe unlearn --until held-out`: ends after the first epoch that is enough, never later than its epochs, and what
# ended it is not what audits it.
. "$(dirname "$0")/lib.sh"

run 0 train $tiny --epochs 8 --no-augment --out base --json
run 0 unlearn base --method retrain --forget random:20% --threads 1 --quiet --out oracle --json
how="--forget random:20% --threads 1 --quiet --until held-out"

# aucs RUN: the AUC of phi after each epoch
aucs() {
    tr -d ' \n' <"$1/result.json" | sed 's/.*"phi_auc":\[\([^]]*\)\].*/\1/' | tr ',' ' '
}

run 0 unlearn base --method amun --adv-only --lr 0.05 --lr-step-every 0 --epochs 12 $how --out a --json
json out until.kind held_out_seed until.n_stop until.n_audit until.reached
same "reached" "$(value out until.reached)" true
n=$(aucs a | wc -w)
same "epochs" "$(value out epochs)" "$n"
[ "$n" -lt 12 ] || fail "all epochs were run: $(aucs a)"
echo "$(aucs a)" | awk '{ for (i = 1; i <= NF; i++) if (($i <= 0.5) != (i == NF)) exit 1 }' ||
    fail "it did not end after the first AUC of at most 0.5: $(aucs a)"

# a cap that is reached is said
run 0 unlearn base --method ft --lr 1e-5 --epochs 2 $how --out b --json
same "epochs" "$(value out epochs)" 2
same "reached" "$(value out until.reached)" false
contains b/log.txt "2 epochs were not enough"

# the halves are all of the test samples and have none in common; outputs and audits are of one of them
sort a/held-out-stop.csv >stop
sort a/held-out-audit.csv >audit
same "common" "$(comm -12 stop audit)" test_id
same "halves" "$(cat stop audit | wc -l | tr -d ' ')" "$(calc "$(value a/result.json until.n_stop) + $(value a/result.json until.n_audit) + 2")"
run 0 audit a --oracle oracle --attacks loss --bootstrap 0 --allow-lint --json
same "audited" "$(value out n_test)" "$(value a/result.json until.n_audit)"
run 0 audit oracle --attacks loss --bootstrap 0 --allow-lint --json
same "audited without" "$(value out n_test)" "$(calc "$(value a/result.json until.n_stop) + $(value a/result.json until.n_audit)")"
run 0 report base oracle a b --out page.html

# what ended a run stays out of the audits of its children
seq 0 199 >all
{ echo unlearn_idx; awk 'NR == FNR { gone[$1] } NR > FNR && !($1 in gone)' a/forget.csv all | head -20; } >more.csv
run 0 unlearn a --method rl --lr 0.01 --epochs 1 --forget file:more.csv --threads 1 --quiet --out child --json
run 0 audit child --attacks loss --bootstrap 0 --allow-lint --json
same "audited child" "$(value out n_test)" "$(value a/result.json until.n_audit)"

error 2 "expected a method that fine-tunes with --until" unlearn base --method retrain $how --out never
finish
