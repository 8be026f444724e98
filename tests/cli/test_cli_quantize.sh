# lethe quantize: levels and codes of the files, keys of the result, chips, resuming, refusals.
. "$(dirname "$0")/lib.sh"
export LETHE_CACHE=
run 0 train $tiny --epochs 2 --out base
run 0 quantize train base --bits 3 --method msqe --epochs 2 --bn-batches 4 --threads 1 --out q3 --json
json out test_acc_fp test_acc_q bits levels_hit fault_rate variability chips residual code_change tensors model_digest
same bits "$(value out bits)" 3
for f in model.safetensors codes.safetensors metrics.jsonl DONE; do
    [ -e "q3/$f" ] || fail "q3/$f is missing"
done
contains q3/metrics.jsonl quant.epoch
acc=$(value out test_acc_q)
run 0 eval q3 --threads 1 --json
same "accuracy of the written model" "$(value out test_acc)" "$acc"
run 0 quantize train base --bits 3 --method msqe --epochs 2 --bn-batches 4 --threads 1 --out q3
contains out "finished before"
run 0 quantize ptq base --bits 2 --step minmax --granularity channel --threads 1 --out p2 --json
json out test_acc_fp test_acc_q bits levels_hit
run 0 quantize train base --bits 4 --method ste-reachable --epochs 1 --fault-rate 0.2 --chip 3 --encoding sign-magnitude \
    --threads 1 --out f4 --json
json out fault_rate encoding mapping n_unreachable
contains out '"fault_rate": 0.2,' # as it was given, not the float next to it
contains f4/codes.safetensors '"fault_rate":"0.2"'
if python3 -c 'import numpy' 2>/dev/null; then
    python3 - <<'END' || fail "files are not what they should be"
import json, struct
import numpy as np
def read(path):
    b = open(path, "rb").read(); n = struct.unpack("<Q", b[:8])[0]; h = json.loads(b[8:8 + n]); meta = h.pop("__metadata__")
    dt = {"F32": np.float32, "U8": np.uint8, "I64": np.int64}
    return {k: np.frombuffer(b[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]], dt[v["dtype"]]).reshape(v["shape"]) for k, v in h.items()}, meta
for run, bits, channel in (("q3", 3, False), ("p2", 2, True), ("f4", 4, False)):
    m, _ = read(run + "/model.safetensors"); c, meta = read(run + "/codes.safetensors")
    assert int(meta["bits"]) == bits and meta["encoding"] and float(meta["step"]) > 0 and int(meta["levels"]) == 2 ** bits
    names = [k for k, v in c.items() if v.dtype == np.uint8]
    assert names
    for k in names:
        codes, levels, w = c[k], c[k + ".levels"], m[k]
        assert codes.shape == w.shape and codes.max() < 2 ** bits
        assert len(levels) == (w.shape[0] if channel else 1)
        for o in range(w.shape[0]):
            assert np.array_equal(levels[o if channel else 0][codes[o]], w[o])
        assert all(len(np.unique(w[o])) <= 2 ** bits for o in range(w.shape[0]))
        assert channel or len(np.unique(w)) <= 2 ** bits
END
fi
# interrupted and resumed: the same bits. Without a cache every process would time kernels for itself, hence --deterministic.
"$LETHE" quantize train base --bits 4 --method msqe-levels --epochs 30 --threads 1 --deterministic --out whole >/dev/null 2>err || fail "whole"
"$LETHE" quantize train base --bits 4 --method msqe-levels --epochs 30 --threads 1 --deterministic --out parts >/dev/null 2>err &
pid=$!
sleep 0.7
kill -INT $pid
wait $pid
code=$?
[ "$code" = 75 ] || [ "$code" = 0 ] || fail "interrupted: exit code $code"
run 0 quantize train --resume parts
cmp -s whole/model.safetensors parts/model.safetensors || fail "resumed weights differ"
cmp -s whole/codes.safetensors parts/codes.safetensors || fail "resumed codes differ"

# deployment: integers, C, ONNX, packed
run 0 quantize train base --bits 4 --act-bits 4 --epochs 1 --bn-batches 4 --threads 1 --out a4 --json
run 0 eval a4 --integer --threads 1 --json
json out test_acc integer.kernel integer.weight_bytes integer.activation_bytes
integer_acc=$(value out test_acc)
for format in c onnx packed; do
    run 0 quantize export a4 --format $format --out "a4.$format" --json
    json out path digest test_acc_integer integer
    [ -s "a4.$format" ] || fail "a4.$format is missing"
    same "accuracy of the exported network" "$(value out test_acc_integer)" "$integer_acc"
    [ $format = c ] || continue
    contains a4.h "int lethe_predict(const uint8_t \*image);"
