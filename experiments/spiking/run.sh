#!/bin/sh
# Recorded study of spiking networks: procedural events and N-MNIST samples, float against 4 bits, with faults.
#
#   LETHE=build/release/cli/lethe LETHE_DATA=/data OUT=runs/spiking THREADS=2 experiments/spiking/run.sh [part...]
#
# Parts: glyphs nmnist. Finished runs are taken as they are, so the script can be started again. table.py makes
# results.csv from what is in OUT. Full-scale recipes for CIFAR10-DVS and N-Caltech101, not part of the study, are the
# parts cifar10dvs and ncaltech101: the paper's network, loss and schedule.
set -eu
: "${LETHE:?}" "${OUT:?}"
seeds=${SEEDS:-1 2 3} methods=${METHODS:-msqe-step lsq seq}
common="--threads ${THREADS:-2} --quiet"
mkdir -p "$OUT"

run() { # run NAME ARGS...: into OUT/NAME, unless it is finished
    name=$1
    shift
    [ -e "$OUT/$name/DONE" ] || "$LETHE" "$@" --out "$OUT/$name" >/dev/null || echo "$name failed" >&2
}
measure() { # activity on the test split
    [ -e "$OUT/$1.eval.json" ] || "$LETHE" eval "$OUT/$1" --no-train --threads "${THREADS:-2}" --quiet --json >"$OUT/$1.eval.json" || rm -f "$OUT/$1.eval.json"
}
rows() { # rows SET SEED EPOCHS: everything that starts from the float network of a seed
    base=$1-s$2-float
    more="--loss count --optimizer adamw --batch 32 --weight-decay 0 --no-augment --epochs $3 --seed $2 $common"
    run $1-s$2-ptq quantize ptq "$OUT/$base" --bits 4 --step mse --seed $2 $common
    for method in $methods; do
        run $1-s$2-$method quantize train "$OUT/$base" --bits 4 --method $method --lr ${QLR:-0.003} $more
    done
    run $1-s$2-faults-agnostic quantize train "$OUT/$base" --bits 4 --method msqe --no-fault-aware --fault-rate 0.1 --lr ${QLR:-0.003} $more
    run $1-s$2-faults-msqe quantize train "$OUT/$base" --bits 4 --method msqe --fault-rate 0.1 --lr ${QLR:-0.003} $more
    for name in float ptq $methods faults-agnostic faults-msqe; do
        measure $1-s$2-$name
    done
}
glyphs() {
    for seed in $seeds; do
        run glyphs-s$seed-float train --data moving-glyphs,steps=5,train=${TRAIN:-2000},test=${TEST:-500} \
            --model spiking-vgg:steps=5,width=8,depth=4,dropout=0 --epochs ${EPOCHS:-20} --batch 32 --lr 0.003 --optimizer adamw \
            --loss count --weight-decay 0 --no-augment --seed $seed $common
        rows glyphs $seed 4
    done
}
nmnist() { # 110 training and 40 test recordings: a check of the path, no accuracy to compare with anything
    for seed in $seeds; do
        run nmnist-s$seed-float train --data n-mnist,steps=10 --model spiking-vgg:steps=10,width=8,depth=4,dropout=0 \
            --epochs 20 --batch 16 --lr 0.003 --optimizer adamw --loss count --weight-decay 0 --no-augment --seed $seed $common
        rows nmnist $seed 5
    done
}
paper="--epochs ${PAPER_EPOCHS:-100} --batch ${PAPER_BATCH:-128} --optimizer adamw --lr 0.001 --weight-decay 1e-4 --schedule cosine --loss count --no-augment --checkpoint-activations --seed 42"
cifar10dvs() {
    run cifar10dvs-float train --data cifar10-dvs,steps=10 --model spiking-vgg:steps=10 $paper $common
    run cifar10dvs-4bit quantize train "$OUT/cifar10dvs-float" --bits 4 --method msqe-step --lambda0 100 --lambda1 100 $paper $common
}
ncaltech101() {
    run ncaltech101-float train --data n-caltech101,steps=10,size=128 --model spiking-vgg:steps=10 $paper $common
    run ncaltech101-4bit quantize train "$OUT/ncaltech101-float" --bits 4 --method msqe-step --lambda0 100 --lambda1 100 $paper $common
}
for part in ${*:-glyphs nmnist}; do
    $part
done
