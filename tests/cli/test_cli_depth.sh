# lethe audit --representations: keys, lengths, one value computed by hand, runs left as they were, and what is refused.
. "$(dirname "$0")/lib.sh"
export LETHE_RECORD=0 # outputs are compared, and each record has a number of its own
deep="--representations --representation-samples 60 --relearn-steps 7 --relearn-every 3 --relearn-batch 10 --relearn-lr 0.01 --threads 1"

run 0 train $tiny --epochs 3 --out runs/base --json
run 0 unlearn runs/base --method ft --epochs 1 --out runs/ft --threads 1 --json
for seed in 2 3; do
    run 0 unlearn runs/base --method retrain --seed $seed --out runs/r$seed --threads 1 --json
done
find runs -type f -exec cksum {} + | sort >before
run 0 audit --allow-lint runs/ft --oracle runs/r2 --oracle runs/r3 $deep --json
cp out deep
find runs -type f -exec cksum {} + | sort >after
cmp -s before after || fail "audit --representations changed a file of a run"
json deep depth.probe.0.stage depth.probe.2.membership_auc.original depth.probe.2.membership_auc.unlearned \
    depth.probe.2.membership_auc.retrained.1 depth.probe.0.class_acc.original depth.probe.0.class_acc_test.retrained.0 \
    depth.cka.0.to_original depth.cka.0.to_retrained.1 depth.cka.2.retrained_pair depth.cka.2.test.to_original \
    depth.relearn.steps.3 depth.relearn.forget_acc.unlearned.3 depth.relearn.forget_acc.original.3 \
    depth.relearn.forget_acc.retrained.1.3 depth.relearn.test_acc.retrained.1.3 depth.relearn.area.retrained.1 \
    depth.relearn.difference depth.relearn.retrained_pair depth.relearn.statistic.p depth.relearn.steps_to_threshold.unlearned
same "stages" "$(value deep depth.probe.0.stage)$(value deep depth.cka.2.stage)" "stage1stage3"
same "steps" "$(value deep depth.relearn.steps.0)$(value deep depth.relearn.steps.2)$(value deep depth.relearn.steps.3)" 067
same "accuracy at step 0" "$(value deep depth.relearn.forget_acc.unlearned.0)" "$(value deep ua)"
same "the original" "$(value deep depth.original)" runs/base
run 0 audit --allow-lint runs/ft --oracle runs/r2 --oracle runs/r3 $deep --json
cmp -s out deep || fail "the same audit twice gives other figures"

# likeness of the original and an oracle, and of two oracles, as an audit of that oracle says it
run 0 audit --allow-lint runs/r2 --oracle runs/r3 $deep --json
for stage in 0 2; do
    near "original to oracle" "$(value deep depth.cka.$stage.original_to_retrained.0)" "$(value out depth.cka.$stage.to_original)"
    near "a pair of oracles" "$(value deep depth.cka.$stage.retrained_pair)" "$(value out depth.cka.$stage.to_retrained.0)"
done

# a network compared with itself is itself; one oracle has no pair
run 0 audit --allow-lint runs/ft --oracle runs/ft --original runs/ft $deep --json
same "CKA with itself" "$(value out depth.cka.1.to_original)$(value out depth.cka.1.to_retrained.0)" "$(value out depth.cka.1.to_retrained.0)$(value out depth.cka.1.to_original)"
case $(value out depth.cka.1.to_original) in 1 | 1.0 | 1.0000* | 0.99999999*) ;; *) fail "CKA with itself is $(value out depth.cka.1.to_original)" ;; esac
same "difference from itself" "$(value out depth.relearn.difference | sed 's/^-*0\(\.0*\)*$/0/')" 0
same "a pair of one" "$(value out depth.cka.1.retrained_pair)" null
run 0 audit --allow-lint runs/ft $deep
contains out "^stage3"
contains out "^metric  *unlearned  *retrained  *difference"
contains out "AUC: unlearned  *original  *retrained"
contains out "relearning"
run 0 audit --allow-lint runs/base --forget random:10% $deep --json # no parent: no original
same "the original of a base model" "$(value out depth.original)$(value out depth.probe.0.membership_auc.original)" nullnull

# whole classes: members are compared with test samples of their own classes, and no probe can name the class
run 0 unlearn runs/base --method ft --epochs 1 --forget class:3 --out runs/class --threads 1 --json
run 0 audit --allow-lint runs/class $deep --json
same "accuracy on a class that is not retained" "$(value out depth.probe.0.class_acc.unlearned)" null
[ "$(value out depth.settings.n_test_of_forgotten_classes)" -lt "$(value out depth.settings.n_test)" ] || fail "all test samples are of class 3"

error 2 "expected runs" audit --signals runs/ft/signals.npz --representations
error 3 "nowhere" audit runs/ft --representations --original nowhere
error 2 "probe-l2" audit runs/ft --representations --probe-l2 0
run 0 train $tiny --epochs 1 --seed 7 --out runs/other --json
mv runs/base runs/moved
error 3 "runs/base" audit runs/ft $deep
contains err "original"
mv runs/other runs/base
error 4 "was made from" audit runs/ft $deep
run 0 audit --allow-lint runs/ft --original runs/moved $deep --json
run 0 train --data synthetic,train=60,test=20 --model resnet18:width=2 --epochs 1 --threads 1 --out runs/deepnet --json
error 2 "other stages" audit runs/ft --original runs/deepnet $deep
finish
