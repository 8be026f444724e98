# lethe train --adversarial: interrupted and resumed runs, the oracle's recipe, what is refused.
. "$(dirname "$0")/lib.sh"
export LETHE_CACHE="$work/cache"
robust="--adversarial trades --adv-norm l2 --adv-eps 0.3 --adv-steps 3"

run 0 train $tiny --epochs 2 $robust --out runs/whole --json
digest=$(value out model_digest)
contains runs/whole/resolved.json '"train.adversarial": {"value": "trades"'
run 0 train $tiny --epochs 2 --out runs/plain --json
[ "$(value out model_digest)" != "$digest" ] || fail "--adversarial changes nothing"
run 0 train $tiny --epochs 2 --adversarial pgd --adv-norm l2 --adv-eps 0.3 --adv-steps 3 --out runs/pgd --json
[ "$(value out model_digest)" != "$digest" ] || fail "pgd and trades give the same model"

# interrupted as soon as it has begun, resumed without repeating an option
"$LETHE" train $tiny --epochs 2 $robust --out runs/parts --quiet >out 2>err &
pid=$!
until [ -e runs/parts/env.json ] || ! kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
kill -INT "$pid" 2>/dev/null
wait "$pid"
code=$?
case $code in
75) contains err "--resume runs/parts" ;;
0) ;; # done before the signal came
*) fail "interrupted: exit code $code, expected 75" ;;
esac
run 0 train --resume runs/parts --json
same "digest after an interruption" "$(value out model_digest)" "$digest"

# the oracle is trained the same way: as many passes as the attack takes
run 0 unlearn runs/whole --method retrain --forget random:20 --threads 1 --out runs/oracle --json
same "images of two epochs" "$(value out passes.update.forward)" $((2 * 180 * 6)) # clean, attacked, clean logits, 3 steps
same "backward" "$(value out passes.update.backward)" $((2 * 180 * 5))
run 0 unlearn runs/whole --method ft --epochs 1 --forget random:20 --threads 1 --out runs/ft --json # plain, as in the paper
same "fine-tuning" "$(value out passes.update.backward)" 180

error 2 "adversarial: expected one of none, trades, pgd" train $tiny --adversarial tradez
error 2 "adv_eps above 0" train $tiny --adversarial pgd --adv-eps 0
error 2 "adv-norm" train $tiny --adversarial pgd --adv-norm l3
finish
