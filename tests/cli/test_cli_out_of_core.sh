# Data sets that are larger than memory: decoded into a file (scratch=), or mapped (safetensors). Opening needs less data
# memory than the pixels take, and everything is as with the set in memory.
. "$(dirname "$0")/lib.sh"
export OMP_NUM_THREADS=1
pixels=15075 # KiB: 310 images of 3x128x128, of which the test split has 10
run 0 data export synthetic,train=300,test=10 --format png --out pictures
folder=folder:pictures,size=128
run 0 data info $folder --json
digest=$(value out digest)
run 0 data export $folder,scratch=. --format safetensors --out packed.safetensors
run 0 data export $folder --out packed.npz
[ "$(ls -A | grep -c pixels)" = 0 ] || fail "the file of decoded images has a name"
for data in $folder,scratch=. safetensors:packed.safetensors; do
    run 0 data info $data --json
    same "digest of $data" "$(value out digest)" "$digest"
    for subset in train-limit=50 holdout=50 classes=2+0; do
        run 0 data info $folder,$subset --json
        in_memory=$(value out digest)
        run 0 data info $data,$subset --json
        same "digest of $data,$subset" "$(value out digest)" "$in_memory"
    done
done
run 0 data info safetensors:packed.safetensors,scratch=.,holdout=50 --json
if [ -z "$SANITIZE" ]; then
    limited() { (ulimit -d $((pixels - 3000)) && "$LETHE" data info "$1" --json >out 2>err); }
    for data in $folder npz:packed.npz; do
        limited $data && fail "$data: the limit of memory is no limit"
        contains err "out of memory"
    done
    for data in $folder,scratch=. safetensors:packed.safetensors; do
        limited $data || fail "$data: needs as much memory as it has pixels: $(cat err)"
        same "digest of $data in little memory" "$(value out digest)" "$digest"
    done
fi
run 0 data list $folder
mv out listed
run 0 data list safetensors:packed.safetensors
sed 1d listed >a
sed 1d out >b
contains b "[0-9].png"
cmp -s a b || fail "files have other names: $(diff a b | head -n 3)"
# names and classes are there, and training is the same to the bit
run 0 data export safetensors:packed.safetensors --format safetensors --out again.safetensors
cmp -s packed.safetensors again.safetensors || fail "what was written again is another file"
train="--model simple-conv:width=2 --epochs 1 --batch 50 --threads 1 --deterministic --augmentation resized-crop"
run 0 train --data $folder,train-limit=100 $train --out decoded --json
model=$(value out model_digest)
run 0 train --data safetensors:packed.safetensors,train-limit=100 $train --out mapped --json
same "model" "$(value out model_digest)" "$model"
run 0 unlearn mapped --method ft --forget class:1 --epochs 1 --threads 1 --out forgotten --json
cp packed.safetensors cut.safetensors
truncate -s -100 cut.safetensors
error 3 "cut.safetensors: " data info safetensors:cut.safetensors
error 1 "cannot write nowhere" data info $folder,scratch=nowhere
error 2 "scratch: expected a directory" data info $folder,scratch=
error 2 "no key 'scrach'" data info $folder,scrach=.
: >empty.safetensors
error 3 "empty.safetensors: expected a safetensors file, found an empty one" data info safetensors:empty.safetensors
finish
