# Bad input: one clear line, the right exit code, nothing half-written.
. "$(dirname "$0")/lib.sh"

run 0 train $tiny --epochs 1 --out base --json
data=synthetic,train=200,test=100

# files that are not what they should be
mkdir cifar && for i in 1 2 3 4 5; do head -c 30730 /dev/zero >"cifar/data_batch_$i.bin"; done
head -c 30730 /dev/zero >cifar/test_batch.bin
run 0 data info cifar10:cifar,allow-partial=1 --json
head -c 30000 /dev/zero >cifar/data_batch_3.bin
error 3 "data_batch_3.bin" train --data cifar10:cifar,allow-partial=1 --out x1
head -c 30730 /dev/zero | tr '\000' '\377' >cifar/data_batch_3.bin
error 3 "data_batch_3.bin" train --data cifar10:cifar,allow-partial=1 --out x1
error 3 "no such file" train --data cifar10:nowhere --out x1
[ ! -e x1 ] || fail "a training without data left a directory"

cp -r base nan
# the last four bytes of the file are a weight: make it NaN
size=$(wc -c <nan/model.safetensors)
printf '\377\377\377\177' | dd of=nan/model.safetensors bs=1 seek=$((size - 4)) conv=notrunc 2>/dev/null
error 3 "finite" eval nan/model.safetensors --data $data
cp -r base changed
printf '\000\000\000\077' | dd of=changed/model.safetensors bs=1 seek=$((size - 4)) conv=notrunc 2>/dev/null
error 4 "digest" eval changed
head -c 1000 base/model.safetensors >short.safetensors
error 3 "short.safetensors" eval short.safetensors --data $data
echo nonsense >bad.safetensors
error 3 "bad.safetensors" inspect bad.safetensors
error 3 "no model.safetensors" eval "$work/home"

# forget lists
printf '5\n7\n5\n' >twice.csv
error 3 "twice.csv" unlearn base --method ft --forget file:twice.csv --out x2
printf '5\n99999999\n' >range.csv
error 3 "range.csv" unlearn base --method ft --forget file:range.csv --out x2
: >empty.csv
error 3 "empty" unlearn base --method ft --forget file:empty.csv --out x2
error 3 "nowhere.csv" unlearn base --method ft --forget file:nowhere.csv --out x2
error 2 "forget" unlearn base --method ft --forget random:0% --out x2
error 2 "retain" unlearn base --method ft --no-use-retain-data --out x2
[ ! -e x2/DONE ] || fail "an unlearning that failed says it is done"
error 3 "t.npz: expected an .npz archive, found other bytes" audit --signals "$(echo junk >t.npz && echo t.npz)"
: >none.npz
error 3 "none.npz: expected an .npz archive, found an empty file" audit --signals none.npz
# an argument that is empty is a variable without a value: not a default, and not a file without a name
for verb in audit eval sweep report unlearn; do
    error 2 "$verb: expected .*, found an empty argument" $verb ''
done
error 2 "requests: expected a file of requests" unlearn base --method ft --requests '' --out x2
[ ! -e x2/DONE ] || fail "an empty --requests forgot the default set"
run 0 eval base --signals none.npz
error 3 "none.npz: expected at least one sample in group forget (1), found none" audit --signals none.npz
run 0 unlearn base --method ft --epochs 1 --threads 1 --out ft
error 2 "ft: expected each run once, found it a second time as ./ft/" report ft ./ft/ --out x.html
cp -r ft again
run 0 unlearn again --method ft --epochs 1 --forget random:5 --forget-seed 9 --threads 1 --out twice
sed '$d' ft/forget.csv >again/forget.csv
error 4 "again/forget.csv: it was changed after the run" audit again
error 4 "again/forget.csv" unlearn again --method ft --forget random:5 --forget-seed 9 --out x3
sed '3d' twice/forgotten.csv >shorter && mv shorter twice/forgotten.csv
error 4 "twice/forgotten.csv: it was changed after the run" audit twice
[ ! -e x3 ] || fail "a run that cannot begin left a directory"
printf '{"run": "ft", "depth": 4}' >odd.json
error 3 "odd.json: depth: expected an object" report ft --audit-json odd.json --out x.html
printf '{"run": ' >odd.json
error 3 "odd.json:1: expected JSON, but" report ft --audit-json odd.json --out x.html
[ ! -e x.html ] || fail "a report that failed left a page"

