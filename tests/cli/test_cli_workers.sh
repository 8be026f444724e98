# Several processes fill one store, or measure one population of chips: everything is made once, whoever dies leaves its
# work to the others, and the result is that of one process. Scripts for Slurm and mpirun start such workers.
. "$(dirname "$0")/lib.sh"
export LETHE_CACHE= OMP_NUM_THREADS=1
refs="--data synthetic,train=96,test=48 --model simple-conv:width=4 --batch 24 --epochs 2 --count 4 --seed 0 --threads 1"
digests() { (cd "$1" && for entry in */entry.json; do echo "${entry%/*} $(value "$entry" model_digest)"; done); }

# ---- the store
run 0 store train $refs --store alone --json
same "trained alone" "$(value out n_trained)" 4
"$LETHE" store train $refs --store both --join --json >first.json 2>first.err &
pid=$!
"$LETHE" store train $refs --store both --join --json >second.json 2>second.err
same "exit code of the second worker" $? 0
wait $pid
same "exit code of the first worker" $? 0
same "trained by the two" "$(($(value first.json n_trained) + $(value second.json n_trained)))" 4
same "ready for the first" "$(value first.json n_ready)" 4
same "ready for the second" "$(value second.json n_ready)" 4
same "models of two workers" "$(digests both)" "$(digests alone)"

# one that is killed: what it had begun is taken over
"$LETHE" store train $refs --epochs 6 --store killed --join >first.out 2>first.err &
pid=$!
n=0
while [ -z "$(ls killed 2>/dev/null)" ] && [ $n -lt 300 ]; do
    n=$((n + 1))
    sleep 0.02
done
"$LETHE" store train $refs --epochs 6 --store killed --join --json >second.json 2>second.err &
second=$!
sleep 0.05
kill -KILL $pid
wait $pid 2>/dev/null
wait $second
same "exit code of the worker that is left" $? 0
same "ready after one was killed" "$(value second.json n_ready)" 4

# without --join a model that another one trains is an error, and with it an interruption ends the waiting
mkdir held
run 0 store plan $refs --store held --no-measure --json
if command -v flock >/dev/null 2>&1; then
    address=$(value out models.0.address)
    mkdir "held/$address"
    flock --no-fork "held/$address" sleep 20 &
    holder=$!
    sleep 0.2
    run 1 store train $refs --store held
    contains err "^lethe: 1 of 4 reference models failed.*in use by another process"
    "$LETHE" store train $refs --store held --join >out 2>err &
    pid=$!
    sleep 0.7
    kill -INT $pid
    wait $pid
    same "exit code of a worker that waits and is interrupted" $? 75
    contains err "of 4 reference models 3 are finished"
    kill $holder 2>/dev/null
    wait $holder 2>/dev/null
fi

# scripts
run 0 store train $refs --store script --executor slurm --workers 3 --out scripts/refs
contains out "^scripts/refs.slurm.sh$"
[ ! -e script ] || fail "writing a script trained something"
sh -n scripts/refs.slurm.sh || fail "the script for Slurm is no shell script"
contains scripts/refs.slurm.sh "#SBATCH --array=1-3"
contains scripts/refs.slurm.sh "#SBATCH --cpus-per-task=1"
sh scripts/refs.slurm.sh >first.out 2>first.err &
pid=$!
sh scripts/refs.slurm.sh >second.out 2>second.err
same "exit code of a task of the array" $? 0
wait $pid
same "exit code of another task of the array" $? 0
same "models of the script" "$(digests script)" "$(digests alone)"
error 2 "unknown executor 'slurn'" store train $refs --executor slurn

# ---- chips
run 0 train --data synthetic,train=96,test=48 --model simple-conv:width=4 --batch 24 --epochs 2 --threads 1 --out base
run 0 quantize ptq base --bits 4 --threads 1 --out ptq
chips="quantize population ptq --chips 3 --fault-rate 0.1 --threads 1 --bn-batches 1"
run 0 $chips --out chips-alone --json
value out chips.accuracies.2 >expected
"$LETHE" $chips --out chips --join --json >first.json 2>first.err &
pid=$!
"$LETHE" $chips --out chips --join --json >second.json 2>second.err
same "exit code of the second worker" $? 0
wait $pid
same "exit code of the first worker" $? 0
for i in 0 1 2; do
    want=$(value chips-alone/result.json chips.accuracies.$i)
    same "chip $i for the first" "$(value first.json chips.accuracies.$i)" "$want"
    same "chip $i for the second" "$(value second.json chips.accuracies.$i)" "$want"
done
same "the table" "$(cat chips/chips.csv)" "$(cat chips-alone/chips.csv)"
same "files of chips" "$(ls chips.chips | wc -l)" 3
# what another worker has measured is taken, not measured again
for file in chips.chips/*000001.csv; do
    sed '2s/^1,[^,]*/1,0.125/' "$file" >file && cp file "$file"
done
rm -r chips
run 0 $chips --out chips --join --json
same "a chip of another worker" "$(sed -n 's/^1,\([^,]*\),.*/\1/p' chips/chips.csv)" 0.125
same "a chip beside it" "$(sed -n '/^2,/p' chips/chips.csv)" "$(sed -n '/^2,/p' chips-alone/chips.csv)"
error 2 "join needs --out" $chips --join
error 2 "needs --out" $chips --executor slurm
run 0 $chips --executor mpirun --workers 2 --out ranks --json
same "the script" "$(value out script)" ranks.mpirun.sh
[ ! -e ranks ] || fail "writing a script measured something"
if command -v mpirun >/dev/null 2>&1; then
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 sh ranks.mpirun.sh --oversubscribe >out 2>err
    same "exit code of two ranks" $? 0
    same "the table of two ranks" "$(cat ranks/chips.csv)" "$(cat chips-alone/chips.csv)"
fi
finish
