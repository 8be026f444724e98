# Metrics of a run: JSON lines and CSV always, TensorBoard's event files on demand.
. "$(dirname "$0")/lib.sh"
run 0 train $tiny --epochs 2 --out plain
[ "$(find plain -name 'events.out.*' | wc -l)" = 0 ] || fail "an event file that nobody asked for"
same "head of metrics.csv" "$(head -1 plain/metrics.csv)" "time,wall_s,event,epoch,step,name,value"
same "losses in both files" "$(sed -n 's/.*"loss": \([0-9.]*\),.*/\1/p' plain/metrics.jsonl | tr '\n' ' ')" \
    "$(awk -F, '$3 == "train.epoch" && $6 == "loss" { print $7 }' plain/metrics.csv | tr '\n' ' ')"
contains plain/files.json metrics.csv

run 0 train $tiny --epochs 2 --tensorboard --out tracked --json
same "the model, tracked or not" "$(value out model_digest)" "$(value plain/result.json model_digest)"
[ "$(find tracked -name 'events.out.tfevents.*' | wc -l)" = 1 ] || fail "not one event file"
lacks tracked/files.json tfevents
run 0 train $tiny --epochs 2 --tensorboard --out tracked --force
[ "$(find tracked -name 'events.out.tfevents.*' | wc -l)" = 1 ] || fail "the event file of the replaced run is still there"
run 0 unlearn plain --method ga --forget random:10% --epochs 1 --tensorboard --out child --threads 1
[ "$(find child -name 'events.out.tfevents.*' | wc -l)" = 1 ] || fail "no event file of unlearning"
if python3 -c 'import tensorboard' 2>/dev/null; then
    python3 - <<'P' >found 2>err || fail "TensorBoard does not read the file"
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator("tracked")
events.Reload()
print([s.step for s in events.Scalars("train.epoch/loss")])
P
    contains found '\[4, 8\]'
fi
finish
