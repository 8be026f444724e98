# Requests by file name, files that are deleted between two requests, other data, imported checkpoints.
. "$(dirname "$0")/lib.sh"

run 0 data export synthetic,train-limit=60,test-limit=20 --format png --out photos
export LETHE_QUIET=0
run 0 train --data folder:photos --model simple-conv:width=4 --epochs 2 --batch 20 --threads 1 --out base
[ -s base/samples.safetensors ] || fail "the run does not remember its training set"
quick="--method ft --epochs 1 --lr 0.01 --no-augment --threads 1"

# Lines cut out of the list of samples are a forget list.
run 0 data list folder:photos
same "samples" "$(wc -l <out | tr -d ' ')" 61
same "head" "$(head -1 out)" "index,class,file,digest"
sed -n '1p;5p;9p' out >cut.csv
run 0 unlearn base --method ft --epochs 1 --lr 0.01 --no-augment --threads 1 --forget file:cut.csv --out cut
same "indices" "$(sed -n '2,3p' cut/forget.csv | tr '\n' ' ')" "3 7 "
sed -n '3p' cut.csv | sed 's/.*,//' >digest.txt
run 0 unlearn base --method ft --epochs 1 --lr 0.01 --no-augment --threads 1 --forget file:digest.txt --out cut --force
same "by digest" "$(sed -n 2p cut/forget.csv)" 7

# By name and by pattern; what names nothing is listed.
first=$(cd photos/train && ls -d */* | sed -n '3p')
second=$(cd photos/train && ls -d */* | sed -n '9p')
printf '%s\n' "$first" >request1.txt
run 0 unlearn base $quick --forget file:request1.txt --out one
same "one sample" "$(value one/result.json n_forget)" 1
same "its index" "$(sed -n 2p one/forget.csv)" 2
printf 'nobody.png\n%s\nghost.png\n' "$first" >bad.txt
error 3 "2 of its lines do not name one sample each: line 1: 'nobody.png' is no training sample; line 3" unlearn base $quick --forget file:bad.txt --out x
error 2 "no training sample has this name" unlearn base $quick --forget name:nobody.png --out x
run 0 unlearn base $quick --forget "name:$(dirname "$first")/*" --out pattern
[ "$(value pattern/result.json n_forget)" -gt 1 ] || fail "a pattern names one sample only"

# Evidence that somebody edited is refused: every file of the run, and the list of digests itself.
(cd pattern && find . -type f ! -name files.json ! -name DONE | sed 's,^\./,,') >files.txt
[ "$(wc -l <files.txt)" -ge 9 ] || fail "the run has lost files"
while IFS= read -r file; do
    cp -r pattern edited
    printf ' ' >>"edited/$file"
    error 4 "edited/$file: it was changed after the run" audit --quiet edited --oracle pattern
    rm -r edited
done <files.txt
cp -r pattern edited
sed 's/"signals.npz": "./"signals.npz": "x/' pattern/files.json >edited/files.json
error 4 "edited/files.json: it was changed after the run" audit --quiet edited --oracle pattern
rm -r edited

# The files of the first request are deleted: the second one still means the right images, and indices are the old ones.
rm "photos/train/$first"
printf '%s\n' "$second" >request2.txt
run 0 unlearn one $quick --forget file:request2.txt --out two
contains err "samples found by content, 1 forgotten ones are gone"
same "its index after the deletion" "$(sed -n 2p two/forget.csv)" 8
same "retained" "$(value two/result.json n_retain)" 58
error 4 "no longer in folder:photos" audit --quiet one --oracle two
printf '2\n' >gone.csv
error 3 "index 2 is not in the training split" unlearn --quiet one $quick --forget file:gone.csv --out x

# A file that was not forgotten is missing; data of another origin; with and without --quiet.
error 4 "1 of the samples that base was trained on are not in it and have not been forgotten; the first is index 2" unlearn base $quick --forget file:request2.txt --out x
for quiet in "" --quiet; do
    error 4 "samples that base was trained on are not in it" unlearn base $quick $quiet --data synthetic,train-limit=40,test-limit=20 --forget random:3 --out x
done
[ ! -e x ] || fail "a refused request left a directory"

# Runs of two originals are not compared with one another.
run 0 train --data folder:photos --model simple-conv:width=4 --epochs 2 --batch 20 --threads 1 --seed 2 --out base2
run 0 unlearn base2 $quick --forget name:*1.png --out of-base2 --data folder:photos
run 0 train --data folder:photos --model simple-conv:width=4 --epochs 2 --batch 20 --threads 1 --seed 3 --out base3
run 0 unlearn base3 $quick --forget name:*1.png --out of-base3 --data folder:photos
error 2 "were made from different original models" report --quiet of-base2 of-base3 --out two.html
[ ! -e two.html ] || fail "a refused report left a file"
error 2 "base2 is not the original model that of-base3 was made from" report --quiet base2 of-base3 --out two.html

# An audit holds every run against the oracles of its own original; oracles of another one alone are an error.
for base in 2 3; do
    for seed in 1 2; do
        run 0 unlearn base$base --method retrain --seed $seed --threads 1 --forget name:*1.png --out oracle$base$seed
    done
done
run 0 audit --allow-lint of-base2 --oracle oracle21,oracle22 --threads 1 --bootstrap 20 --json
cp out alone2.json
run 0 audit --allow-lint of-base3 --oracle oracle31,oracle32 --threads 1 --bootstrap 20 --json
cp out alone3.json
run 0 audit --allow-lint of-base2 of-base3 --oracle oracle21,oracle22,oracle31,oracle32 --threads 1 --bootstrap 20 --json
for key in avg_gap verdict.overall null_band.ua.mean original.run original.ua oracles.1.run; do
    same "$key of the first of two originals" "$(value out $key)" "$(value alone2.json $key)"
    same "$key of the second of two originals" "$(value out also.0.$key)" "$(value alone3.json $key)"
done
contains err "of-base2: held against 2 of 4 oracles; the others were retrained for another original model"
run 6 audit of-base3 --oracle oracle21,oracle22 --threads 1 --bootstrap 20 --json
contains out '"oracle-other-original"'
contains out "oracle21 was retrained for another original model"

# Runs of other data are refused, as audited ones and as oracles.
run 0 train --data synthetic,train-limit=60,test-limit=20 --model simple-conv:width=4 --epochs 1 --batch 20 --threads 1 --out alien
run 0 unlearn alien $quick --forget random:5 --out of-alien
error 2 "of-base2 and of-alien were trained on different data sets" audit --quiet of-base2 of-alien
error 2 "of-base2 and of-alien were trained on different data sets" audit --quiet of-base2 --oracle of-alien
error 2 "made from different original models\|trained on different data sets" report --quiet of-base2 of-alien --out two.html

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
