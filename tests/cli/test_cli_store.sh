# The store of reference models: plan, train, signals in the order of a target, interruption, damage, pruning.
. "$(dirname "$0")/lib.sh"
export LETHE_CACHE= # no timing of kernels: a fixed rule chooses
refs="$tiny --epochs 3 --count 4 --seed 0 --threads 2"
dir="$LETHE_HOME/store"

run 0 store plan $refs --json
json out store model data_digest count n n_ready n_unfinished n_missing train_images images_per_s seconds n_workers models
same "missing before training" "$(value out n_missing)" 4
same "images to train" "$(value out train_images)" 1800 # half of 300 samples, 4 models, 3 epochs
[ ! -e "$dir" ] || fail "planning left something in the store"
run 0 store plan $refs --no-measure
contains out "0 ready, 0 unfinished, 4 missing"
error 4 "expected 4 reference models, found 0 (0 unfinished, 4 missing)" store signals $refs --out refs.npz
[ ! -e refs.npz ] || fail "signals of missing models were written"

run 0 store train $refs --json
json out n_ready n_trained wall_s models
same "trained" "$(value out n_trained)" 4
run 0 store train $refs --json
same "trained again" "$(value out n_trained)" 0
run 0 store plan $refs --json
same "ready" "$(value out n_ready)" 4
same "nothing to wait for" "$(value out seconds | sed 's/\.0*$//')" 0
run 0 store signals $refs --out refs.npz --json
same "samples" "$(value out n_samples)" 300
for address in "$dir"/*; do # other verbs take the models
    run 0 eval "$address" --threads 1 --json
    break
done

# references of a clipped model are clipped, too: other models, with every layer at its target
run 0 store train --data synthetic,train=100,test=50 --model simple-conv:width=4,bn=0 --epochs 1 --count 2 --threads 2 --clip-norm 0.3 --store clipped --json
for entry in clipped/*; do
    run 0 norms "$entry/model.safetensors" --no-upper --json
    for layer in 0 1 2 3; do
        same "layer $layer of a reference is clipped" "$(calc "$(value out layers.$layer.sigma.0) < 0.304")" 1
    done
done

# in the order of a target's signals
run 0 train $tiny --epochs 1 --out target
run 0 eval target --signals target.npz --forget random:10% --threads 1
run 0 store signals $refs --samples-from target.npz --out like.npz --json
same "samples of the target" "$(value out n_samples)" 300
if python3 -c 'import numpy' 2>/dev/null; then
    python3 - <<'END' || fail "signals are not what the target's order says"
import numpy as np
r, l, t = np.load("refs.npz"), np.load("like.npz"), np.load("target.npz")
assert r["logits"].shape == (4, 300, 10) and r["logits"].dtype == np.float32
assert r["member"].shape == (4, 300) and r["member"].dtype == np.uint8
assert (r["member"].sum(0) == 2).all() and set(np.unique(r["member"])) == {0, 1}
train = np.unique(t["ids"][t["group"] != 2])
test = np.unique(t["ids"][t["group"] == 2])
place = np.where(t["group"] == 2, 200 + np.searchsorted(test, t["ids"]), np.searchsorted(train, t["ids"]))
assert (place != np.arange(300)).any()
assert (l["ids"] == t["ids"]).all() and (l["labels"] == t["labels"]).all() and r["ids"].shape == r["labels"].shape == (300,)
order = np.roll(np.arange(300), 1)
np.savez("rolled.npz", **{k: t[k][order] for k in t.files})
assert (l["member"] == r["member"][:, place]).all()
assert np.allclose(l["logits"], r["logits"][:, place], atol=1e-4)
END
    run 0 audit --signals target.npz --references like.npz --scores scores.npz --attacks rmia,lira --allow-lint
    run 0 audit --signals rolled.npz --references like.npz --scores moved.npz --attacks rmia,lira --allow-lint
    python3 - <<'END' || fail "scores depend on the order of the rows"
import numpy as np
a, b = np.load("scores.npz"), np.load("moved.npz")
assert all((np.roll(a[k], 1) == b[k]).all() for k in a.files)
END
fi
run 0 data export synthetic,train=100,test=50,seed=9 --out other.npz
run 0 train --data npz:other.npz --model simple-conv:width=8 --epochs 1 --threads 1 --out stranger
run 0 eval stranger --signals stranger.npz --threads 1
error 3 "stranger.npz: row 0" store signals $refs --samples-from stranger.npz --out x.npz

# interrupted: the same command continues
long="$tiny --epochs 40 --count 2 --threads 2 --store here"
"$LETHE" store train $long >out 2>err &
pid=$!
n=0
while [ "$(ls here 2>/dev/null | wc -l)" -lt 2 ] && [ $n -lt 1200 ]; do
    n=$((n + 1))
    sleep 0.05
done
sleep 0.2
kill -INT $pid 2>/dev/null
wait $pid
same "exit code after SIGINT" "$?" 75
contains err "interrupted: of 2 reference models"
contains err "^hint: the same command continues"
ls here/*/state.safetensors >/dev/null 2>&1 || fail "no checkpoint was left"
run 0 store list --store here
contains out "unfinished"
run 0 store train $long --json
cp out resumed.json
run 0 store train $tiny --epochs 40 --count 2 --threads 1 --store there --json
for entry in here/*; do # the same weights as without interruption
    cmp -s "$entry/model.safetensors" "there/${entry#here/}/model.safetensors" || fail "$entry differs after resumption"
done

# damage and removal
run 0 store list --json
json out store n bytes entries
same "models listed" "$(value out n)" 4
cp there/*/model.safetensors . 2>/dev/null
for address in "$dir"/*; do
    cp model.safetensors "$address/model.safetensors"
    break
done
error 4 "model digest" store signals $refs --out x.npz --quiet
contains err "^hint: .*prune --corrupt"
head -c 100 model.safetensors >"$address/model.safetensors"
error 4 "model.safetensors: expected a header" store signals $refs --out x.npz --quiet
contains err "^hint: .*prune --corrupt"
[ ! -e x.npz ] || fail "signals of a damaged model were written"
run 0 store prune --corrupt --dry-run --json
same "would be removed" "$(value out n)" 1
run 0 store prune --corrupt --json
same "removed" "$(value out n)" 1
error 4 "expected 4 reference models, found 3" store signals $refs --out x.npz
run 0 store train $refs --json
same "trained after removal" "$(value out n_trained)" 1
run 0 store signals $refs --out again.npz
cmp -s refs.npz again.npz || fail "signals differ after a model was made again"
error 2 "expected --incomplete" store prune
run 0 store prune --all
contains out "4 models"
run 0 store list --json
same "models after --all" "$(value out n)" 0

error 2 "even number" store plan $tiny --count 5
error 2 "data is missing" store plan
error 2 "found 'trian'" store trian
contains err "^hint: did you mean .lethe store train"
error 2 "expected one of" store
error 2 "out is missing" store signals $refs
error 5 "reference models failed, the first is 000" store train $tiny --count 2 --lr 1e6 --epochs 2 --quiet
finish
