# Every verb that takes a run takes a checkpoint of another program, in each format, with --model and --normalize.
. "$(dirname "$0")/lib.sh"
golden="$SOURCE/tests/golden/checkpoints"
says="--model resnet18:width=1 --normalize 0.4914,0.4822,0.4465:0.2023,0.1994,0.2010"
data="--data synthetic,train=40,test=20"
quick="--threads 1 --json"
cp "$golden/plain-torch2.15.pth" net.pth
cp "$golden/plain-legacy-torch1.13.pth" old.pt
cp "$golden/plain-training-torch1.13.pth" training.pth.tar
run 0 convert net.pth net.npz $says --input 3x32x32 --force
run 0 convert net.pth net.safetensors $says --input 3x32x32 --force
run 0 convert net.pth net.onnx $says --input 3x32x32 --force
# The size of the images is that of the architecture where nobody says it.
run 0 convert net.pth assumed.safetensors $says
contains err "the file does not say the size of its images: 3x32x32"
export LETHE_QUIET=1
run 0 convert net.pth assumed.npz $says --json
same "input of a converted file" "$(value out input)" 3x32x32
run 0 eval assumed.npz $says --data synthetic,train=40,test=20 $quick

n=0
for given in net.pth old.pt training.pth.tar net.npz net.safetensors net.onnx; do
    n=$((n + 1))
    run 0 eval $given $says $data $quick
    acc=$(value out test_acc)
    run 0 inspect $given $says --input 3x32x32 --json
    json out model_digest tensors.0.name
    digest=$(value out model_digest)
    run 0 convert $given run.$n $says $data --json
    same "$given: weights of the run" "$(value out model_digest)" "$digest"
    run 0 eval run.$n $quick
    same "$given: accuracy of the run" "$(value out test_acc)" "$acc"
    run 0 unlearn $given $says $data --method ft --epochs 1 --lr 0.01 --forget random:4 --out ft.$n $quick
    same "$given: forgotten" "$(value out n_forget)" 4
    run 0 audit $given $says $data --forget random:4 --attacks loss --bootstrap 0 --allow-lint $quick
    json out ua ra ta
    run 0 norms $given $says --input 3x32x32 $quick
    json out layers.0.sigma lipschitz_bound
    run 0 attack $given $says $data --attack fgsm --limit 4 $quick
    json out clean_acc robust_acc
    run 0 quantize ptq $given $says $data --bits 4 --out q.$n $quick
    json out test_acc_q levels_hit
done

# The normalisation, too, when the architecture is given; --init trains the model that --model names.
for verb in "eval net.pth $data" "unlearn net.pth $data --method ft --out x" "audit net.pth $data --forget random:4" \
    "norms net.pth --input 3x32x32" "attack net.pth $data" "quantize ptq net.pth $data --out x" "convert net.pth x $data"; do
    error 2 "everything that is needed; name --normalize MEAN:STD or --normalize none" $verb --model resnet18:width=1
    [ ! -e x ] || fail "$verb: it left a directory"
done
run 0 train $data --model resnet18:width=1 --init net.pth --epochs 1 --batch 20 --out unnormalized $quick

# A model that was made from a file: its original, and the oracles of another program, are files.
run 0 audit ft.1 $says --oracle net.pth,old.pt --bootstrap 0 --attacks loss --allow-lint $quick
same "the original of a run from a file" "$(value out original.run)" net.pth
run 0 audit old.pt $says $data --forget random:4 --original net.pth --oracle net.npz,net.safetensors --attacks loss --bootstrap 0 \
    --allow-lint $quick
same "the original that was named" "$(value out original.run)" net.pth
run 0 report net.pth ft.1 --allow-lint --out files.html --json
same "rows of the report" "$(value out rows.0.run) $(value out rows.1.run)" "net.pth ft.1"
run 6 report ft.1 --no-allow-lint --out files.html
contains err "the linter found an error"
error 2 "name --model NAME:key=value" report net.pth --out files.html

# What is left open is asked for by all of them alike, before anything is written.
for verb in "eval net.pth $data" "unlearn net.pth $data --method ft --out x" "audit net.pth $data --forget random:4" \
    "norms net.pth" "attack net.pth $data" "quantize ptq net.pth $data --out x" "convert net.pth x" \
    "train $data --init net.pth --out x"; do
    error 2 "name --model NAME:key=value (its tensors fit resnet18:width=1)" $verb
    [ ! -e x ] || fail "$verb: it left a directory"
done
run 0 inspect net.pth
contains out "its tensors fit --model resnet18:width=1"

# Every difference is listed: the names, and on an error as many as a line holds and how many more.
run 3 inspect net.pth --model resnet18:width=2 --json
same "differences" "$(grep -c '"kind": "shape"' out)" 101
json out differences.100.tensor differences.0.expected
run 3 inspect net.pth --model resnet18:width=1,bn=0
same "extra tensors" "$(grep -c ' extra ' out)" 100
error 3 "101 of another shape.*and [0-9]* more" eval net.pth --model resnet18:width=2 --normalize none $data

# Fine-tuning starts from such a file, and from a run; what both say must agree.
run 0 train $data $says --init net.pth --epochs 1 --batch 20 --lr 0.001 --out tuned $quick
json out init_digest test_acc
run 0 train $data --init run.1 --epochs 1 --batch 20 --lr 0.001 --out tuned-run $quick
same "the same start" "$(value tuned/result.json init_digest)" "$(value tuned-run/result.json init_digest)"
same "the same result" "$(value tuned/result.json model_digest)" "$(value tuned-run/result.json model_digest)"
same "what the run says it is" "$(value tuned-run/result.json model)" "$(value tuned/result.json model)"
error 2 "expected the model resnet18:width=2" train $data --init run.1 --model resnet18:width=2 --epochs 1 --out x
finish
