# The whole path on a tiny set: train, eval, unlearn, audit, report; JSON keys; equal digests where they must be equal.
. "$(dirname "$0")/lib.sh"

run 0 train $tiny --epochs 3 --out runs/base --json
json out train_acc test_acc test_loss epochs images_per_s wall_s run model_digest data_digest
digest=$(value out model_digest)
for file in DONE config.yaml resolved.json env.json log.txt metrics.jsonl model.safetensors state.safetensors result.json; do
    [ -s "runs/base/$file" ] || fail "runs/base/$file is missing"
done
json runs/base/resolved.json seed.value data.value model.value
json runs/base/env.json verb config_digest revision backend libyaml
same "threads of the run" "$(value runs/base/env.json threads)" 1
head -1 runs/base/metrics.jsonl >line && json line event epoch step wall_s loss

# finished: not computed again; --force: again, with the same weights; another seed: other weights; loader threads: the same
run 0 train $tiny --epochs 3 --out runs/base --json
same "cached" "$(value out cached)" true
run 0 train $tiny --epochs 3 --out runs/base --force --json
same "digest of the forced run" "$(value out model_digest)" "$digest"
run 0 train $tiny --epochs 3 --out runs/loader --loader-threads 4 --json
same "digest with four loader threads" "$(value out model_digest)" "$digest"
run 0 train $tiny --epochs 3 --out runs/seed --seed 2 --json
[ "$(value out model_digest)" != "$digest" ] || fail "another seed gives the same weights"
error 2 "this configuration" train $tiny --epochs 4 --out runs/base
mkdir other && echo mine >other/file
error 2 "other" train $tiny --epochs 3 --out other
same "file in a foreign directory" "$(cat other/file)" mine
run 0 train $tiny --epochs 1 --init runs/base --lr 0.01 --out runs/tuned --json
json out model_digest

run 0 eval runs/base --json
json out train_acc test_acc test_loss epochs images_per_s wall_s run model_digest splits.test.per_class splits.train.ece
same "test accuracy of train and eval" "$(value out test_acc)" "$(value runs/base/result.json test_acc)"
run 0 eval runs/base/model.safetensors --data synthetic,train=200,test=100 --no-train --forget class:3 --json
json out forget_acc splits.forget.n

for method in retrain ft amun; do
    options="--lr 0.01 --epochs 2"
    [ $method != retrain ] || options="--seed 7"
    [ $method != amun ] || options="$options --save-adv"
    run 0 unlearn runs/base --method $method --forget random:10% $options --out runs/$method --threads 1 --json
    json out method n_forget forget_acc retain_acc test_acc delta_norm_l2 time.search_s time.mask_s time.update_s time.eval_s lr_area lr_area_default steps \
        parent_digest forget_digest model_digest
    same "forgotten samples" "$(value out n_forget)" 20
    [ -s runs/$method/forget.csv ] && [ -s runs/$method/signals.npz ] || fail "runs/$method lacks forget.csv or signals.npz"
done
json out adversarial_set.n adversarial_set.median_l2
[ -s runs/amun/adv/adv.csv ] || fail "runs/amun/adv/adv.csv is missing"
run 0 unlearn runs/base --method amun --no-use-retain-data --epochs 1 --forget class:2 --out runs/class --threads 1 --json
same "use_retain" "$(value out use_retain)" false
# a second request on the child keeps the first one out of the retained data
run 0 unlearn runs/class --method ft --epochs 1 --forget class:5 --out runs/second --threads 1 --json
same "forgotten before" "$(value out n_forgotten_before)" 20
same "retained" "$(value out n_retain)" 160
error 2 "forgotten already" unlearn runs/class --method ft --epochs 1 --forget class:2 --out runs/third --threads 1
# another parent under the same name: the child is computed again
run 0 train $tiny --epochs 2 --out runs/base2 --json
run 0 unlearn runs/base2 --method ft --epochs 1 --out runs/child --threads 1 --json
run 0 train $tiny --epochs 1 --out runs/base2 --force --json
run 0 unlearn runs/base2 --method ft --epochs 1 --out runs/child --threads 1 --json
"$JSON_CHECK" cached <out 2>/dev/null && fail "a child of other parent weights was taken for finished"

run 0 audit --allow-lint runs/amun --oracle runs/retrain --json
json out ua ra ta mia_nn svc_mia.confidence svc_mia.prob threshold.m_entropy auc.phi.ft auc.phi.fr auc.phi.rt avg_gap avg_gap_auc lint
contains out single-oracle
run 0 audit --allow-lint runs/amun --json
same "gap without oracle" "$(value out avg_gap)" null
contains out no-oracle
run 0 audit --allow-lint runs/amun --oracle runs/base --json
contains out oracle-trained-on-all
run 6 audit runs/amun --oracle runs/retrain --max-gap 0.0000001 --json
json out avg_gap
run 0 eval runs/amun --signals t.npz --json
run 0 audit --allow-lint --signals t.npz --oracle-signals runs/retrain/signals.npz --json
json out avg_gap
same "forget accuracy from arrays and from the run" "$(value out ua)" "$(value runs/amun/result.json forget_acc)"
error 2 "omit the run" audit runs/amun --signals t.npz

