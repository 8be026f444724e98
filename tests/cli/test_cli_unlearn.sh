# What `lethe unlearn` runs with and says: areas, forms, divergence, options that reach every run it makes.
. "$(dirname "$0")/lib.sh"

run 0 train $tiny --epochs 3 --no-augment --out base --json
how="--threads 1 --quiet"

# the defaults are those of the base run and of the method's area, and the result says them
run 0 unlearn base --method amun --forget random:10% $how --out a --json
json out lr lr_area lr_area_default steps batch form phi_share phi_auc original.phi_share original.forget_acc original.test_acc
same "form" "$(value out form)" "adversarial only"
near "default area" "$(value out lr_area_default)" 5
near "lr n S" "$(calc "$(value out lr) * $(value out steps) / $(value out epochs) * (1 + 0.1) * $(value out epochs) / 2")" "$(value out lr_area)"
contains a/log.txt "adversarial only (base was trained without augmentation)"
run 0 unlearn base --method amun --adv-only no --lr 0.01 --epochs 1 --forget random:10% $how --out b --json
same "form" "$(value out form)" "plain form"
near "given rate" "$(value out lr)" 0.01
run 0 unlearn base --method ft --lr-area 0 --epochs 1 $how --out zero --json
near "weights at area 0" "$(value out delta_norm_l2)" 0
run 0 unlearn base --method ft --preset published --epochs 1 $how --out published --json
same "published" "$(value out published)" true
error 2 "found both" unlearn base --method ft --lr 0.1 --lr-area 1 $how --out never
[ ! -e never ] || fail "a refused run leaves its directory"
run 0 unlearn base --method ft --lr-area 1 --epochs 1 $how --out never --json
mkdir mine empty
echo mine >mine/notes
error 2 "at most one round" unlearn base --method trw --forget class:1 --rounds 9 --epochs 2 $how --out empty
[ ! -e empty ] || fail "a refused run leaves files in an empty directory"
error 2 "found both" unlearn base --method ft --lr 0.1 --lr-area 1 $how --force --out mine
[ -s mine/notes ] || fail "a refused run removes what it did not make"
run 0 unlearn base --method ft --lr-area 1 --epochs 1 $how --out kept --json
error 2 "with another" unlearn base --method ft --lr 0.1 --lr-area 1 $how --out kept
[ -e kept/DONE ] || fail "a refused run removes a finished one"

# a model that memory has no room for is refused before memory is taken, where memory is that small
if [ "$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)" -lt 40 ]; then
    error 7 "training resnet18:width=1024.* needs .* GiB, but only .* GiB are available" \
        train $tiny --model resnet18:width=1024 --epochs 1 $how --out wide
    [ ! -e wide ] || fail "a model that does not fit leaves a directory"
fi

# a run that destroys the model is no result, and nothing is called forgotten that was not
error 5 "diverged" unlearn base --method ft --lr 1000 --epochs 3 $how --out lost
[ ! -e lost/DONE ] || fail "a diverged run is finished"
run 0 unlearn base --method ft --lr 0.01 --epochs 1 --threads 1 --out text
contains out "forget accuracy .* (before: "
lacks out "forgot "

# every option reaches every run that a stream makes
printf 'random:8\nclass:3\n' >two.txt
where="--precision bf16 --deterministic --conv-algorithm direct"
run 0 unlearn base --method ft --epochs 1 --lr 0.01 $where $how --requests two.txt --out s --json
for k in 1 2; do
    for option in '"precision": {"value": "bf16"' '"deterministic": {"value": true' '"conv-algorithm": {"value": "direct"' \
        '"unlearn.ft.epochs": {"value": 1'; do
        contains s/request-$k/resolved.json "$option"
    done
done
bf16=$(value s/request-1/result.json model_digest)
run 0 unlearn base --method ft --epochs 1 --lr 0.01 --deterministic --conv-algorithm direct $how --requests two.txt --out f --json
[ "$bf16" != "$(value f/request-1/result.json model_digest)" ] || fail "--precision does not reach the requests"
error 2 "one request of a stream" unlearn --resume s/request-2 --threads 1

# and every run of the demo
run 0 demo --train-limit 200 --test-limit 100 --width 2 --epochs 1 --methods ft --method-epochs 1 $where $how --out d --json
for k in base retrain ft; do
    contains d/$k/resolved.json '"precision": {"value": "bf16"'
    contains d/$k/resolved.json '"deterministic": {"value": true'
    contains d/$k/resolved.json '"conv-algorithm": {"value": "direct"'
done
contains d/ft/resolved.json '"unlearn.ft.epochs": {"value": 1'
finish
