# Several sweeps in one directory: every part is made once, a worker that is killed leaves its parts to the others, and
# the scripts for Slurm and mpirun start such workers.
. "$(dirname "$0")/lib.sh"
export LETHE_CACHE= # no timing of kernels: a fixed rule chooses

cat >study.yaml <<'END'
study: tiny
data: synthetic,train=64,test=32
model: simple-conv:width=4
train: {epochs: 2, batch: 32, lr: 0.05}
bases: [1, 2]
forget: [{spec: "random:25%", seed: 1}]
oracles: [1, 2]
audit: {bootstrap: 20, attacks: [loss]}
methods: [{method: ft, options: {epochs: 1}}]
END
n_parts=10 # 2 original models, 4 oracles, 2 runs, 2 audits

same_tables() { # same_tables DIR: all but times, as of one sweep alone
    for dir in alone "$1"; do
        sed 's/\(,[^,]*\)\{4\}$//' $dir/results.csv >$dir.columns
    done
    cmp -s alone.columns "$1.columns" || fail "$1 has another results.csv than one sweep alone"
}

run 0 sweep study.yaml --jobs 2 --out alone --json --quiet
same "parts" "$(value out parts.n)" $n_parts

"$LETHE" sweep study.yaml --jobs 1 --join --out both --json --quiet >first.json 2>first.err &
pid=$!
"$LETHE" sweep study.yaml --jobs 1 --join --out both --json --quiet >second.json 2>second.err
same "exit code of the second worker" $? 0
wait $pid
same "exit code of the first worker" $? 0
same "parts that one worker found made by the other" \
    "$(($(value first.json parts.n_existing) + $(value second.json parts.n_existing)))" $n_parts
same_tables both

# a worker dies, and what it had begun is not lost
"$LETHE" sweep study.yaml --jobs 1 --join --out killed --json --quiet >first.json 2>first.err &
pid=$!
n=0
while [ ! -e killed/bases/b1 ] && [ $n -lt 600 ]; do
    n=$((n + 1))
    sleep 0.05
done
"$LETHE" sweep study.yaml --jobs 1 --join --out killed --json --quiet >second.json 2>second.err &
second=$!
kill -KILL $pid
wait $pid 2>/dev/null
wait $second
same "exit code of the worker that is left" $? 0
same_tables killed

# scripts
run 0 sweep study.yaml --executor slurm --workers 3 --jobs 1 --out script
contains out "script/slurm.sh"
[ ! -e script/study.yaml ] || fail "writing a script ran the study"
sh -n script/slurm.sh || fail "script/slurm.sh is no shell script"
contains script/slurm.sh "#SBATCH --array=1-3"
sh script/slurm.sh >first.out 2>first.err &
pid=$!
sh script/slurm.sh >second.out 2>second.err
same "exit code of a task of the array" $? 0
wait $pid
same "exit code of another task of the array" $? 0
same_tables script
error 2 "unknown executor 'slurn'" sweep study.yaml --executor slurn --out bad
contains err "slurm"
[ ! -e bad ] || fail "an unknown executor left a directory"

run 0 sweep study.yaml --executor mpirun --workers 2 --jobs 1 --out ranks --json
if command -v mpirun >/dev/null 2>&1; then
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 sh ranks/mpirun.sh --oversubscribe >out 2>err
    same "exit code of two ranks" $? 0
    same "tables that the ranks print" "$(grep -c "^original " out)" 2 # of accuracies and of attacks, by one rank
    same_tables ranks
else
    echo "skipped: two ranks (no mpirun on this machine; Debian: apt-get install openmpi-bin)"
fi
finish
