# Streams of forget requests: child runs, keys, resumption, oracles, references, and what is refused.
. "$(dirname "$0")/lib.sh"

run 0 train $tiny --epochs 4 --out base --json
base=$(value out model_digest)
printf '# a stream\nrandom:12 seed=5\nclass:3\nrandom:8\n' >stream.txt
quick="--epochs 1 --lr 0.01 --no-augment --threads 1 --save-adv"

# one search on the first model; every request is a run of its own
run 0 unlearn base --method amun $quick --requests stream.txt --out s --json
json out n_requests n_forget forget_acc retain_acc test_acc test_loss delta_norm_l2 time.search_s time.update_s epochs images_per_s \
    requests.2.phi.ft_auc requests.2.phi.fr_auc requests.2.fr_minus_ft_auc requests.2.cumulative.fr_minus_ft_auc requests.0.run \
    reaudit.2.0.phi.fr_minus_ft_auc reaudit.2.2.forget_acc model_digest parent_digest forget_digest
same "requests" "$(value out n_requests)" 3
same "seeds" "$(value out requests.0.seed) $(value out requests.2.seed)" "1 3" # --seed + k - 1
for k in 0 2; do
    near "FR - FT" "$(value out requests.$k.fr_minus_ft_auc)" "$(calc "$(value out requests.$k.phi.fr_auc) - $(value out requests.$k.phi.ft_auc)")"
    near "FR - FT so far" "$(value out requests.$k.cumulative.fr_minus_ft_auc)" \
        "$(calc "$(value out requests.$k.cumulative.phi.fr_auc) - $(value out requests.$k.cumulative.phi.ft_auc)")"
done
same "samples" "$(value out n_forget)" 40
same "epochs" "$(value out epochs)" 3
same "parent of the stream" "$(value out parent_digest)" "$base"
same "last model" "$(value out model_digest)" "$(value out requests.2.model_digest)"
same "RMIA without references" "$(value out requests.0.rmia)" null
last=$(value out model_digest)
for k in 1 2 3; do
    for file in DONE model.safetensors signals.npz forget.csv result.json; do
        [ -e "s/request-$k/$file" ] || fail "no $file of request $k"
    done
    [ -s s/request-$k/adv/adv.csv ] && [ ! -e s/request-$k/search ] && [ ! -e s/search ] || fail "request $k: adversarial examples"
done
same "parent of the first request" "$(value s/request-1/result.json parent_digest)" "$base"
same "parent of the second request" "$(value s/request-2/result.json parent_digest)" "$(value s/request-1/result.json model_digest)"
same "forgotten before the third" "$(value s/request-3/result.json n_forgotten_before)" 32
same "retained in the third" "$(value s/request-3/result.json n_retain)" 160
same "searches" "$(value s/request-1/result.json adversarial_set.digest)" "$(value s/request-3/result.json adversarial_set.digest)"
same "time of the one search" "$(value out time.search_s)" "$(value s/request-1/result.json time.search_s)"
[ "$(wc -l <s/forget.csv | tr -d ' ')" = 41 ] || fail "forget.csv does not hold the samples of all requests"
sort -u s/request-1/forget.csv s/request-2/forget.csv s/request-3/forget.csv >united
sort -u s/forget.csv | cmp -s - united || fail "the requests together are not the stream"

# finished: returned as it is
run 0 unlearn base --method amun $quick --requests stream.txt --out s --json
same "finished before" "$(value out cached)" true
run 0 unlearn base --method amun $quick --requests stream.txt --out s
contains out "re-audited after the last request"
contains out "finished before"

# the directory is a run
run 0 audit --allow-lint s --json --threads 1
same "samples of the audited stream" "$(value out n_forget)" 40
run 0 eval s --json --threads 1
run 0 report s --out r.html --json --threads 1

# a search for each
run 0 unlearn base --method amun --adaptive $quick --requests stream.txt --out a --json
[ "$(value out model_digest)" != "$last" ] || fail "--adaptive changes nothing"
[ "$(value a/request-1/result.json adversarial_set.digest)" != "$(value a/request-2/result.json adversarial_set.digest)" ] ||
    fail "--adaptive searches once"

# retrained for each request, as oracles of the other stream: judged anew without being made again
run 0 unlearn base --method retrain --requests stream.txt --out o --threads 1 --json
run 0 unlearn base --method amun $quick --requests stream.txt --oracle o --out s --json
json out requests.0.oracle.distance_l2 requests.1.oracle.difference.forget_acc requests.2.oracle.difference.phi_fr_auc \
    requests.2.oracle.figures.phi.ft_auc