# a finite weight that overflows: the outputs are no numbers, and no accuracy is made of them
{
    head -c $((size - 360)) base/model.safetensors
    n=0
    while [ $n -lt 80 ]; do printf '\377\377\177\177' && n=$((n + 1)); done # weights of the last layer; its biases follow
    tail -c 40 base/model.safetensors
} >huge.safetensors
run 0 inspect huge.safetensors
error 5 "not finite" eval huge.safetensors --data $data
error 5 "not finite" eval huge.safetensors --data $data --signals huge.npz
error 5 "not finite" audit huge.safetensors --forget random:10% --data $data
[ ! -e huge.npz ] || fail "outputs that are no numbers were written"
# names are shown on one line, devices and pipes are no model files
error 3 "new?line" eval "$(printf 'new\nline')" --data $data
error 3 "device or a pipe" inspect /dev/zero
error 3 "device or a pipe" data info cifar10:/dev/zero
# what is refused leaves no directory
error 2 "not built in" train $tiny --epochs 1 --backend nope --out x4
error 2 "retain" unlearn base --method ft --no-use-retain-data --out x4
error 2 "no file name" unlearn base --method ft --forget file: --out x4
[ ! -e x4 ] || fail "a refused run left a directory"
error 2 "no gap to check" audit base --forget class:3 --max-gap 0.1
error 2 "omit --data" audit --signals t.npz --data $data
error 2 "found '3x3'" inspect --model resnet18 --input 3x3
error 2 "no kind of data set is called 'all'" data list all
error 2 "expected at most one data set, found" data list synthetic all
error 2 "no argument" doctor now
# a cache that was requested and cannot be written is an error; without one a home that cannot be written does not matter
(unset LETHE_HOME XDG_CACHE_HOME && HOME="$work/file/home" && export HOME && echo file >file &&
    run 0 unlearn base --method amun --epochs 1 --threads 1 --out uncached)
[ -e uncached/DONE ] || fail "a home that cannot be written stopped the run"
error 1 "file" unlearn base --method amun --epochs 1 --cache file/cache --out x4

# divergence, unchanged weights
error 5 "step" train $tiny --epochs 3 --lr 1e8 --momentum 0.99 --out x3
[ ! -e x3/DONE ] || fail "a diverged run says it is done"

# places that cannot be written
echo file >file
error 1 "file" train $tiny --epochs 1 --out file/run
run 0 unlearn base --method retrain --out retrain --threads 1 --json
error 1 "nonexistent" report retrain --out /nonexistent/page.html

# a full disk: only where a small file system can be mounted
if command -v unshare >/dev/null 2>&1 && unshare -rm true 2>/dev/null; then
    cat >full.sh <<'END'
mkdir -p small && mount -t tmpfs -o size=200k tmpfs small || exit 99
"$LETHE" train $tiny --model simple-conv:width=64 --epochs 1 --out small/run >out 2>err
echo $? >code
ls small/run >left 2>/dev/null
END
    export tiny
    unshare -rm sh full.sh
    if [ "$?" != 99 ]; then
        same "exit code on a full disk" "$(cat code)" 7
        contains err "^lethe: .*space"
        lacks left DONE
    fi
fi

# downloads: official digests are checked; no network is one clear line
mkdir -p mirror && echo "not CIFAR" >mirror/cifar-10-binary.tar.gz
error 4 "cifar-10-binary.tar.gz" data get cifar10 --out sets --url "file://$work/mirror" --quiet
[ ! -e sets ] || fail "a download that failed left a folder or a file"
mkdir -p kept/cifar-10-batches-bin
error 4 "cifar-10-binary.tar.gz" data get cifar10 --out kept --url "file://$work/mirror" --quiet
[ -d kept/cifar-10-batches-bin ] || fail "a download that failed removed a folder that it did not make"
error 1 "cifar-10-binary.tar.gz" data get cifar10 --out sets --url "file://$work/nowhere" --quiet
error 1 "127.0.0.1" data get mnist --out sets --url http://127.0.0.1:9/x --quiet
error 2 "mnits" data get mnits
contains err "did you mean mnist"

