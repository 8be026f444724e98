# lethe attack, norms and ensemble with what they cannot use, or must not misread: files of unknown architectures,
# logits that are not finite, radius 0, two classes, models of other classes, options without effect.
. "$(dirname "$0")/lib.sh"

run 0 train $tiny --epochs 2 --seed 1 --out base --quiet
run 0 train --data synthetic,train-limit=40,test-limit=20,classes=0+1 --model simple-conv:width=4 --batch 20 --threads 1 --epochs 2 --out two --quiet
members="--data synthetic:train=120,test=40 --epochs 1 --threads 1"
run 0 ensemble train --members simple-conv:width=3,bn=0,simple-conv:width=3,bn=0 $members --out ens --quiet
run 0 ensemble train --members simple-conv:width=3,simple-conv:width=3 --data synthetic,train-limit=40,test-limit=20,classes=0+1 --epochs 1 --threads 1 --out pair --quiet

# An architecture that nobody knows, by its name in the file, by its tensors, and as a member.
LC_ALL=C sed 's/simple-conv/transformer/g' base/model.safetensors >other.safetensors
mkdir unknown
cp other.safetensors unknown/member-0.safetensors
cp other.safetensors unknown/member-1.safetensors
for call in "attack other.safetensors" "norms other.safetensors --input 3x32x32" "ensemble eval unknown"; do
    error 3 "metadata: model 'transformer': no such architecture" $call
    contains err "known: .*simple-conv"
done
LC_ALL=C sed 's/lethe\.model/other\.model/' base/model.safetensors >silent.safetensors
cp silent.safetensors unknown/member-0.safetensors
error 2 "silent.safetensors: the file does not say everything that is needed; name --model" attack silent.safetensors --data synthetic
error 2 "silent.safetensors: the file does not say everything that is needed; name --model" norms silent.safetensors --input 3x32x32
error 3 "its metadata does not say which model it holds" ensemble eval unknown
error 3 "silent.safetensors does not hold resnet20" norms silent.safetensors --input 3x32x32 --model resnet20 --normalize none
error 2 "model 'vit': no such architecture" norms silent.safetensors --input 3x32x32 --model vit --normalize none

# Weights that are no numbers do not open; finite ones whose logits overflow are exit code 5.
size=$(wc -c <base/model.safetensors)
overwrite() { # overwrite FILE FROM COUNT BYTES: four bytes, again and again, counted in floats from the end
    for i in $(seq 1 "$3"); do printf "$4"; done | dd of="$1" bs=1 seek=$((size - 4 * $2)) conv=notrunc 2>/dev/null
}
cp base/model.safetensors nan.safetensors
overwrite nan.safetensors 10 1 '\000\000\300\177'
mkdir nans
cp nan.safetensors nans/member-0.safetensors
for call in "attack nan.safetensors" "norms nan.safetensors" "ensemble eval nans"; do
    error 3 "tensor linear.bias: expected finite numbers, found nan at index 0" $call
done
cp base/model.safetensors over.safetensors
overwrite over.safetensors 42 32 '\377\377\177\177' # the last rows of the last weight: the largest of all floats
mkdir overs
cp over.safetensors overs/member-0.safetensors
cp base/model.safetensors overs/member-1.safetensors
attack="--attack fgsm --limit 20 --threads 1"
run 5 attack over.safetensors $attack --json
contains err "attack: expected finite logits, found others for [0-9]* of 20 images"
[ "$(value out n_invalid)" -gt 0 ] || fail "no invalid image is counted"
run 0 attack over.safetensors $attack --allow-invalid --json
run 5 attack base over.safetensors --transfer-matrix $attack --json
contains err "expected finite logits, found others for [0-9]* images of all cells"
run 0 attack base over.safetensors --transfer-matrix $attack --allow-invalid --json
run 5 attack base --surrogate over.safetensors $attack --json
run 5 attack over.safetensors --surrogate base $attack --json
error 5 "is not finite" ensemble eval overs --attack fgsm --limit 20 --threads 1

# Radius 0: nothing is fooled, nothing is eligible, and a rate of nothing is no 0.
run 0 ensemble eval ens --eps 0 --steps 2 --limit 20 --threads 1 --json
same "rate of a member's own attack" 0 "$(calc "$(value out transfer.0.0)")"
same "eligible pairs" 0 "$(value out transfer_eligible.0.1)"
contains out '"mean_transfer": null'
run 0 ensemble eval ens --eps 0 --steps 2 --limit 20 --threads 1
contains out "mean transfer -, black-box robustness -"
lacks out nan

