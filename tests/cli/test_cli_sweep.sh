# A study end to end: dry run, tables, nothing done twice, any number of workers, interruption, parts that fail, mistakes.
. "$(dirname "$0")/lib.sh"
export LETHE_CACHE= # no timing of kernels: a fixed rule chooses

cat >head.yaml <<'END'
study: tiny
data: synthetic,train=96,test=48
model: simple-conv:width=4
train: {epochs: 2, batch: 32, lr: 0.05}
bases: [1, 2]
forget: [{spec: "random:25%", seed: 1}, {spec: "random:25%", seed: 2}]
repetitions: [3]
oracles: [1, 2]
references: {count: 4, seed: 100}
audit: {bootstrap: 20, attacks: [rmia_offline, loss]}
tuning: {base: 1, forget: {spec: "random:25%", seed: 9}, oracles: [1, 2]}
END
cat head.yaml - >study.yaml <<'END'
methods:
  - method: ft
    options: {epochs: 1}
    grid: {lr: [0.001, 0.05]}
  - {name: amun, method: amun, access: [forget-only], options: {epochs: 1}}
END
# original 2 (tuning has one of them), oracles 2*2*2 + 2, references 1, outputs 2, points 2, choice 1, runs 2*2*2, audits 4
n_parts=30

columns() { # columns FILE: everything but times
    python3 - "$1" <<'END'
import csv, sys
for row in csv.DictReader(open(sys.argv[1])):
    print([v for k, v in row.items() if not k.endswith("_s")])
END
}
command -v python3 >/dev/null 2>&1 || columns() { # without Python: times are the last columns
    sed 's/\(,[^,]*\)\{4\}$//' "$1"
}

run 0 sweep study.yaml --dry-run --jobs 2 --out one --json
json out n_parts n_done n_missing seconds core_seconds passes_per_core_s kinds.0.passes parts.0.part
same "parts of the dry run" "$(value out n_parts) $(value out n_missing)" "$n_parts $n_parts"
same "where the rate is from" "$(value out rate_from)" measured
[ ! -e one ] || fail "a dry run wrote something"
python3 -c 'import json; print("\n".join(sorted(p["part"] for p in json.load(open("out"))["parts"])))' >planned 2>/dev/null
run 0 sweep study.yaml --dry-run --no-measure --out one
contains out "oracle *10 *0 *10"

run 0 sweep study.yaml --jobs 2 --out one --json --quiet
json out rows.0.metrics.ua.mean rows.2.metrics.avg_gap_auc.high rows.2.rank_avg_gap_mis rows.2.verdict.overall rows.2.metrics.ua.p \
    null_band.ua.half_width null_band.avg_gap_mis.mean tuning.objective parts.n_done lint.0.text failed out
same "parts made" "$(value out parts.n_done) $(value out parts.n_existing)" "$n_parts 0"
contains out '"tuning-used-oracle"'
contains out '"unequal-tuning"'
for file in report.html results.csv tuning.csv chosen.json summary.json summary.md study.yaml bases/b1/DONE oracles/b2-random-25pct-s2-o2/DONE \
    references/random-25pct-s1.npz audits/b1-random-25pct-s1.json tuning/ft/retain/lr=0.05/DONE \
    runs/amun/forget-only/b2-random-25pct-s1-r3/DONE; do
    [ -s "one/$file" ] || [ -e "one/$file" ] || fail "no $file"
done
same "lines of results.csv" "$(wc -l <one/results.csv | tr -d ' ')" 21 # head, 4 audits of an original, 2 oracles, 2 runs
same "lines of tuning.csv" "$(wc -l <one/tuning.csv | tr -d ' ')" 3
if [ -s planned ]; then # what was planned is what was recorded
    (cd one/parts && find . -name '*.json' | sed 's|^\./||; s|\.json$||' | sort) >made
    cmp -s planned made || fail "the dry run planned other parts than were made"
fi

# the page is that of `lethe report`, and every attack that was requested is on it and on the terminal
run 0 report one --out page.html
cmp -s page.html one/report.html || fail "lethe report of a sweep gives another page"
contains out "RMIA, offline"
contains out "tuned-on-oracle\|learning-rate area was chosen by gap-auc"
contains one/report.html "RMIA, offline FT AUC"
contains one/report.html "area chosen with an oracle"
error 2 "summary.md and results.csv" report one --csv again.csv
contains one/summary.md "audited runs\{0,1\} (\(such as \)\{0,1\}[a-z-]*/[a-z-]*/b[12]-random-25pct-s[12]-r3): "
mkdir begun
cp one/study.yaml begun
error 3 "begun: expected a finished study" report begun
contains err "lethe sweep begun/study.yaml --out begun"

