# Interrupted by a signal or killed at any moment, a run continues to the same weights.
. "$(dirname "$0")/lib.sh"
job="$tiny --epochs 60 --checkpoint-every-s 1"

run 0 train $job --out whole --json
digest=$(value out model_digest)

# wait_for FILE TEXT PID: until the file has the text, or the process is gone
wait_for() {
    n=0
    while ! grep -q -- "$2" "$1" 2>/dev/null; do
        kill -0 "$3" 2>/dev/null || return 1
        n=$((n + 1))
        [ $n -lt 1200 ] || return 1
        sleep 0.05
    done
}

for signal in INT TERM; do
    "$LETHE" train $job --out "run-$signal" >out 2>err &
    pid=$!
    wait_for "run-$signal/metrics.jsonl" '"epoch": 3' $pid || fail "no third epoch before the run ended"
    kill -$signal $pid 2>/dev/null
    wait $pid
    code=$?
    same "exit code after SIG$signal" "$code" 75
    contains err "^hint: continue with: lethe train --resume run-$signal"
    [ ! -e "run-$signal/DONE" ] || fail "an interrupted run says it is done"
    run 0 train --resume "run-$signal" --threads 1 --json
    same "digest after SIG$signal and --resume" "$(value out model_digest)" "$digest"
done

# killed without warning: only whole files are there, and the same command goes on
"$LETHE" train $job --out killed >out 2>err &
pid=$!
wait_for killed/metrics.jsonl '"epoch": 5' $pid || fail "no fifth epoch before the run ended"
kill -KILL $pid
wait $pid 2>/dev/null
run 0 train $job --out killed --json
same "digest after SIGKILL" "$(value out model_digest)" "$digest"
same "epochs in the metrics" "$(grep -c '"epoch": 60,' killed/metrics.jsonl)" 1

# unlearning is interrupted in the same way
run 0 unlearn whole --method ft --epochs 60 --lr 0.01 --out ft-whole --threads 1 --json
digest=$(value out model_digest)
"$LETHE" unlearn whole --method ft --epochs 60 --lr 0.01 --out ft --threads 1 >out 2>err &
pid=$!
wait_for ft/metrics.jsonl '"epoch": 3' $pid || fail "no third epoch of ft"
kill -INT $pid 2>/dev/null
wait $pid
same "exit code of unlearn after SIGINT" "$?" 75
run 0 unlearn --resume ft --threads 1 --json
same "digest of unlearn after --resume" "$(value out model_digest)" "$digest"
error 3 "expected a run that had begun" train --resume "$work/home"
contains err "^hint: the run was stopped before it recorded its options"
error 3 "expected the directory of a run" train --resume nowhere
contains err "^hint: --resume takes a run directory"
error 2 "expected a run of .lethe train., found one of .lethe unlearn." train --resume ft
contains err "^hint: lethe unlearn --resume ft"
finish
