# Forgetting a fine class within a coarse one: the class audit of the subclass, and its refusals. On made images, and on
# the sample of CIFAR-100 where $LETHE_DATA has it.
sample=${LETHE_DATA:-/nowhere}/cifar-100-sample/test500.bin
. "$(dirname "$0")/lib.sh"

check() { # check DATA SUBCLASS OTHER: SUBCLASS of the superclass OTHER
    run 0 train --data "$1" --model simple-conv:width=4 --batch 25 --epochs 6 --lr 0.05 --threads 1 --out "$2" --json
    for seed in 5 6; do
        run 0 unlearn "$2" --method retrain --forget "subclass:$2" --seed $seed --threads 1 --out "$2-retrain-$seed" --json
        json out acc_f acc_r acc_f_train acc_r_train
    done
    run 0 unlearn "$2" --method ft --forget "subclass:$2" --epochs 2 --threads 1 --out "$2-ft" --json
    json out acc_f acc_r acc_f_train acc_r_train
    acc_f=$(value out acc_f)
    run 0 audit "$2-ft" --oracle "$2-retrain-5,$2-retrain-6" --allow-lint --json
    json out class_audit.acc_f class_audit.acc_r class_audit.tv class_audit.mia_nn.gap class_audit.mia_nn.neighbour class_audit.retrained.acc_f \
        class_audit.classes.0.accept class_audit.classes.0.accept_retrained class_audit.oracles.1.mia_nn.gap class_audit.original.acc_f
    near "acc_f of unlearn and of audit" "$(value out class_audit.acc_f)" "$acc_f"
    same "name of the subclass" "$(value out class_audit.classes.0.subclass_name)" "$2"
    same "name of its superclass" "$(value out class_audit.classes.0.name)" "$3"
    same "forgotten classes and subclasses" "$(value out n_forgotten_classes) $(value out n_forgotten_subclasses)" "0 1"
    gap=$(value out class_audit.mia_nn.gap)
    run 0 audit --signals "$2-ft/signals.npz" --oracle-signals "$2-retrain-5/signals.npz,$2-retrain-6/signals.npz" --allow-lint --json
    near "the gap from arrays alone" "$(value out class_audit.mia_nn.gap)" "$gap"
    run 0 report "$2" "$2-ft" "$2-retrain-5" "$2-retrain-6" --out "$2.html"
    contains "$2.html" "Forgotten classes"
    contains "$2.html" "subclass [0-9]* of $3"
    run 0 audit "$2-retrain-5" --oracle "$2-retrain-6" --allow-lint --json
    json out class_audit.acc_f
}

# Four subclasses of people and of vehicles_1, each a shade of its superclass's colour with noise.
if command -v python3 >/dev/null; then
    mkdir made
    python3 - <<'END'
import random
r = random.Random(3)
fine = {11: (14, 200), 2: (14, 120), 8: (18, 200), 58: (18, 120)}  # boy, baby; bicycle, pickup_truck
for name, n in (("train", 30), ("test", 12)):
    with open(f"made/{name}.bin", "wb") as f:
        for i in range(n):
            for label, (coarse, shade) in fine.items():
                planes = [shade if (coarse == 14) == (c == 0) else 60 for c in range(3)]
                f.write(bytes([coarse, label]))
                for plane in planes:
                    f.write(bytes(min(255, max(0, plane + r.randrange(-50, 51))) for _ in range(1024)))
END
    check "cifar100:made,coarse=1,allow-partial=1" boy people
    error 2 "read by its coarse classes" unlearn boy --method ft --forget superclass:people --out none
    error 2 "whole classes" unlearn boy --method trw --forget subclass:boy --out none
    [ ! -e none ] || fail "a refused request left a directory"
fi

# 500 images of CIFAR-100: 350 to train on, 150 to test.
if [ -f "$sample" ]; then
    mkdir sample
    head -c $((350 * 3074)) "$sample" >sample/train.bin
    tail -c $((150 * 3074)) "$sample" >sample/test.bin
    check "cifar100:sample,coarse=1,allow-partial=1" lamp household_electrical_devices
fi
finish
