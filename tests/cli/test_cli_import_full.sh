# Checkpoints of other programs: what is asked for, what is refused, recipes, and the way back.
. "$(dirname "$0")/lib.sh"

run 0 data export synthetic,train-limit=60,test-limit=20 --format png --out photos
export LETHE_QUIET=0
quick="--method ft --epochs 1 --lr 0.01 --no-augment --threads 1"

# Checkpoints: everything that is missing is asked for at once; a run remembers it; it goes back to PyTorch's form.
pth="$SOURCE/tests/golden/checkpoints/plain-torch2.15.pth"
error 2 "name --model NAME:key=value (its tensors fit resnet18:width=1); --input CxHxW (3 channels) or --data; --normalize" convert "$pth" imported
cifar=synthetic,train-limit=60,test-limit=20
run 0 convert "$pth" imported --model resnet18:width=1 --normalize 0.49,0.48,0.45:0.2 --data $cifar --json
json out model input n_classes parameters model_digest out data_digest
run 0 eval imported --threads 1 --json
run 0 eval "$pth" --model resnet18:width=1 --normalize 0.49,0.48,0.45:0.2 --data $cifar --threads 1 --json
same "the file and the run" "$(value out model_digest)" "$(value imported/result.json model_digest)"
error 2 "name --model" eval "$pth" --data $cifar
error 2 "expected mean and deviation of pixels in .0,1., found 125 and 51" convert "$pth" x --model resnet18:width=1 --normalize 125,122,113:51 --data $cifar
error 2 "expected one mean and one deviation, or 3 of each, found 2 and 1" convert "$pth" x --model resnet18:width=1 --normalize 0.4,0.5:0.2 --data $cifar
(cd photos/train && ls | sort -r) >classes.txt
error 2 "which is class 9 in folder:photos" convert "$pth" x --model resnet18:width=1 --normalize none --data folder:photos --classes classes.txt
printf 'a\nb\n' >two.txt
error 3 "two.txt: expected 10 names, one a line, found 2" convert "$pth" x --model resnet18:width=1 --normalize none --data folder:photos --classes two.txt
cp -r photos renamed
for split in train test; do
    class=$(ls renamed/$split | head -1)
    mv "renamed/$split/$class" renamed/$split/zzz
done
run 0 convert "$pth" of-photos --model resnet18:width=1 --normalize none --data folder:photos
run 0 eval of-photos --data folder:renamed --threads 1
contains err "class 0 is '.*' for of-photos and '.*' in folder:renamed"
printf '\200\004\225\001\0\0\0\0\0\0\0N.' >other.pth
error 3 "other.pth: expected a file written by torch.save, found another pickle" inspect other.pth
run 0 unlearn imported $quick --forget random:5 --out imported-ft
run 0 convert imported-ft back.pth
run 0 convert back.pth again.safetensors --model resnet18:width=1 --normalize 0.49,0.48,0.45:0.2 --input 3x32x32 --json
same "there and back" "$(value out model_digest)" "$(value imported-ft/result.json model_digest)"
error 2 "it exists already" convert imported-ft back.pth

# A recipe that is given once, at the import, needs no saying when the oracle is trained: one training, or a chain.
imported="--model resnet18:width=1 --normalize 0.49,0.48,0.45:0.2 --data $cifar"
printf 'epochs: 1\nbatch: 20\nlr: 0.05\n' >recipe.yaml
run 0 convert "$pth" with-recipe $imported --recipe recipe.yaml --lr 0.01 --json
same "recipe of the import" "$(value out recipe.epochs) $(value out recipe.batch) $(value out recipe.lr)" "1 20 0.01"
run 0 unlearn with-recipe --method retrain --forget random:5 --threads 1 --out imported-oracle --json
same "epochs of the oracle" "$(value out epochs) $(value out recipe.lr)" "1 0.01"
printf 'stages:\n  - {epochs: 2, batch: 20, data: "synthetic,train-limit=40,test-limit=20"}\n  - {epochs: 1, batch: 20}\n' >chain.yaml
run 0 convert "$pth" with-chain $imported --recipe chain.yaml --json
same "first training" "$(value out earlier_trainings.0.data)" "synthetic,train-limit=40,test-limit=20"
run 0 unlearn with-chain --method retrain --forget random:5 --threads 1 --out chain-oracle --json
same "trainings replayed" "$(value out earlier_trainings.0.recipe.epochs) $(value out recipe.epochs)" "2 1"
cp -r with-recipe edited
printf ' ' >>edited/model.safetensors
error 4 "edited/model.safetensors: it was changed after the run" unlearn edited --method retrain --forget random:5 --out x
error 2 "how many epochs this training had" convert "$pth" x $imported --recipe /dev/null
printf 'epochs: 1\nlearning: 3\n' >bad.yaml
error 3 "bad.yaml:2: unknown training option 'learning'" convert "$pth" x $imported --recipe bad.yaml
printf 'stages:\n  - {epochs: 2, data: "mnist:nowhere"}\n  - {epochs: 1}\n' >lost.yaml
error 3 "nowhere" convert "$pth" x $imported --recipe lost.yaml
printf 'stages:\n  - {epochs: 2}\n  - {epochs: 1, data: "synthetic,train-limit=20"}\n' >other.yaml
error 2 "the last training was on synthetic,train-limit=20, but --data says" convert "$pth" x $imported --recipe other.yaml
error 2 "is recorded in a run directory, found the file x.pth" convert "$pth" x.pth $imported --recipe recipe.yaml
[ ! -e x ] || fail "a refused conversion left a directory"
error 3 "the global '" convert "$SOURCE/fuzz/corpus/fuzz_torch/hostile.pth" x
finish