# what is not as it was meant is said: threads, variables, verbs
run 0 eval base --threads 4096 --json
contains err "warning: --threads 4096: this process may use [0-9]* core"
run 0 eval base --threads 1 --json
lacks err "warning"
LETHE_EPOCH=3 run 0 eval base --threads 1 --json
contains err "warning: LETHE_EPOCH: no option has this name; did you mean LETHE_EPOCHS?"
LETHE_UNLEARN_AMUN_EPOCHS=3 LETHE_METHOD=ft LETHE_RMIA_GAMMA=1 LETHE_DATA=$work run 0 eval base --threads 1 --json
lacks err "warning: LETHE"
error 2 "unknown command 'evla'" evla
contains err "did you mean .lethe eval."
error 2 "unknown command 'fly'" fly
contains err "the commands are .*unlearn"
# a missing batch: what to do
mkdir gap && for i in 1 2 4 5; do cp "cifar/data_batch_$i.bin" gap; done && cp cifar/test_batch.bin gap
error 3 "data_batch_3.bin is missing" data info cifar10:gap
contains err "^hint: .*lethe data get cifar10"

# names of classes and types of tensors as they are
if python3 -c 'import numpy' 2>/dev/null; then
    mkdir -p "names/$(printf 'a\033[31mred')" names/b
    python3 - <<'END' || fail "no pictures and tensors"
import json, struct, zlib, glob
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress((b"\0" + b"\x80" * 6) * 2)) + chunk(b"IEND", b"")
for folder in glob.glob("names/*"):
    open(folder + "/1.png", "wb").write(png)
head = {"a": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}, "b": {"dtype": "BF16", "shape": [2], "data_offsets": [4, 8]},
        "c": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]}}
text = json.dumps(head).encode()
open("half.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + b"\x00\x3c" * 2 + b"\x80\x3f" * 2 + b"\0" * 4)
END
    run 0 data info folder:names,allow-partial=1
    contains out 'a?\[31mred'
    ! LC_ALL=C grep -q "$(printf '\033')" out || fail "a class name reaches the terminal with an escape sequence"
    run 0 inspect half.safetensors --json
    same "types in the file" "$(value out tensors.0.dtype) $(value out tensors.1.dtype) $(value out tensors.2.dtype)" "f16 bf16 f32"
fi

# every error is one JSON object with --json, however it was requested, and only then
run 3 eval short.safetensors --data $data --json
json out error.message error.status
LETHE_JSON=1 run 3 eval short.safetensors --data $data
json out error.message
run 3 eval short.safetensors --data $data --json=true
json out error.message
run 3 eval short.safetensors --data $data --json --no-json
[ ! -s out ] || fail "--no-json: output on stdout"
run 4 data verify $data --digest 00 --json
json out error.message
run 4 data get cifar10 --out sets --url "file://$work/mirror" --quiet --json
json out error.message
run 3 eval "$(printf 'not\377utf8')" --json
json out error.message
contains out 'not.*utf8'
run 0 train $tiny --epochs 1 --out "$(printf 'run\377')" --json
value out run | grep -q '^run' || fail "the run's name is missing where it is no UTF-8"

# closed streams: nothing that was meant for them goes into the files of the run
"$LETHE" train $tiny --epochs 2 --verbose --out closed <&- >&- 2>&-
same "exit code with closed streams" "$?" 1
while read -r line; do
    printf '%s\n' "$line" >line.json
    json line.json train_acc
done <closed/metrics.jsonl
lacks closed/log.txt 'bn=1 on synthetic'
# a last batch of a few samples is said, once, and only where there is batch norm
few="--data synthetic,train=68,test=10 --epochs 2 --batch 64 --threads 1"
run 0 train $few --model simple-conv:width=2 --out few
same "warnings of the last batch" "$(grep -c 'last batch of every epoch has 4 of 68 samples' err)" 1
run 0 unlearn few --method scrub --forget random:2 --epochs 3 --batch 64 --threads 1 --out few-scrub
same "warnings of a job that changes its phases" "$(grep -c 'last batch of every epoch has 2 of 66 samples' err)" 1
run 0 unlearn few --method retrain --forget random:2 --threads 1 --out few-retrain
run 0 audit few-scrub --oracle few-retrain --threads 1 --allow-lint --json
contains out '"small-last-batch"'
run 0 train $few --model simple-conv:width=2,bn=0 --out few-plain
lacks err "last batch"
finish
