#!/bin/sh
# Recorded study of low-bit weights on CIFAR-10: methods, bits, encodings, stuck cells, spread.
#
#   LETHE=build/release/cli/lethe LETHE_DATA=/data OUT=runs/quantization THREADS=2 experiments/quantization/run.sh [part...]
#
# Parts: float methods faults trained spread encodings. Finished runs are taken as they are, so the script can be started
# again. table.py makes results.csv and the tables of README.md from what is in OUT.
set -eu
: "${LETHE:?}" "${OUT:?}"
data="cifar10,train-limit=${TRAIN:-10000},test-limit=${TEST:-2000}"
model=${MODEL:-resnet18:width=8}
common="--threads ${THREADS:-2} --quiet"
epochs=${EPOCHS:-8}
qat="--epochs $epochs --lr 0.05 --bn-batches 40 $common"
mkdir -p "$OUT"

float() {
    "$LETHE" train --data "$data" --model "$model" --epochs "${FLOAT_EPOCHS:-24}" --out "$OUT/float" $common
}
methods() { # weights only; the first row of a width is post-training
    for bits in 2 4 3; do
        for step in minmax mean mse; do
            "$LETHE" quantize ptq "$OUT/float" --bits $bits --step $step --bn-batches 40 --out "$OUT/b$bits-ptq-$step" $common
        done
        for method in msqe-step seq lsq ste msqe-levels msqe msqe-only dorefa gauss-well qfalt osc-reg; do
            "$LETHE" quantize train "$OUT/float" --bits $bits --method $method --out "$OUT/b$bits-$method" $qat
        done
    done
}
encodings() { # one 4-bit model on 20 chips, evaluation only
    for rate in 0.05 0.1 0.2; do
        for encoding in offset twos sign-magnitude gray differential; do
            "$LETHE" quantize population "$OUT/b4-msqe-step" --chips 20 --fault-rate $rate --encoding $encoding \
                --bn-batches 10 --out "$OUT/pop-$encoding-$rate" $common
        done
    done
}
trained() { # known maps: offset binary, stuck at 0
    for chip in 0 1 2; do
        for method in msqe ste-reachable ste-masked; do
            "$LETHE" quantize train "$OUT/float" --bits 4 --method $method --fault-rate 0.2 --chip $chip \
                --out "$OUT/f0.2-$method-$chip" $qat
        done
        "$LETHE" quantize train "$OUT/float" --bits 4 --method msqe --no-fault-aware --fault-rate 0.2 --chip $chip \
            --out "$OUT/f0.2-agnostic-$chip" $qat
    done
}
spread() {
    for sigma in 0.1 0.2 0.4; do
        for encoding in offset sign-magnitude; do
            "$LETHE" quantize population "$OUT/b4-msqe-step" --chips 20 --variability $sigma --encoding $encoding \
                --bn-batches 10 --out "$OUT/var-$encoding-$sigma" $common
        done
    done
    for method in msqe ste-reachable; do
        "$LETHE" quantize train "$OUT/float" --bits 4 --method $method --variability 0.4 --out "$OUT/v0.4-$method" $qat
    done
}
activations() { # weights and activations
    for bits in 4 2; do
        for method in msqe-step seq lsq pact; do
            "$LETHE" quantize train "$OUT/float" --bits $bits --act-bits $bits --method $method --out "$OUT/wa$bits-$method" $qat
        done
    done
}
for part in ${*:-float methods encodings trained spread activations}; do
    $part
done