run 0 report runs/retrain runs/amun --out bare.html
lacks bare.html "data:image/png;base64,"
contains bare.html "Pictures of forgotten samples are left out"
contains bare.html "are kept in runs/amun/adv"
contains bare.html "an average gap of" # of the nearest method, or of the original where that is nearer
contains bare.html "errors of the linter say that the comparison means little"
run 0 report runs/retrain runs/ft runs/amun --with-images --out page.html --markdown t.md --csv t.csv --json
json out report rows.0.avg_gap rows.3.name
same "rows" "$(value out rows.0.name) $(value out rows.1.name) $(value out rows.3.name)" "Original Retrain AMUN"
contains page.html "</html>"
contains page.html "data:image/png;base64,"
lacks page.html "<script"
lacks page.html "http"
same "lines of the CSV" "$(wc -l <t.csv | tr -d ' ')" 5
[ ! -e runs/amun/search ] && [ ! -e "$LETHE_HOME/cache" ] || fail "an adversarial search was kept although nobody asked for it"
[ ! -e runs/class/adv ] || fail "adversarial examples of forgotten images were kept although nobody asked for it"
cp -r runs/amun/adv kept_adv
run 0 store clear-cache runs/amun --dry-run --json
same "sets that would go" "$(value out n)" 1
[ -e runs/amun/adv/adv.csv ] || fail "--dry-run removed something"
run 0 store clear-cache runs/amun --json # a page without the strip, which says so
run 0 audit --allow-lint runs/amun --json
run 0 report runs/retrain runs/amun --with-images --out bare.html --force
contains bare.html "</html>"
lacks bare.html "data:image/png;base64,"
run 0 report runs/retrain runs/amun --out bare.html --force
contains bare.html "None of these runs keeps adversarial examples of forgotten images"
run 0 unlearn runs/base --method amun --forget random:4 --lr 0.01 --epochs 1 --cache found --out runs/cached --threads 1
[ "$(ls found | wc -l)" = 1 ] || fail "--cache kept no adversarial set"
run 0 store clear-cache --cache found --json
same "sets of the cache" "$(value out n)" 1
[ ! -e found ] || fail "store clear-cache left something"
mv kept_adv runs/amun/adv
error 2 "different samples" report runs/retrain runs/class --out page2.html
[ ! -e page2.html ] || fail "a report that failed left a file"

run 0 inspect runs/base --json
json out model_digest file_digest tensors.0.shape metadata
same "digest in inspect" "$(value out model_digest)" "$digest"
run 0 inspect --model simple-conv:width=8 --plan --batch 4 --threads 1
contains out "conv2d"
run 0 bench --model simple-conv:width=8 --batch 8 --repeat 2 --warmup 1 --threads 1 --json
json out images_per_s gflops peak_gflops peak_rss_mib workloads.train.ms_per_step.median workloads.infer workloads.input-grad
run 0 doctor --json
json out machine.cpu backends.0.name libraries cache.ok

run 0 data list
contains out synthetic
run 0 data info synthetic,train=50,test=50 --json
json out digest train.n test.per_class
digest=$(value out digest)
run 0 data verify synthetic,train=50,test=50 --digest "$digest" --json
error 4 "expected digest" data verify synthetic,train=50,test=50 --digest 00
run 0 data export synthetic,train=50,test=50 --out set.npz
run 0 data info npz:set.npz --json
same "images in the exported set" "$(value out train.n) $(value out test.n)" "50 50"
run 0 data export synthetic,train=50,test=50 --format png --out pictures
run 0 data info folder:pictures --json
same "exported pictures" "$(value out train.n) $(value out test.n)" "50 50"
run 0 data inspect synthetic,train=50,test=50 --json
same "inspect and its older name" "$(value out digest)" "$digest"
for form in npz safetensors tar; do
    run 0 data convert synthetic,train=50,test=50 --out converted.$form
    run 0 data verify $form:converted.$form --digest "$digest"
done
run 0 data convert synthetic,train=50,test=50 --out converted
[ -d converted/train ] || fail "convert to a folder writes no train/CLASS"
run 0 data convert synthetic,train=50,test=50 --format npz --out converted.data
run 0 data verify npz:converted.data --digest "$digest"
error 2 "expected a name that ends in .npz" data convert synthetic,train=50,test=50 --out converted.pt
run 0 data pack synthetic,train=50,test=50 --out shards --shard-size 20
[ "$(ls shards | tr '\n' ' ')" = "test-000000.tar test-000001.tar test-000002.tar train-000000.tar train-000001.tar train-000002.tar " ] ||
    fail "shards: $(ls shards)"
run 0 data verify tar:shards --digest "$digest"
run 0 data export synthetic,train=50,test=50 --format tar --out exported.tar
cmp -s exported.tar converted.tar || fail "export --format tar and convert to .tar differ"
error 2 "a new or an empty folder" data pack synthetic,train=50,test=50 --out shards
error 2 "data pack: --out is missing" data pack synthetic
error 2 "writes tar" data pack synthetic --format npz --out other
error 2 "expected one of list" data infoo
finish
