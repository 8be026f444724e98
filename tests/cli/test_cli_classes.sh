# Forgetting whole classes: keys of unlearn and audit, targets in a file, the control that cheats, and what is refused.
. "$(dirname "$0")/lib.sh"

run 0 train $tiny --epochs 4 --no-augment --out base --json
forget="--forget class:3 --threads 1"

run 0 unlearn base --method trw $forget --epochs 2 --save-targets targets.npz --out trw --json
json out acc_f acc_r acc_f_train acc_r_train forget_acc lr_area lr_area_default steps
[ -s targets.npz ] || fail "no file of targets"
for seed in 5 6; do
    run 0 unlearn base --method retrain $forget --seed $seed --out retrain-$seed --json
    same "a class that was never seen" "$(value out acc_f)" "0.0"
done
run 0 unlearn base --method logit-mask $forget --out mask --json
same "a masked class" "$(value out acc_f) $(value out acc_f_train)" "0.0 0.0"
run 0 unlearn base --method delete $forget --epochs 2 --lr 0.01 --out delete --json
digest=$(value out model_digest)
run 0 unlearn base --method trw $forget --beta 0 --remain-frac 0 --epochs 2 --lr 0.01 --out trw-0 --json
same "delete and trw without tilt and retained images" "$(value out model_digest)" "$digest"

run 0 audit trw --oracle retrain-5,retrain-6 --allow-lint --json
json out class_audit.acc_f class_audit.acc_r class_audit.tv class_audit.mia_nn.score class_audit.mia_nn.reference class_audit.mia_nn.gap \
    class_audit.mia_nn.neighbour class_audit.retrained.acc_f class_audit.retrained.tv class_audit.gap.mia_nn class_audit.original.acc_f \
    class_audit.classes.0.predicted class_audit.oracles.1.mia_nn.gap iam.unlearning_score mia_nn acc_f
run 0 audit mask --oracle retrain-5,retrain-6 --allow-lint --json
near "class-MIA of a mask is the original's" "$(value out class_audit.mia_nn.score)" "$(value out class_audit.original.mia_nn.score)"
run 0 audit --signals trw/signals.npz --oracle-signals retrain-5/signals.npz,retrain-6/signals.npz --allow-lint --json
json out class_audit.mia_nn.gap class_audit.tv

run 0 unlearn base --method ft --forget random:10 --epochs 1 --threads 1 --out random --json
lacks out '"acc_f"'

# nothing is written where a request cannot be
error 2 "no class '99'" unlearn base --method trw --forget class:99 --out none
error 2 "nothing would be retained" unlearn base --method trw --forget class:0,1,2,3,4,5,6,7,8,9 --out none
error 2 "whole classes" unlearn base --method trw --forget random:10 --out none
for method in trw rwft; do
    error 1 "save-targets: cannot write nodir/t.npz" unlearn base --method $method $forget --save-targets nodir/t.npz --out none
done
echo class:3 >requests
error 1 "save-targets: cannot write" unlearn base --method trw --requests requests --threads 1 --save-targets nodir/t.npz --out none
echo mine >mine.npz
error 2 "found something else" unlearn base --method trw $forget --save-targets mine.npz --out none
[ ! -e none ] || fail "a refused request left a directory"
finish
