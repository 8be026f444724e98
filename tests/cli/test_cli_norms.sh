# lethe norms: brackets of every layer, the clipped copy, training with --clip-norm, and refusals.
. "$(dirname "$0")/lib.sh"

run 0 train --data synthetic:train=200,test=50 --model simple-conv:width=4 --epochs 1 --threads 1 --out base
run 0 norms base --top-k 3 --json
json out layers.0.sigma.2 layers.0.lower layers.0.upper layers.0.kernel_norm layers.0.iterations lipschitz_bound
same "name of the first layer" "$(value out layers.0.name)" conv1
same bracket "$(calc "$(value out layers.0.lower) <= $(value out layers.0.upper) && $(value out layers.0.kernel_norm) < $(value out layers.0.lower)")" 1
run 0 norms base/model.safetensors --input 3x32x32
contains out "conv1+bn1"
contains out "Lipschitz bound"
run 0 norms base --clip 0.5 --out clipped.safetensors --report page.html
contains page.html "Spectral norms"
contains out "clipped conv1"
run 0 norms clipped.safetensors --json
error 2 "--clip and --out go together" norms base --clip 1
error 2 "--out clipped.safetensors: expected no file, found one" norms base --clip 1 --out clipped.safetensors
error 2 "--report clipped.safetensors: expected a report" norms base --report clipped.safetensors
run 0 norms base --clip 0.5 --out clipped.safetensors --report page.html --force
run 0 train --data synthetic:train=200,test=50 --model simple-conv:width=4,bn=0 --epochs 1 --threads 1 --clip-norm 0.3 --out small --json
json out clip_events test_acc
# Retraining clips as the base run did: the oracle is a model of the same kind.
run 0 unlearn small --method retrain --forget random:10% --threads 1 --out again
run 0 norms again --no-upper --json
for layer in 0 1 2 3; do
    same "layer $layer is clipped" "$(calc "$(value out layers.$layer.sigma.0) < 0.304")" 1
done
finish
