#!/bin/sh
# Low-bit ResNet-18 on ImageNet from torchvision's checkpoint: weights and activations of 4, 3 and 2 bits.
#
#   LETHE=build/release/cli/lethe CHECKPOINT=resnet18.pth IMAGENET=/data/imagenet OUT=runs/imagenet experiments/imagenet/run.sh [part...]
#
# IMAGENET has train/CLASS/*.JPEG and val/CLASS/*.JPEG. Parts: pack float ptq trained integers population. Finished runs are taken as they are,
# interrupted ones continue, so the script can be started again. TRAIN, TEST (images), SIZE, EPOCHS, BATCH, BITS, METHODS, CHIPS make it smaller.
set -eu
: "${LETHE:?}" "${CHECKPOINT:?}" "${IMAGENET:?}" "${OUT:?}"
packed=$OUT/images-${SIZE:-224}.safetensors
data="safetensors:$packed${TRAIN:+,train-limit=$TRAIN}${TEST:+,test-limit=$TEST}"
common="--threads ${THREADS:-$(nproc)} --quiet"
model="--model resnet18-imagenet --normalize 0.485,0.456,0.406:0.229,0.224,0.225 --data $data"
batch=${BATCH:-128}
# The published code's recipe: SGD with momentum, cosine, 120 epochs at 0.01, weight decay 1e-4, lambda 100 to 1000 in the second half.
recipe="--epochs ${EPOCHS:-120} --lr 0.01 --weight-decay 1e-4 --batch $batch --augmentation resized-crop"
mkdir -p "$OUT"

run() { # run NAME ARGS...: into OUT/NAME, unless it is finished
    name=$1
    shift
    [ -e "$OUT/$name/DONE" ] || "$LETHE" "$@" $common --out "$OUT/$name" >/dev/null || echo "$name failed" >&2
}
pack() { # decodes the images once, through a file, into a file that the other parts map
    [ -e "$packed" ] || "$LETHE" data export "folder:$IMAGENET,size=${SIZE:-224},scratch=$OUT" --format safetensors --out "$packed" >/dev/null
}
float() {
    "$LETHE" eval "$CHECKPOINT" $model $common --no-train --json >"$OUT/float.json"
}
ptq() {
    for bits in ${BITS:-4 3 2}; do
        run b$bits-ptq quantize ptq "$CHECKPOINT" $model --bits $bits --step mse --batch $batch
    done
}
trained() {
    for bits in ${BITS:-4 3 2}; do
        for method in ${METHODS:-msqe-step msqe-levels seq lsq}; do
            case $method in
            msqe*) schedule="--lambda0 100 --lambda1 1000 --ramp-from 0.5" ;;
            *) schedule= ;;
            esac
            run b$bits-$method quantize train "$CHECKPOINT" $model --bits $bits --act-bits $bits --method $method $schedule $recipe
        done
    done
}
integers() {
    for dir in "$OUT"/b*; do
        "$LETHE" eval "$dir" --integer $common --json >"$dir/integer.json"
        "$LETHE" quantize export "$dir" --format onnx --out "$dir/model.onnx" --force $common >/dev/null
    done
}
population() {
    for dir in "$OUT"/b4-ptq; do
        for encoding in offset sign-magnitude; do
            run "pop-$encoding" quantize population "$dir" --chips ${CHIPS:-20} --fault-rate 0.1 --encoding $encoding --bn-batches 20 --batch $batch
        done
    done
}

for part in ${*:-pack float ptq trained integers population}; do
    $part
done
