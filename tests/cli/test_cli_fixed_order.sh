# With --deterministic a run ends with the same weights whatever the number of threads.
. "$(dirname "$0")/lib.sh"
data="--data synthetic,train=80,test=40 --batch 32 --epochs 2"

# digests MODEL OPTIONS...: of one job with 1, 2 and 3 threads
digests() {
    model=$1
    shift
    first=
    for n in 1 3; do
        run 0 train $data --model "$model" --deterministic --threads $n --oversubscribe "$@" --out "run-$n" --force --json
        digest=$(value out model_digest)
        same "digest of $model $* with 1 thread and with $n" "${first:=$digest}" "$digest"
    done
}
digests resnet18:width=8,proj-half=1
digests resnet18:width=16 --precision bf16
digests simple-conv:width=8

# what evaluates it is as independent
run 0 eval run-1 --deterministic --threads 1 --json
loss=$(value out test_loss)
run 0 eval run-1 --deterministic --threads 3 --oversubscribe --json
same "test loss with 1 thread and with 3" "$(value out test_loss)" "$loss"

# so are unlearning with an attack, and a run that goes on with another number of threads
first=
for n in 1 3; do
    run 0 unlearn run-1 --method amun --forget random:10 --epochs 1 --deterministic --threads $n --oversubscribe --out "amun-$n" --json
    digest=$(value out model_digest)
    same "digest of unlearning with 1 thread and with $n" "${first:=$digest}" "$digest"
done

job="--data synthetic,train=200,test=100 --batch 50 --model simple-conv:width=8 --epochs 60 --deterministic"
run 0 train $job --threads 1 --out whole --json
digest=$(value out model_digest)
"$LETHE" train $job --threads 1 --out parted >out 2>err &
pid=$!
n=0
while ! grep -q '"epoch": 3' parted/metrics.jsonl 2>/dev/null && kill -0 $pid 2>/dev/null && [ $n -lt 1200 ]; do
    n=$((n + 1))
    sleep 0.05
done
kill -INT $pid 2>/dev/null
wait $pid
same "exit code after SIGINT" "$?" 75
run 0 train --resume parted --threads 2 --json
same "digest after going on with two threads" "$(value out model_digest)" "$digest"
lacks err "not be bit-identical"

run 0 inspect --plan --train --model simple-conv:width=8 --batch 8 --deterministic --threads 2
contains out "2 threads, batch 8, train, f32, fixed order"
error 2 "deterministic" train $job --deterministic=perhaps --out never
finish
