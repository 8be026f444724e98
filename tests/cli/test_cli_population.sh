# Population training: ordinary runs with the bits they have alone, interruption, resumption, members that fail.
. "$(dirname "$0")/lib.sh"
export LETHE_CACHE= # no timing of kernels: a fixed rule chooses
job="$tiny --epochs 4 --seed 5"

run 0 train $job --population 3 --threads 2 --out crowd --json
json out population n_finished n_failed members train_acc test_acc test_loss epochs images_per_s wall_s run
cp out crowd.json
same "models finished" "$(value out n_finished)" 3
for i in 0 1 2; do
    for file in model.safetensors result.json resolved.json env.json metrics.jsonl DONE; do
        [ -s "crowd/00$i/$file" ] || fail "crowd/00$i has no $file"
    done
    run 0 train $tiny --epochs 4 --seed $((5 + i)) --out "alone-$i" --json
    same "digest of member $i and of a lone run" "$(value out model_digest)" "$(value "crowd/00$i/result.json" model_digest)"
    cmp -s "alone-$i/model.safetensors" "crowd/00$i/model.safetensors" || fail "model files of member $i differ"
done
contains crowd/population.json '"name": "002"'
[ -e crowd/DONE ] || fail "a finished population is not done"

# a finished population is not computed again, and neither is a lone run that finds a member finished
run 0 train $job --population 3 --threads 2 --out crowd --json
same "cached" "$(value out cached)" true
run 0 train $tiny --epochs 4 --seed 6 --out crowd/001 --json
same "member found by a lone run" "$(value out cached)" true
run 0 eval crowd/002 --threads 1 --json
same "accuracy of a member" "$(value out test_acc)" "$(value crowd/002/result.json test_acc)"
run 0 train $job --population 3 --threads 2 --out crowd
contains out "3 of 3 models"
error 2 "another" train $job --population 4 --out crowd
error 2 "population" train $tiny --population -1
error 3 "model.safetensors" eval crowd

# only what is missing is made
rm -rf crowd/001 crowd/DONE
run 0 train $job --population 3 --threads 2 --out crowd --json
same "digest of a member made again" "$(value crowd/001/result.json model_digest)" "$(value alone-1/result.json model_digest)"
same "members that were there" "$(grep -c '"cached": true' crowd/population.json)" 2

# interrupted: every member in work leaves a checkpoint, and --resume ends with the same bits
wait_for() { # wait_for FILE TEXT PID: until the file has the text, or the process is gone
    n=0
    while ! grep -q -- "$2" "$1" 2>/dev/null; do
        kill -0 "$3" 2>/dev/null || return 1
        n=$((n + 1))
        [ $n -lt 1200 ] || return 1
        sleep 0.05
    done
}
long="$tiny --epochs 24 --seed 7"
run 0 train $long --population 3 --threads 2 --out whole --json
"$LETHE" train $long --population 3 --threads 2 --out cut >out 2>err &
pid=$!
wait_for cut/000/metrics.jsonl '"epoch": 3' $pid || fail "no third epoch before the population ended"
wait_for cut/001/metrics.jsonl '"epoch": 2' $pid || fail "the second member was not in work"
kill -INT $pid 2>/dev/null
wait $pid
same "exit code after SIGINT" "$?" 75
contains err "^hint: continue with: lethe train --resume cut"
contains err "interrupted: of 3 members 0 are finished, 2 stopped, 0 failed, 1 not begun"
[ -s cut/000/state.safetensors ] && [ -s cut/001/state.safetensors ] || fail "a member left no checkpoint"
[ ! -e cut/DONE ] || fail "an interrupted population says it is done"
contains cut/population.json '"state": "interrupted"'
run 0 train --resume cut --json
for i in 0 1 2; do
    same "digest of member $i after --resume" "$(value "cut/00$i/result.json" model_digest)" \
        "$(value "whole/00$i/result.json" model_digest)"
done

# killed without warning, likewise
"$LETHE" train $long --population 3 --threads 2 --checkpoint-every-s 1 --out killed >out 2>err &
pid=$!
wait_for killed/000/metrics.jsonl '"epoch": 5' $pid || fail "no fifth epoch before the population ended"
kill -KILL $pid
wait $pid 2>/dev/null
run 0 train --resume killed --json
same "digest after SIGKILL" "$(value killed/002/result.json model_digest)" "$(value whole/002/result.json model_digest)"

# a member that cannot finish is named; the others are kept, and the record is printed all the same
run 0 train $job --population 3 --threads 1 --out broken --json
echo x >broken/001/model.safetensors
rm -f broken/DONE broken/001/DONE broken/001/env.json
run 2 train $job --population 3 --threads 2 --out broken --json
contains err "1 of 3 members failed, the first is 001: broken/001: expected an empty directory or a run"
contains err "warning: member 001 failed"
same "members that are there" "$(value out n_finished)" 2
same "members that failed" "$(value out n_failed)" 1
contains broken/population.json '"state": "failed"'
[ ! -e broken/DONE ] || fail "a population with a failed member says it is done"
rm -rf broken/001
run 0 train $job --population 3 --threads 2 --out broken --json
same "digest of the member made at last" "$(value broken/001/result.json model_digest)" "$(value alone-1/result.json model_digest)"

# divergence: every member fails on its own, exit code 5
run 5 train $tiny --epochs 2 --lr 1e6 --population 2 --threads 2 --out wild --json
contains err "2 of 2 members failed, the first is 000: training diverged"
json out population n_failed members

# members that start from a run
run 0 train $job --population 2 --init alone-0 --lr 0.01 --threads 2 --out tuned --json
run 0 train $tiny --epochs 4 --seed 6 --init alone-0 --lr 0.01 --out tuned-alone --json
same "digest of a fine-tuned member" "$(value out model_digest)" "$(value tuned/001/result.json model_digest)"
run 0 train $job --population 2 --init alone-0 --lr 0.01 --threads 2 --out tuned --json
same "fine-tuned members are found" "$(value out cached)" true
finish