# the figures are those of an audit by hand, and every part is an ordinary run
run 0 audit --allow-lint one/runs/ft/retain/b1-random-25pct-s1-r3 --oracle one/oracles/b1-random-25pct-s1-o1 \
    --oracle one/oracles/b1-random-25pct-s1-o2 --bootstrap 20 --references one/references/random-25pct-s1.npz \
    --attacks rmia_offline,loss --threads 1 --json
grep '^1,random:25%,1,3,method,ft,' one/results.csv | tr ',' '\n' >fields
for key in ua ta svc_mia.confidence auc.phi.ft avg_gap avg_gap_auc rmia_offline.ft_auc rmia_offline.avg_gap; do
    want=$(printf '%.6g' "$(value out $key)")
    while read -r field; do printf '%.6g\n' "$field" 2>/dev/null; done <fields | grep -qx -- "$want" || fail "results.csv has not the $key $want of the audit"
done
# the choice has the smaller objective
python3 - <<'END' 2>err || fail "the setting with the smaller objective was not chosen"
import csv
rows = list(csv.DictReader(open("one/tuning.csv")))
best = min(rows, key=lambda r: float(r["value"]))
assert [r["chosen"] for r in rows].count("true") == 1 and best["chosen"] == "true"
assert all(abs(float(r["value"]) - float(r["avg_gap_auc"])) < 1e-9 for r in rows) # the default objective
assert any(abs(float(r["avg_gap_mis"]) - float(r["avg_gap_auc"])) > 1e-6 for r in rows)
assert best["options"] in open("one/results.csv").read()
END

# nothing is made twice; another number of workers gives the same tables
run 0 sweep study.yaml --jobs 2 --out one --json --quiet
same "parts there before" "$(value out parts.n_existing)" $n_parts
run 0 sweep study.yaml --dry-run --out one --json
same "missing parts" "$(value out n_missing)" 0

# interrupted, killed, and gone on with one worker: the same tables
wait_for() { # wait_for FILE PID
    n=0
    while [ ! -e "$1" ]; do
        kill -0 "$2" 2>/dev/null || return 1
        n=$((n + 1))
        [ $n -lt 6000 ] || return 1
        sleep 0.05
    done
}
"$LETHE" sweep study.yaml --jobs 1 --out cut --json >out 2>err &
pid=$!
wait_for cut/parts/oracles/b1-random-25pct-s1-o2.json $pid || fail "the sweep ended before it was interrupted"
kill -INT $pid
wait $pid
same "exit code after SIGINT" "$?" 75
contains out '"exit_code": 75'
contains err "of $n_parts parts are done"
[ ! -e cut/results.csv ] || fail "an interrupted sweep wrote a table"
"$LETHE" sweep study.yaml --jobs 1 --out cut --json --quiet >out 2>err &
pid=$!
wait_for cut/parts/runs/ft/retain/b1-random-25pct-s1-r3.json $pid || fail "the sweep ended before it was killed"
error 1 "another .lethe sweep. works" sweep study.yaml --jobs 1 --out cut
kill -KILL $pid
wait $pid 2>/dev/null
run 0 sweep study.yaml --jobs 1 --out cut --json --quiet
for file in results tuning; do
    columns one/$file.csv >a
    columns cut/$file.csv >b
    cmp -s a b || fail "an interrupted sweep of one worker ends with another $file.csv"
done

# what a killed sweep had started goes on, and the next one waits for it instead of failing
sed 's/^train: .*/train: {epochs: 150, batch: 32, lr: 0.05}/; s/^bases: .*/bases: [1]/; s/^forget: .*/forget: [{spec: "random:25%", seed: 1}]/
    /^references/d; /^tuning/d; s/rmia_offline, //' head.yaml >slow.yaml
echo 'methods: [{method: ft, options: {epochs: 1}}]' >>slow.yaml
"$LETHE" sweep slow.yaml --jobs 1 --out slow --quiet >out 2>err &
pid=$!
wait_for slow/bases/b1/metrics.jsonl $pid || fail "the slow sweep ended before it was killed"
kill -KILL $pid
wait $pid 2>/dev/null
[ ! -e slow/bases/b1/DONE ] || fail "the slow sweep is too fast to be killed in time"
run 0 sweep slow.yaml --jobs 1 --out slow --json
contains err "bases/b1: an earlier sweep started it"
# an answer that was cut off is made again
head -c 100 slow/audits/b1-random-25pct-s1.json >cut.json && mv cut.json slow/audits/b1-random-25pct-s1.json
run 0 sweep slow.yaml --jobs 1 --out slow --json --quiet
same "parts kept beside an answer that was cut off" "$(value out parts.n_existing)" 4