same "last model, judged anew" "$(value out model_digest)" "$last"
same "oracle of the second request" "$(value out requests.1.oracle.run)" o/request-2
same "what oracle and model have forgotten" "$(value out requests.1.oracle.same_forgotten)" true
run 0 unlearn base --method amun $quick --requests stream.txt --oracle o/request-3 --out s --json
same "one oracle for all" "$(value out requests.0.oracle.run)" o/request-3
same "samples of one oracle for all" "$(value out requests.0.oracle.same_forgotten)" false
error 2 "expected one run, or one for each of 3 requests, found 2" \
    unlearn base --method amun $quick --requests stream.txt --oracle o/request-1 --oracle o/request-2 --out s

# reference models of all samples
store="--data synthetic,train=200,test=100 --model simple-conv:width=8 --batch 50 --epochs 2 --count 4 --store st"
run 0 store train $store --json
run 0 store signals $store --out refs.npz --json
run 0 unlearn base --method amun $quick --requests stream.txt --references refs.npz --out s --json
json out requests.2.rmia.ft_auc requests.2.cumulative.rmia.fr_minus_ft_auc reaudit.2.0.rmia.fr_minus_ft_auc
same "reference models" "$(value out n_references)" 4
# ... give the figures that an audit of that request alone gives, where the population is the same: the first request
run 0 store signals $store --samples-from s/request-1/signals.npz --out like.npz --json
run 0 audit --allow-lint s/request-1 --references like.npz --threads 1 --json
near "RMIA of the first request" "$(value out rmia.ft_auc)" "$(value s/result.json requests.0.rmia.ft_auc)"
near "phi AUC of the first request" "$(value out auc.phi.fr)" "$(value s/result.json requests.0.phi.fr_auc)"
error 3 "expected 300 samples of 10 classes" unlearn base --method amun $quick --requests stream.txt \
    --references "$SOURCE/tests/methods/golden/mia_references.npz" --out s

# diagnostics of the theorem: base is the request before
run 0 audit --allow-lint s/request-2 --oracle o/request-2 --amun-bound-out d.npz --threads 1 --json
json out diagnostics.delta.median diagnostics.eps_final.histogram.counts.0 diagnostics.lipschitz.loss diagnostics.lipschitz.local_max \
    diagnostics.lipschitz.layers.3.sigma diagnostics.loss.original_adv.mean diagnostics.transfer.unlearned.as_adv \
    diagnostics.oracles.0.loss.retrained_clean diagnostics.oracles.0.c.mean diagnostics.oracles.0.l_delta_minus_c.bound_mean \
    diagnostics.oracles.0.distance_l2.original_retrained diagnostics.oracles.0.transfer.wrong
same "base of the diagnostics" "$(value out diagnostics.base)" s/request-1
same "change of the parameters" "$(value out diagnostics.unlearned_original_l2 | cut -c1-8)" \
    "$(value s/request-2/result.json delta_norm_l2 | cut -c1-8)"
[ -s d.npz ] || fail "no d.npz"
v() { value out "diagnostics.$1"; }
o=oracles.0
near "Lipschitz constant of the loss" "$(v lipschitz.loss)" "$(calc "sqrt(2) * $(v lipschitz.logits)")"
near "L delta - C with the bound" "$(v $o.l_delta_minus_c.bound_mean)" "$(calc "$(v lipschitz.loss) * $(v delta.mean) - $(v $o.c.mean)")"
near "L delta - C, local" "$(v $o.l_delta_minus_c.local_mean)" "$(calc "$(v lipschitz.local_max) * $(v delta.mean) - $(v $o.c.mean)")"
near "C" "$(v $o.c.mean)" "$(calc "$(v loss.original_adv.mean) + $(v loss.unlearned_adv.mean) - $(v $o.loss.retrained_clean) - $(v $o.loss.retrained_adv)")"
near "change of the squared distance" "$(v $o.squared_distance_change)" \
    "$(calc "$(v $o.distance_l2.unlearned_retrained) ^ 2 - $(v $o.distance_l2.original_retrained) ^ 2")"
