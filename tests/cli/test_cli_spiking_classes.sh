# Forgetting a class, and single clips, of a spiking network by the verbs of every other network; audits against
# retraining; and the integer network of a quantized one as C.
. "$(dirname "$0")/lib.sh"

data="moving-glyphs,steps=4,train=100,test=40,side=10"
net="spiking-vgg:steps=4,width=8,depth=2,norm=batch,dropout=0"
recipe="--batch 15 --lr 0.01 --optimizer adamw --schedule onecycle --no-augment --threads 1"
run 0 train --data "$data" --model "$net" --epochs 5 $recipe --out base --json
forget="--forget class:3 --threads 1"
for seed in 5 6; do
    run 0 unlearn base --method retrain $forget --seed $seed --out retrain-$seed --json
    same "a class that was never seen" "$(value out acc_f)" "0.0"
done
run 0 unlearn base --method trw $forget --epochs 2 --out trw --json
json out acc_f acc_r acc_f_train acc_r_train steps
trw=$(value out acc_f)
run 0 unlearn base --method ft $forget --epochs 1 --out ft --json
json out acc_f acc_r
run 0 eval ft --threads 1 --json
json out spike_rate synops test_acc
for run in ft trw; do
    run 0 audit $run --oracle retrain-5,retrain-6 --allow-lint --json
    json out class_audit.acc_f class_audit.acc_r class_audit.tv class_audit.mia_nn.gap class_audit.retrained.acc_f ua ra ta
done
same "accuracy on the forgotten class" "$(value out class_audit.acc_f)" "$trw"

# Single clips, with a membership audit.
run 0 unlearn base --method ga --forget random:10% --epochs 1 --threads 1 --out clips
run 0 audit clips --allow-lint --json
json out ua svc_mia.confidence

# The unlearned network on 4 bits: is the class still gone? Then as integers.
run 0 quantize ptq trw --bits 4 --bn-batches 2 --batch 15 --threads 1 --reaudit --oracle retrain-5 --out four --json
json out reaudit.before.ua reaudit.after.ua float_tensors touched_share
run 0 eval four --integer --threads 1 --json
json out test_acc integer.steps integer.state_bytes
integer_acc=$(value out test_acc)
run 0 report four --with-images --out page.html
contains page.html "Quantization and chips"
contains page.html "Spiking activity"
contains page.html "<animate"
run 0 quantize export four --format c --out net.c --json
json out path digest integer.activation_bytes
same "accuracy of the exported network" "$(value out test_acc_integer)" "$integer_acc"
contains net.h "LETHE_STEPS 4"
contains net.h "LETHE_STATE_BYTES"
error 1 "keep a potential" quantize export four --format onnx --out net.onnx
if command -v cc >/dev/null 2>&1; then
    printf '#include "net.h"\nstatic uint8_t x[LETHE_CHANNELS * LETHE_HEIGHT * LETHE_WIDTH];\nint main(void) { return lethe_predict(x) < 0; }\n' >main.c
    cc -std=c11 -Wall -Wextra -Werror -o net net.c main.c 2>err && ./net || fail "net.c does not compile or run"
fi
finish
