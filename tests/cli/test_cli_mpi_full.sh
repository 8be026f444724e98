# Data-parallel training by processes that mpirun starts: one run, resumable, one clear line when a rank ends.
. "$(dirname "$0")/lib.sh"
plugin="$(dirname "$LETHE")/liblethe_mpi.so"
if [ ! -e "$plugin" ] || ! command -v mpirun >/dev/null; then
    echo "skipped: no MPI ($plugin, mpirun)"
    exit 77
fi
# All ranks on this machine, whatever the container lacks: no ssh, no copies between processes.
export OMPI_MCA_plm=isolated OMPI_MCA_btl_vader_single_copy_mechanism=none
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
ranks() { # ranks N ARGS...
    n=$1
    shift
    mpirun --oversubscribe -n "$n" "$LETHE" "$@" --threads 1 --quiet >out 2>err
}
common="train --data synthetic,train-limit=120,test-limit=40 --model simple-conv:width=4 --batch 20 --lr 0.02"

ranks 2 $common --epochs 2 --ranks 2 --out two || fail "two ranks: exit code $?"
[ "$(grep -c '^two$' out)" = 1 ] || fail "not one result but $(grep -c '^two$' out)"
same "epochs" "$(value two/result.json epochs)" 2
same "steps" "$(value two/result.json steps)" 12
digest=$(value two/result.json model_digest)
ranks 2 $common --epochs 2 --ranks 2 --out again || fail "again: exit code $?"
same "the same bits again" "$(value again/result.json model_digest)" "$digest"
ranks 2 $common --epochs 2 --ranks 2 --out two || fail "a finished run: exit code $?"
contains out "finished before"

# Stopped and continued: the bits of a run that was not stopped.
ranks 2 $common --epochs 30 --ranks 2 --out whole || fail "whole: exit code $?"
mpirun --oversubscribe -n 2 "$LETHE" $common --epochs 30 --ranks 2 --out stopped --threads 1 --quiet >out 2>err &
job=$!
tries=0
until grep -q '"epoch"' stopped/metrics.jsonl 2>/dev/null || [ $tries -gt 200 ]; do
    sleep 0.05
    tries=$((tries + 1))
done
pkill -INT -f -- "--out stopped" 2>/dev/null
wait $job
[ -e stopped/state.safetensors ] || [ -e stopped/DONE ] || fail "no checkpoint was left"
ranks 2 $common --epochs 30 --ranks 2 --out stopped || fail "continuing: exit code $?"
same "bits after a stop" "$(value stopped/result.json model_digest)" "$(value whole/result.json model_digest)"

error 2 "--ranks 2, but 1 process has been started" $common --ranks 2 --out x
error 2 "--ranks and --population exclude each other" $common --ranks 2 --population 2 --out x
ranks 2 $common --epochs 2 --ranks 2 --lr 1e9 --out diverged && fail "divergence: exit code 0"
[ "$(grep -c '^lethe: ' err)" = 1 ] || fail "not one error line but $(grep -c '^lethe: ' err)"
finish