run 0 audit --allow-lint s/request-2 --no-amun-bound --threads 1 --json
same "diagnostics that were not wanted" "$(value out diagnostics)" null
run 0 audit --allow-lint o/request-1 --threads 1 --json
same "diagnostics without an adversarial set" "$(value out diagnostics)" null
error 2 "no adversarial set" audit o/request-1 --amun-bound-out e.npz --threads 1
mv s/request-1 s/elsewhere
run 0 audit --allow-lint s/request-2 --threads 1 --json
same "diagnostics without a base" "$(value out diagnostics)" null
contains out '"no-base"'
mv s/elsewhere s/request-1

# a list cut in its order; a stream goes on from a stream
{ echo unlearn_idx && sed 1d s/request-1/forget.csv | sort -rn; } >list.csv
run 0 unlearn base --method ft $quick --requests split:3x4:list.csv --request-lr-decay 0.5 --out cut --json
same "first piece" "$(sed 1d cut/request-1/forget.csv | sort -rn | tr '\n' ' ')" "$(sed -n 2,5p list.csv | tr '\n' ' ')"
contains cut/request-3/resolved.json '"unlearn.ft.lr": {"value": 0.0025,'
printf 'random:5\nrandom:5\n' >more.txt
run 0 unlearn cut --method ft $quick --requests more.txt --out more --json
same "forgotten before" "$(value out n_forgotten_before)" 12
[ "$(wc -l <more/forgotten.csv | tr -d ' ')" = 23 ] || fail "forgotten.csv does not hold everything"
error 2 "has been forgotten already" unlearn cut --method ft $quick --requests cut:1x4:list.csv --out never

# interrupted, and resumed to the same weights
long="--method ft --epochs 25 --lr 0.01 --threads 1 --requests stream.txt"
run 0 unlearn base $long --out whole --json
digest=$(value out model_digest)
"$LETHE" unlearn base $long --out parts >out 2>err &
pid=$!
n=0
until grep -q '"epoch": 2' parts/request-2/metrics.jsonl 2>/dev/null; do
    kill -0 $pid 2>/dev/null && [ $n -lt 1200 ] || break
    n=$((n + 1))
    sleep 0.05
done
kill -INT $pid 2>/dev/null
wait $pid
same "exit code of a stream after SIGINT" "$?" 75
contains err "^hint: continue with: lethe unlearn --resume parts"
[ -e parts/request-1/DONE ] || fail "the first request is not done"
[ ! -e parts/DONE ] || fail "an interrupted stream says it is done"
run 0 unlearn --resume parts --threads 1 --json
same "digest of a stream after --resume" "$(value out model_digest)" "$digest"
# the environment does not reach into the requests
LETHE_REQUESTS=more.txt LETHE_ORACLE=o/request-1 run 0 unlearn base --method ft $quick --out env --json
same "requests from the environment" "$(value out n_requests)" 2

# what is refused, before there is a directory
printf '%s\n' "$(sed -n 2p list.csv)" "$(sed -n 3p list.csv)" >one.csv
sed -n 3p list.csv >two.csv
printf 'file:one.csv\nrandom:3\nfile:two.csv\n' >overlap.txt
error 3 "index $(cat two.csv) is in request 1 (file:one.csv) and in request 3 (file:two.csv)" \
    unlearn base --method ft --requests overlap.txt --out never
error 2 "omit --forget" unlearn base --method ft --requests stream.txt --forget class:1 --out never
error 2 "goes with --requests" unlearn base --method ft --oracle o/request-1 --out never
error 2 "unknown option" unlearn base --method ft --stream-first base --out never
error 2 "has no lr" unlearn base --method ssd --requests stream.txt --request-lr-decay 0.9 --out never
error 3 "nowhere.txt" unlearn base --method ft --requests nowhere.txt --out never
error 3 "list.csv:1: 'unlearn_idx' is not a forget set" unlearn base --method ft --requests list.csv --out never
contains err "split:KxN:IDS.csv"
error 2 "expected split:KxN:IDS.csv" unlearn base --method ft --requests split:3:list.csv --out never
[ ! -e never ] || fail "a stream that was refused left a directory"
# every request computes with the options of the stream
printf 'random:5 seed=1\nrandom:5 seed=2\n' >pair.txt
run 0 unlearn base --method ft --epochs 1 --threads 1 --deterministic --conv-algorithm direct --precision bf16 --requests pair.txt \
    --out computed --json
for k in 1 2; do
    options=computed/request-$k/resolved.json
    same "computation of request $k" "$(value $options precision.value) $(value $options conv-algorithm.value) $(value $options deterministic.value)" \
        "bf16 direct true"
done
finish
