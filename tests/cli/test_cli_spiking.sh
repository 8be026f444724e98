# The verbs on a spiking network: train, eval, unlearn, audit, quantize, convert to NIR and back.
. "$(dirname "$0")/lib.sh"

data="moving-glyphs,steps=3,train=80,test=40,side=16"
net="steps=3,width=2,depth=2,pool=average,dropout=0"
run 0 train --data "$data" --model "spiking-vgg:$net,norm=batch" --epochs 2 --batch 20 --lr 0.01 --optimizer adamw --loss count \
    --no-augment --threads 1 --out base
run 0 eval base --threads 1 --json
contains out '"spike_rate"'
contains out '"features.0"'
contains out '"synops"'
acc=$(sed -n 's/.*"test_acc": *\([0-9.]*\).*/\1/p' out | head -n 1)
run 0 unlearn base --method ft --forget random:10% --epochs 1 --threads 1 --out gone
run 0 audit gone --threads 1 --allow-lint --json
contains out '"ua"'
run 0 quantize train base --bits 4 --method msqe-step --loss count --epochs 1 --threads 1 --out four
run 0 eval four --no-train --threads 1 --json
contains out '"spike_rate"'
if "$LETHE" convert base net.nir >out 2>err; then
    run 0 eval net.nir --data "$data" --model "spiking-vgg:$net,norm=none" --no-train --threads 1 --json
    contains out "\"test_acc\": *$acc"
    # The reference package reads it, and lethe what that one writes.
    "${LETHE_PYTHON:-python3}" "$SOURCE/tests/interop/check_nir.py" net.nir again.nir >nir.txt 2>nir.err
    code=$?
    if [ $code = 0 ]; then
        run 0 eval again.nir --data "$data" --model "spiking-vgg:$net,norm=none" --no-train --threads 1 --json
        contains out "\"test_acc\": *$acc"
    elif [ $code = 77 ]; then
        cat nir.txt
    else
        fail "the package nir does not read net.nir: $(cat nir.err)"
    fi
else
    contains err "without HDF5"
fi
run 1 norms base --threads 1
contains err "there is no rule for its Lipschitz constant"
contains err "--no-upper measures the layers"
run 0 norms base --no-upper --threads 1
contains out "features.0+features.0.norm"
! grep -q nan out || fail "a bound that does not exist is printed"
run 3 train --data "$data" --model spiking-vgg:steps=4 --epochs 1 --out bad
contains err "steps"
run 2 train --data synthetic,train=20,test=10 --model simple-conv:width=2 --loss count --epochs 1 --out bad
contains err "spiking networks"
finish
