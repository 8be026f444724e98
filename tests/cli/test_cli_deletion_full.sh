# docs/howto/deletion-request.md, command by command, on a checkpoint that PyTorch wrote.
. "$(dirname "$0")/lib.sh"
page="$SOURCE/docs/howto/deletion-request.md"
cp "$SOURCE/tests/golden/checkpoints/plain-torch2.15.pth" model.pth
run 0 data export synthetic,train-limit=80,test-limit=20 --format png --out photos
first=$(cd photos/train && ls -d */* | sed -n '3p')
(cd photos/train && ls -d */* | sed -n '3p;30p;55p') >request.txt
(cd photos/train && ls -d */* | sed -n '41p') >request2.txt
sed -n '/^```sh$/,/^```$/p' "$page" | sed '/^```/d' >commands
[ "$(grep -c '^lethe ' commands)" -ge 14 ] || fail "the page has lost commands"
lethe() { "$LETHE" "$@"; }
export OMP_NUM_THREADS=1
n=0
while IFS= read -r command; do
    n=$((n + 1))
    case $command in *request2.txt*) rm -f "photos/train/$first" ;; esac
    eval "$command" >"out.$n" 2>err </dev/null || fail "$command: exit code $?"
done <commands
contains samples.csv '^index,class,file,digest'
same "forgotten" "$(value runs/amun/result.json n_forget)" 3
same "forgotten by the oracle" "$(value runs/retrain/result.json n_forget)" 3
same "epochs of the oracle" "$(value runs/retrain/result.json epochs)" 2
same "retained in the second request" "$(value runs/amun-request2/result.json n_retain)" 76
same "retained by its oracle" "$(value runs/retrain-request2/result.json n_retain)" 76
run 6 audit runs/amun-request2 --oracle runs/retrain-request2 --json # outputs of these models are degenerate
lacks out oracle-other-original
contains report.html "Pictures of forgotten samples are left out"
lacks report.html "data:image/png;base64,"
[ -s model-after.pth ] || fail "no checkpoint came back"
run 0 convert model-after.pth again.safetensors --model resnet18:width=1 --normalize 0.4914,0.4822,0.4465:0.2023,0.1994,0.2010 --input 3x32x32 --json
same "the model that came back" "$(value out model_digest)" "$(value runs/amun/result.json model_digest)"

# Without a recipe there is no oracle.
run 0 convert model.pth runs/bare --model resnet18:width=1 --normalize none --data synthetic,train-limit=80,test-limit=20
error 2 "expected the training recipe of the original model, found none" unlearn runs/bare --method retrain --forget random:3 --out x
[ ! -e x ] || fail "a refused request left a directory"
finish