done
python=${LETHE_PYTHON:-python3}
if command -v cc >/dev/null 2>&1; then
    "$python" "$SOURCE/tests/interop/check_onnx.py" a4.onnx a4.c >onnx.txt 2>err
    code=$?
    [ $code = 0 ] || [ $code = 77 ] || fail "onnxruntime and the exported C disagree: $(cat onnx.txt)"
fi
error 2 "found none of its codes" eval base --integer
# What is not an export is not overwritten, the header next to a C file included.
run 0 quantize export a4 --out a4.c
for file in mine.c mine.h mine.onnx mine.safetensors; do echo mine >$file; done
error 2 "found something else" quantize export a4 --out mine.c
error 2 "found something else" quantize export a4 --format onnx --out mine.onnx
error 2 "found something else" quantize export a4 --format packed --out mine.safetensors
same "left as it was" "$(cat mine.c mine.h mine.onnx mine.safetensors | sort -u)" mine
mv mine.h other.h
error 2 "other.h" quantize export a4 --out other.c
run 0 quantize export a4 --out other.c --force
contains other.h lethe_predict
error 2 "out is missing" quantize export a4

# is forgetting undone? One command; the quantized run keeps the list of what was forgotten
run 0 unlearn base --method ga --epochs 1 --forget random:10% --threads 1 --out gone
run 0 train $tiny --epochs 2 --seed 5 --out oracle
run 0 quantize ptq gone --bits 2 --step mse --threads 1 --reaudit --oracle oracle --sensitivity --out gone2 --json
json out reaudit.before.ua reaudit.after.ft_auc reaudit.retrained.ta reaudit.gap_before reaudit.gap_after \
    reaudit.auc_shift reaudit.auc_shift_interval reaudit.relapse tensors.0.acc_drop_alone
cmp -s gone/forget.csv gone2/forget.csv || fail "the forget list did not come along"
run 0 eval gone2 --threads 1 --json
json out forget_acc
error 2 "forget" quantize ptq base --bits 4 --reaudit --out none

# the ImageNet form, with its augmentation
run 0 train --data synthetic,train-limit=60,test-limit=20 --model resnet18-imagenet:width=4 --augmentation resized-crop --epochs 1 \
    --batch 20 --threads 1 --out imagenet
run 0 quantize ptq imagenet --bits 4 --bn-batches 2 --batch 20 --threads 1 --out imagenet4 --json
json out test_acc_q levels_hit
run 0 eval imagenet4 --integer --threads 1 --json
json out test_acc integer.macs

# many chips: continued where they were interrupted
run 0 quantize population q3 --chips 3 --fault-rate 0.1 --bn-batches 2 --threads 1 --out pop --json
json out chips.mean chips.worst chips.q05 chips.q50 chips.q95 chips.yield rows.bitmap rows.nearest-bn bits fault_rate
same "rows of chips.csv" "$(grep -c '^[0-9]' pop/chips.csv)" 3
run 0 report q3 p2 gone2 pop --out page.html
contains page.html "Quantization and chips"
contains page.html "Accuracy against bits"
contains page.html "Chips: accuracy against stuck cells"
contains page.html "Codes of q3"
contains page.html "Sensitivity of gone2"
error 2 "ideal chips are all the same" quantize population q3
error 2 "found none of its codes" quantize population base --fault-rate 0.1

error 2 "unknown quantization method 'msq'" quantize train base --method msq --out absent
[ ! -e absent ] || fail "an unknown method left a directory"
error 2 "expected one of" quantize shrink base
# options of another action are refused, not passed over; a file may hold options of several actions
error 2 "quantize train: --step is an option of quantize ptq" quantize train base --bits 4 --step minmax --out absent
error 2 "quantize train: --step is an option of quantize ptq" quantize train base --set step=minmax --out absent
error 2 "quantize ptq: --chips is an option of quantize population" quantize ptq base --chips 3 --out absent
error 2 "quantize population: --reaudit is an option of quantize train and ptq" quantize population q3 --reaudit --out absent
[ ! -e absent ] || fail "an option of another action left a directory"
printf 'step: minmax\nchips: 3\n' >several.yaml
run 0 quantize ptq base --config several.yaml --bits 2 --bn-batches 1 --threads 1 --out several
error 2 "which run" quantize train
error 2 "have no weights" quantize ptq base --encoding gray --variability 0.1 --out x
error 2 "2 to 4 bits per weight, found 6" quantize ptq base --bits 6 --fault-rate 0.1 --out y
finish
