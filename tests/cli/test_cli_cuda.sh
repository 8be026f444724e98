# --device cuda: what is said when something is missing, and the verbs on a card that is emulated on the host.
. "$(dirname "$0")/lib.sh"
: "${EMU:?}"
small="--data synthetic,train=40,test=20 --model simple-conv:width=4 --batch 20 --threads 1"

# What is missing is said in one line, before any data is looked for.
export LETHE_CUDA_PLUGIN="$work/none.so"
error 1 "no CUDA plug-in .*none.so is missing" train --device cuda
contains err "^hint: "
error 1 "no CUDA plug-in" eval nowhere --device cuda:1
error 2 "expected cpu or cuda" train --device gpu
error 2 "found 'x'" train --device cuda:x
error 2 "precision: expected one of f32, tf32, bf16, found 'fp8'" train --device cuda,precision=fp8
error 2 "cuda:': expected key=value" train --device cuda:
run 1 train --device cuda --json
json out error.message error.exit_code error.hint
echo "no library" >broken.so
LETHE_CUDA_PLUGIN=$work/broken.so error 1 "cannot be loaded" train --device cuda
run 0 doctor --json
json out backends optional
contains out '"name": "cuda"'
run 0 train --device cuda $small --show-config
contains out "device = cuda"

export LETHE_CUDA_PLUGIN=$EMU
LETHE_EMU=no-driver error 1 "no NVIDIA driver" train --device cuda
LETHE_EMU=no-device error 1 "cuda:0: no such card" train --device cuda
LETHE_EMU=version error 1 "is of version" train --device cuda
LETHE_EMU=memory=200000 error 7 "out of device memory: .* MiB more were needed" train --device cuda $small --epochs 1 --out full --quiet
error 2 "expected auto with --device" train --device cuda --backend ref $small
run 0 doctor
contains out "backend *cuda *emulated card"

# Training: a whole run, and one that is interrupted and resumed, end with the same bits.
run 0 train --device cuda $small --epochs 6 --out whole --json
json out test_acc model_digest
digest=$(value out model_digest)
"$LETHE" train --device cuda $small --epochs 6 --out part >out 2>err &
child=$!
while kill -0 $child 2>/dev/null && ! grep -q '"epoch": 1' part/metrics.jsonl 2>/dev/null; do
    sleep 0.05
done
kill -INT $child 2>/dev/null
wait $child
same "exit code of an interrupted run" $? 75
run 0 train --resume part --json
same "digest after an interruption" "$(value out model_digest)" "$digest"

# Attacks inside training, beside parameters that stay on the card.
run 0 train --device cuda $small --epochs 1 --adversarial trades --adv-norm l2 --adv-eps 0.3 --adv-steps 2 --out robust --json
json out test_acc model_digest

# The other verbs that compute; a run trained on a device can be used on the CPU and the other way round.
run 0 eval whole --device cuda --json
acc=$(value out test_acc)
run 0 eval whole --json
same "accuracy on the CPU" "$(value out test_acc)" "$acc"
run 0 unlearn whole --device cuda --forget random:4 --method amun --epochs 1 --attack.steps 3 --out amun --json
json out forget_acc retain_acc
run 0 unlearn whole --device cuda:precision=bf16 --forget random:4 --method ga --epochs 1 --out ga --json
json out forget_acc
run 0 bench --device cuda:1,conv=own --model simple-conv:width=4 --batch 4 --repeat 1 --warmup 1 --json
contains out "emulated card"
run 0 inspect whole/model.safetensors --plan --device cuda --batch 2
contains out ":nhwc"
finish
