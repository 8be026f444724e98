#!/bin/sh
# Recorded study of low-bit weights on CIFAR-10: methods, bits, encodings, stuck cells, spread.
#
#   LETHE=build/release/cli/lethe LETHE_DATA=/data OUT=runs/quantization THREADS=2 experiments/quantization/run.sh [part...]
#
# Parts: float methods ptq trained encodings spread activations more. Finished runs are taken as they are, so the script can be started
# again. table.py makes results.csv and the tables of README.md from what is in OUT.
set -eu
: "${LETHE:?}" "${OUT:?}"
data="cifar10,train-limit=${TRAIN:-4000},test-limit=${TEST:-1000}"
model=${MODEL:-resnet18:width=8}
common="--threads ${THREADS:-2} --batch 64 --quiet"
qat="--epochs ${EPOCHS:-6} --lr 0.05 --bn-batches 30 $common"
mkdir -p "$OUT"

run() { # run NAME ARGS...: into OUT/NAME, unless it is finished
    name=$1
    shift
    [ -e "$OUT/$name/DONE" ] || "$LETHE" "$@" --out "$OUT/$name" >/dev/null || echo "$name failed" >&2
}
float() {
    run float train --data "$data" --model "$model" --epochs "${FLOAT_EPOCHS:-30}" $common
}
ptq() {
    for bits in 2 4; do
        for step in minmax mean mse; do
            run b$bits-ptq-$step quantize ptq "$OUT/float" --bits $bits --step $step --bn-batches 20 $common
        done
    done
}
methods() { # weights only
    for bits in 2 4; do
        for method in msqe-step seq lsq; do
            run b$bits-$method quantize train "$OUT/float" --bits $bits --method $method $qat
        done
    done
}
trained() { # known maps: offset binary, stuck at 0
    run f0.2-agnostic-0 quantize train "$OUT/float" --bits 4 --method msqe --no-fault-aware --fault-rate 0.2 $qat
    for chip in ${CHIPS:-0 1 2 3 4}; do
        for method in msqe ste-reachable; do
            run f0.2-$method-$chip quantize train "$OUT/float" --bits 4 --method $method --fault-rate 0.2 --chip $chip $qat
        done
    done
}
few="--data cifar10,train-limit=${TRAIN:-4000},test-limit=300 --chips 20 --bn-batches 4"
encodings() { # one 4-bit model on 20 chips, evaluation only
    for encoding in offset sign-magnitude twos differential gray; do
        run pop-$encoding-0.2 quantize population "$OUT/b4-ptq-mean" --fault-rate 0.2 --encoding $encoding $few $common
    done
    run pop-offset-0.05 quantize population "$OUT/b4-ptq-mean" --fault-rate 0.05 $few $common
    run pop-other quantize population "$OUT/f0.2-msqe-0" --fault-rate 0.2 $few $common
}
spread() {
    for encoding in offset sign-magnitude; do
        run var-$encoding-0.4 quantize population "$OUT/b4-ptq-mean" --variability 0.4 --encoding $encoding $few $common
    done
    for method in msqe ste-reachable; do
        run v0.4-$method quantize train "$OUT/float" --bits 4 --method $method --variability 0.4 $qat
    done
}
activations() { # weights and activations
    for method in msqe-step lsq; do
        run wa4-$method quantize train "$OUT/float" --bits 4 --act-bits 4 --method $method $qat
    done
}
more() { # the other methods
    for method in ste msqe-levels msqe-only dorefa qfalt osc-reg; do
        run b2-$method quantize train "$OUT/float" --bits 2 --method $method $qat
    done
    for method in msqe-step seq lsq; do
        run b3-$method quantize train "$OUT/float" --bits 3 --method $method $qat
    done
}
for part in ${*:-float methods ptq trained encodings spread activations more}; do
    $part
done