# directories can be moved; a changed study makes again what it touches
mv cut moved
run 0 sweep study.yaml --dry-run --out moved --json
same "missing parts after a move" "$(value out n_missing)" 0
sed 's/options: {epochs: 1}}/options: {epochs: 2}}/' study.yaml >other.yaml
run 0 sweep other.yaml --jobs 2 --out moved --json --quiet
same "parts kept" "$(value out parts.n_existing)" 22 # all but the four runs of amun and the four audits
lacks moved/results.csv 'amun,forget-only,epochs=1'
contains moved/results.csv 'amun,forget-only,epochs=2'

# a part that fails is told and the rest is made; a setting that changes nothing is no failure
sed 's/^bases: .*/bases: [1]/; s/^forget: .*/forget: [{spec: "random:25%", seed: 1}]/' head.yaml >short.yaml
cat short.yaml - >failing.yaml <<'END'
methods:
  - method: ft
    options: {epochs: 1}
    grid: {lr: [0.05, 1e-12]}
  - {method: ga, options: {epochs: 1, lr: 0.001}}
  - {name: idle, method: ft, options: {epochs: 1, lr: 1e-12}}
  - {name: blocked, method: ft, options: {epochs: 1}, grid: {lr: [1e-12]}}
END
run 1 sweep failing.yaml --jobs 2 --out one --json --quiet
contains err "part.* failed"
json out failed.0.part failed.0.error rows.3.metrics.ua.mean
same "parts that failed or are blocked" "$(value out parts.n_failed) $(value out parts.n_blocked)" "1 2"
same "settings that are unfit" "$(value out parts.n_unfit)" 2
contains one/tuning.csv "lr=1e-12.*unfit"
contains one/parts/runs/idle/retain/b1-random-25pct-s1-r3.json '"state": "failed"'
run 1 sweep failing.yaml --jobs 2 --out one
contains out "failed runs/idle/retain/b1-random-25pct-s1-r3"
contains out "blocked audits/tuning-blocked-retain: no setting"
contains out "^ga  *forget-only  *1 "
same "failures tried again without ones that were settled" "$(grep -c '"state": "unfit"' one/parts/tuning/ft/retain/lr=1e-12.json)" 1

# without an oracle
sed 's/^tuning:.*/tuning: {base: 3, forget: {spec: "random:25%", seed: 9}, objective: no-oracle}/; /^references/d; s/rmia_offline, //' short.yaml >blind.yaml
echo 'methods: [{method: ft, options: {epochs: 1}, grid: {lr: [0.02, 0.15]}, random: {n: 2, lr: {log-uniform: [0.001, 0.1]}}}]' >>blind.yaml
run 0 sweep blind.yaml --jobs 2 --json --quiet
lacks out '"tuning-used-oracle"'
contains out '"no-interval"'
contains sweeps/blind/tuning.csv "random,lr=[0-9.]*,no-oracle"
if command -v python3 >/dev/null 2>&1; then # some setting loses accuracy and some gains it: only losses count
    python3 - <<'END' 2>err || fail "the objective without an oracle is not what docs/sweeps.md says"
import csv, json
base = json.load(open("sweeps/blind/audits/tuning-ft-retain.json"))
rows = list(csv.DictReader(open("sweeps/blind/tuning.csv")))
lost = {k: [base[k] - float(r[k]) for r in rows] for k in ("ta", "ra")}
for i, r in enumerate(rows):
    want = abs(float(r["phi_ft_auc"]) - 0.5) + max(0, lost["ta"][i]) + max(0, lost["ra"][i])
    assert abs(float(r["value"]) - want) < 1e-6, (r, want)
assert len(rows) == 4 and max(lost["ra"]) > 0 > min(lost["ra"]), lost
END
fi
[ -e sweeps/blind/bases/b3/DONE ] && [ ! -e sweeps/blind/references ] || fail "tuning has no original model of its own, or references were made"
lacks sweeps/blind/parts/audits/tuning-ft-retain.json "--oracle"

# mistakes
error 3 "nowhere.yaml" sweep nowhere.yaml
error 2 "expected STUDY.yaml" sweep
error 2 "without commas" sweep study.yaml --out a,b
sed 's/^data: .*/data: synthetick/' study.yaml >bad.yaml
error 2 "bad.yaml:2: data: " sweep bad.yaml --out bad
sed 's/^model: .*/model: resnet19/' study.yaml >bad.yaml
error 2 "bad.yaml:3: model: " sweep bad.yaml --out bad
sed 's/seed: 2}\]/seed: 2}, {spec: "random:97"}]/' study.yaml >bad.yaml
error 2 "bad.yaml:6: forget: " sweep bad.yaml --out bad
sed 's/^bases: .*/base: 3/' study.yaml >bad.yaml
error 2 "bad.yaml:5: unknown key 'base'" sweep bad.yaml --out bad
contains err "^hint: did you mean 'bases'"
[ ! -e bad ] || fail "a study that was refused left a directory"
finish