# Two classes.
run 0 norms two --no-upper --json
json out layers.0.sigma.0
run 0 attack two --attack autoattack --eps 0 --limit 4 --threads 1 --json
contains out "F5-classes"
run 0 ensemble eval pair --attack apgd-t --steps 3 --limit 8 --threads 1 --json
json out transfer.1.0 robust_acc

# Models and data of other images or classes.
for call in "attack base --surrogate two" "attack base two --transfer-matrix" "ensemble eval ens --surrogates two"; do
    error 3 "two takes 3x32x32 images of 2 classes, .* has 3x32x32 of 10" $call --limit 4
done
error 3 "base takes 3x32x32 images of 10 classes, .* has 3x32x32 of 2" attack two --surrogate base --limit 4
mkdir mixed
cp base/model.safetensors mixed/member-0.safetensors
cp two/model.safetensors mixed/member-1.safetensors
error 3 "member 1 takes 3x32x32 images of 2 classes, the first 3x32x32 of 10" ensemble eval mixed
error 3 "model 2 of the ensemble takes 3x32x32 images of 2 classes\|two takes 3x32x32 images of 2 classes" attack base two
fewer="--data synthetic,train-limit=40,test-limit=20,classes=0+1"
error 3 "ens takes 3x32x32 images of 10 classes, .* of 2" attack ens $fewer
error 3 "the ensemble takes 3x32x32 images of 10 classes, .* of 2" ensemble eval ens $fewer
error 3 "ens takes 3x32x32 images of 10 classes, .* of 2" ensemble train --init ens $fewer --out never
run 0 eval base $fewer --json # labels of two of the ten classes
json out splits.test.per_class.striped-disc
error 2 "--input 3x64x64: base takes 3x32x32 images" norms base --input 3x64x64
error 3 "one: expected the members member-0.safetensors" ensemble train --init one $members
error 2 "--init ens and --members exclude each other" ensemble train --init ens --members simple-conv,simple-conv $members
error 2 "expected options alone, found 'ens'" ensemble train ens --members simple-conv,simple-conv $members

# What one call cannot do together, it does not do in silence.
for option in "radii 0,1/255" "save m.npz" "report m.html" "picture m.png" "surrogate base"; do
    error 2 "--transfer-matrix: it has rates alone, nothing for --${option%% *}" attack base base --transfer-matrix --$option
done
error 2 "--radii: expected attacks on the model itself" attack base --surrogate base --radii 0,1/255
error 2 "--transfer and --best-loss exclude each other" attack base --transfer --best-loss
error 2 "expected an attack with a radius for transfer, found fmn" attack base --surrogate base --attack fmn
error 2 "--legacy-normalized: expected a model with a normalisation" attack base --legacy-normalized
error 2 "--legacy-normalized: expected fgsm, bim, pgd or mi-fgsm" ensemble eval ens --attack apgd-t --legacy-normalized
error 2 "the bound holds for a model without --model-noise" attack base --certify --model-noise 0.1
run 0 attack base --attack fgsm --steps 5 --limit 2 --threads 1
contains err "fgsm has a number of steps of its own"
for c in 0 -1 nan; do
    "$LETHE" norms base --clip $c --out c.safetensors >out 2>err && fail "--clip $c"
    [ ! -e c.safetensors ] || fail "--clip $c wrote a file"
done
error 2 "--top-k: expected 1..32" norms base --top-k 1000

# Interrupted, an ensemble says how to go on, is no ensemble yet, and ends with the same weights.
long="ensemble train --members simple-conv:width=3,simple-conv:width=3 --data synthetic:train=400,test=40 --epochs 8 --batch 20 --threads 1 --method lotos --clip-norm 1"
run 0 $long --out whole --quiet
"$LETHE" $long --out cut >out 2>err &
pid=$!
while ! grep -q '"epoch": 2' cut/metrics.jsonl 2>/dev/null && kill -0 $pid 2>/dev/null; do sleep 0.05; done
kill -INT $pid 2>/dev/null
wait $pid
if [ $? = 75 ]; then
    contains err "continue with: lethe ensemble train --resume cut"
    error 3 "cut: no model.safetensors" ensemble eval cut
    run 0 ensemble train --resume cut --quiet
else
    contains out "8 epochs" # it was faster than the signal
fi
for i in 0 1; do
    cmp -s whole/member-$i.safetensors cut/member-$i.safetensors || fail "member $i: other weights after an interruption"
done
finish
