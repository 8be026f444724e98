# The oracle of a model that was fine-tuned, and of one whose training nobody recorded: all trainings are repeated, each
# without the forgotten images, by recipes that are recorded or given.
. "$(dirname "$0")/lib.sh"
export LETHE_QUIET=1
run 0 data export synthetic,train-limit=60,test-limit=20 --format png --out first
mkdir second && cp -r first/test second/test
(cd first/train && ls -d */* | sed -n '1~2p') | while IFS= read -r image; do # half of the images, under other names
    mkdir -p "second/train/$(dirname "$image")"
    cp "first/train/$image" "second/train/$(dirname "$image")/new-$(basename "$image")"
done
common="--batch 20 --threads 1"
run 0 train --data folder:first --model simple-conv:width=4 --epochs 3 --lr 0.05 $common --out base
run 0 train --data folder:second --init base --epochs 2 --lr 0.01 $common --out tuned

# A stream of oracles takes the recorded recipe, too, and options that are given on top of it.
printf 'random:2\n' >stream.txt
run 0 unlearn base --method retrain --requests stream.txt --threads 1 --out stream
same "recorded epochs" "$(value stream/request-1/result.json recipe.epochs)" 3
run 0 unlearn base --method retrain --requests stream.txt --epochs 1 --threads 1 --out stream-1
same "epochs given" "$(value stream-1/request-1/result.json recipe.epochs)" 1
same "batch recorded" "$(value stream-1/request-1/result.json recipe.batch)" 20

# Two of the images of the second training are forgotten: the first one knew them, too.
(cd second/train && ls -d */* | sed -n '4p;9p') >request.txt
run 0 unlearn tuned --method retrain --forget file:request.txt --threads 1 --out chain --json
same "epochs of both trainings" "$(value out epochs)" 5
same "epochs of the first" "$(value out earlier_trainings.0.recipe.epochs)" 3
same "rate of the first" "$(value out earlier_trainings.0.recipe.lr)" 0.05
same "data of the first" "$(value out earlier_trainings.0.data)" "$(value base/result.json data)"
same "epochs of the last" "$(value out recipe.epochs)" 2
same "retained in the last" "$(value out n_retain)" 28
contains chain/log.txt "training 1 of 2, on 58 samples of folder:first"
[ ! -e chain/stage-1.safetensors ] || fail "a checkpoint of a training that is over was left"
run 0 unlearn tuned --method retrain --forget file:request.txt --threads 1 --out chain --json
same "finished before" "$(value out cached)" true

# An image that the first training alone knew cannot be named; the first training is still repeated as it was.
run 0 unlearn chain --method retrain --forget random:2 --threads 1 --out chain-2 --json
same "epochs of the next oracle" "$(value out epochs)" 5
contains chain-2/log.txt "training 1 of 2, on 56 samples of folder:first"
# The forgotten files are deleted from both folders.
(cd second/train && xargs rm <../../request.txt)
sed 's,/new-,/,' request.txt >names.txt
(cd first/train && xargs rm <../../names.txt)
run 0 unlearn chain --method retrain --forget random:2 --threads 1 --out chain-3 --json
contains chain-3/log.txt "training 1 of 2, on 56 samples of folder:first"
extra=$(cd first/train && ls -d */* | sed -n '2p')
mv "first/train/$extra" kept.png
error 4 "on which chain was trained first, is not in it and has not been forgotten" unlearn chain --method retrain --forget random:2 --threads 1 --out x
mv kept.png "first/train/$extra"

# A checkpoint without a recipe: one must be given, with epochs; what was given is recorded.
data="--data synthetic,train-limit=60,test-limit=20"
pth="$SOURCE/tests/golden/checkpoints/plain-torch2.15.pth"
run 0 convert "$pth" imported --model resnet18:width=1 --normalize none $data
retrain="--method retrain --forget random:3 --threads 1"
error 2 "expected the training recipe of the original model, found none" unlearn imported $retrain --out x
error 2 "expected the training recipe of the original model, found none" unlearn imported $retrain --lr 0.1 --out x
error 2 "has no epochs" unlearn imported $retrain --epochs 0 --out x
run 0 unlearn imported $retrain --epochs 2 --lr 0.02 --batch 20 --no-augment --out flags
same "epochs" "$(value flags/result.json recipe.epochs)" 2
same "origin" "$(value flags/resolved.json 'train.epochs' 2>/dev/null || grep -A3 '"train.epochs"' flags/resolved.json | grep -o '"flag"' | tr -d '"')" flag
printf 'epochs: 2\nlr: 0.02\nbatch: 20\naugment: false\n' >recipe.yaml
run 0 unlearn imported $retrain --recipe recipe.yaml --out file
same "flags and file" "$(value flags/result.json model_digest)" "$(value file/result.json model_digest)"
run 0 unlearn flags --method retrain --forget random:3 --forget-seed 5 --threads 1 --out again # the oracle knows its recipe
same "recipe of the oracle" "$(value again/result.json recipe.batch)" 20
run 0 unlearn imported $retrain --recipe recipe.yaml --epochs 1 --out other # a flag is stronger than the file
same "epochs" "$(value other/result.json recipe.epochs)" 1
printf 'epochs: 0\n' >zero.yaml
error 2 "zero.yaml:1: expected how many epochs" unlearn imported $retrain --recipe zero.yaml --out x
printf 'lr: 0.1\n' >none.yaml
error 2 "found none" unlearn imported $retrain --recipe none.yaml --out x
printf 'epochs: 2\nspeed: 3\n' >unknown.yaml
error 3 "unknown.yaml:2: unknown training option 'speed'" unlearn imported $retrain --recipe unknown.yaml --out x
error 2 "is for methods that train from scratch" unlearn imported --method ft --forget random:3 --recipe recipe.yaml --out x

# Fine-tuned from it: the first training must be given, too.
run 0 train $data --init imported --epochs 1 --lr 0.01 --batch 20 --threads 1 --out tuned-import
error 2 "expected the recipe of training 1, found none" unlearn tuned-import $retrain --out x
error 2 "it says 1 training, but tuned-import was trained 2 times" unlearn tuned-import $retrain --recipe recipe.yaml --out x
printf 'stages:\n  - epochs: 2\n    lr: 0.02\n    batch: 20\n  - epochs: 1\n    lr: 0.01\n    batch: 20\n' >stages.yaml
run 0 unlearn tuned-import $retrain --recipe stages.yaml --out stages
same "epochs of both" "$(value stages/result.json epochs)" 3
[ ! -e x ] || fail "a refused request left a directory"
finish
