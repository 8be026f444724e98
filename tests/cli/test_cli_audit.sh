# Audits with reference models, several oracles and a state before: keys, files, verdicts, notes, and what is refused.
. "$(dirname "$0")/lib.sh"
export LETHE_RECORD=0 # outputs are compared, and each record has a number of its own
golden="$SOURCE/tests/methods/golden"
target="$golden/mia_target.npz" refs="$golden/mia_references.npz"

# arrays alone
run 0 audit --allow-lint --signals "$target" --json
json out rmia lira ulira loss.ft_auc verdict.overall null_band interval.loss.ft_auc.1 references risk.attack
same "RMIA without references" "$(value out rmia)" null
run 0 audit --allow-lint --signals "$target" --references "$refs" --scores scores.npz --risk risk.csv --original-signals "$target" --json
json out rmia.ft_auc rmia.fr_auc rmia.rt_auc rmia.ft_tpr_at_1_fpr rmia.ft_tpr_at_0_1_fpr rmia_offline.ft_auc lira.ft_accuracy \
    lira_offline.rt_auc references.self_auc.rmia risk.forget.top.0.before risk.retain.n_rose interval.rmia.rt_auc.0
same "reference models" "$(value out references.n)" 12
same "attack of the risk list" "$(value out risk.attack)" rmia
same "samples whose risk rose without a change" "$(value out risk.forget.n_rose)$(value out risk.retain.n_rose)" 00
same "lines of the risk list" "$(wc -l <risk.csv | tr -d ' ')" 43
contains risk.csv "^id,group,label,score,risk,risk_before,rise$"
contains out '"no-change"'
contains out '"few-references"'
[ -s scores.npz ] || fail "no scores.npz"
auc=$(value out rmia.ft_auc)
run 0 audit --allow-lint --signals "$target" --references "$refs" --attacks rmia --rmia.gamma 1 --rmia.signal softmax --json
[ "$(value out rmia.ft_auc)" != "$auc" ] || fail "--rmia.gamma and --rmia.signal change nothing"
same "an attack that was not asked for" "$(value out lira)" null
LETHE_RMIA_GAMMA=1 run 0 audit --allow-lint --signals "$target" --references "$refs" --attacks rmia --set rmia.signal=softmax --threads 1 --json
cp out by_env
run 0 audit --allow-lint --signals "$target" --references "$refs" --attacks rmia --rmia.gamma 1 --rmia.signal softmax --threads 2 --json
cmp -s out by_env || fail "two threads, or an option from the environment, give other figures"
run 0 audit --allow-lint --signals "$target" --references "$refs"
contains out "RMIA, online AUC forget / test %"
run 0 audit --allow-lint --help
contains out "class_threshold"

error 2 "unknown membership attack 'lirra'" audit --signals "$target" --attacks lirra
error 2 "needs the outputs of reference models" audit --signals "$target" --attacks lira
error 3 "expected 360 samples as in the target, found 60" audit --signals "$golden/svc_golden.npz" --references "$refs"
error 3 "array 'logits': expected 3 dimensions" audit --signals "$target" --references "$target"
error 3 "expected the samples" audit --signals "$target" --original-signals "$golden/svc_golden.npz"
error 3 "nowhere.npz" audit --signals "$target" --references nowhere.npz
error 3 "expected a reference model that has unlearned it (member 2)" audit --signals "$target" --references "$refs" --attacks ulira
contains err "suffice for: --attacks .*rmia"
lacks err "suffice for.*ulira"
error 2 "rmia.gamma" audit --signals "$target" --references "$refs" --rmia.gamma 0
head -c 9000 "$refs" >cut.npz
error 3 "cut.npz" audit --signals "$target" --references cut.npz
[ ! -e scores2.npz ] || fail "an audit that failed left a file"

# an error of the linter: its severity on the terminal, and exit code 6
run 6 audit --signals "$target" --original-signals "$target"
contains out "^error: $target holds the outputs of the audited model: nothing was unlearned"
contains out "^warning: no oracle"
contains err "the linter found an error (no-change)"
run 6 audit --signals "$target" --original-signals "$target" --json
json out ua lint.0.severity
run 0 audit --allow-lint --signals "$target" --original-signals "$target"

# oracles with other samples than the target
error 3 "expected the samples, labels and groups of the audited model" audit --signals "$target" --oracle-signals "$golden/svc_golden.npz"
python3 - "$target" <<'END' 2>/dev/null && error 3 "expected the samples" audit --signals "$target" --oracle-signals other_ids.npz
import sys
import numpy as np
a = dict(np.load(sys.argv[1]))
a["ids"] = a["ids"] + 1
np.savez("other_ids.npz", **a)
END
if [ -e other_ids.npz ]; then # the same samples in another order: the same figures, to the last digit
    python3 - "$target" "$refs" <<'END' || fail "no files in another order"
import sys
import numpy as np
t, r = dict(np.load(sys.argv[1])), dict(np.load(sys.argv[2]))
n = len(t["ids"])
order = np.random.default_rng(0).permutation(n)
np.savez("moved.npz", **{k: t[k][order] for k in ("logits", "labels", "ids", "group")})
np.savez("moved_refs.npz", logits=r["logits"][:, order], member=r["member"][:, order], ids=t["ids"][order], group=t["group"][order])
END
    same_order="--signals $target --oracle-signals $target --original-signals $target --references $refs"
    moved="--signals $target --oracle-signals moved.npz --original-signals moved.npz --references moved_refs.npz"
    run 0 audit --allow-lint $same_order --scores in_order.npz --json
    cp out in_order
    run 0 audit --allow-lint $moved --scores other_order.npz --json
    cmp -s in_order.npz other_order.npz || fail "scores depend on the order of the rows of other files"
    for key in rmia.ft_auc oracles.0.ua oracles.0.svc_mia.confidence avg_gap oracles.0.rmia.ft_auc; do
        same "$key of files in another order" "$(value out $key)" "$(value in_order $key)"
    done
fi

# files that are something else are not overwritten
echo keep >mine
for option in "--scores mine" "--risk mine"; do
    # shellcheck disable=SC2086
    error 2 "mine: expected .* or no file, found something else" audit --signals "$target" $option
done
same "a file of the user" "$(cat mine)" keep
run 0 audit --allow-lint --signals "$target" --scores mine --force
run 0 audit --allow-lint --signals "$target" --scores mine # scores replace scores
run 0 audit --allow-lint --signals "$target" --risk risk.csv
run 0 audit --allow-lint --signals "$target" --risk risk.csv
error 2 "risk.csv: expected an archive of arrays" audit --signals "$target" --scores risk.csv

# runs: three oracles of different seeds, one of them given twice
run 0 train $tiny --epochs 3 --out runs/base --json
for seed in 2 3 4; do
    run 0 unlearn runs/base --method retrain --seed $seed --out runs/r$seed --threads 1 --json
done
run 0 audit --allow-lint runs/r2 --oracle runs/r3 --oracle runs/r4 --verdict-margin 1 --bootstrap 50 --json
json out null_band.ua.low null_band.ua.oracle_differences.1 null_band.loss.ft_auc.bound null_band.avg_gap.1 verdict.svc_mia.confidence \
    loss.avg_gap interval.ua.0
same "draws" "$(value out interval.draws)" 50
lacks out '"distinguishable"' # a margin of one holds everything, and three seeds have a wide band
run 0 audit --allow-lint runs/r2 --oracle runs/r3 --oracle runs/r3 --json
contains out '"single-seed"'
same "verdict of one seed given twice" "$(value out verdict.overall)" "too few seeds"

# a margin that everything holds: the original is indistinguishable as well, so that nothing follows, in JSON and table
run 0 unlearn runs/base --method ft --epochs 1 --out runs/near --threads 1 --json
blind="--oracle runs/r2,runs/r3,runs/r4 --verdict-margin 1 --verdict-min-effect 1 --bootstrap 50 --threads 1"
run 0 audit --allow-lint runs/near $blind --json
json out original.ua original.verdict.ua verdict.svc_mia.confidence
for key in verdict.overall verdict.ua verdict.ta original.verdict.overall; do
    same "$key of a blind study" "$(value out $key)" "this study cannot tell"
done
same "original of the audit" "$(value out original.run)" runs/base
lacks out '"indistinguishable"'
run 0 audit --allow-lint runs/near $blind
contains out "all metrics together: this study cannot tell"
lacks out "indistinguishable"
run 0 audit --allow-lint runs/base $blind --forget file:runs/near/forget.csv --json # the original itself
same "verdict of the original" "$(value out verdict.overall)" "this study cannot tell"
run 0 audit --allow-lint --signals runs/near/signals.npz --oracle-signals runs/r2/signals.npz,runs/r3/signals.npz,runs/r4/signals.npz \
    --verdict-margin 1 --verdict-min-effect 1 --json
same "arrays without the original" "$(value out verdict.overall) $(value out original)" "indistinguishable null"
contains out '"no-original"'
run 0 eval runs/base --forget file:runs/near/forget.csv --signals before.npz --threads 1 --json
run 0 audit --allow-lint --signals runs/near/signals.npz --oracle-signals runs/r2/signals.npz,runs/r3/signals.npz,runs/r4/signals.npz \
    --original-signals before.npz --verdict-margin 1 --verdict-min-effect 1 --json
same "arrays with the original" "$(value out verdict.overall) $(value out original.run)" "this study cannot tell before.npz"
lacks out '"no-original"'
mv runs/base runs/elsewhere
run 0 audit --allow-lint runs/near $blind --json
contains err "original model left out: .*runs/base"
contains out '"no-original"'
run 0 audit --allow-lint runs/near $blind --original runs/elsewhere --json
same "original by name" "$(value out original.run) $(value out verdict.overall)" "runs/elsewhere this study cannot tell"
mv runs/elsewhere runs/base

# what bands and gaps are made of, with two oracles
run 0 audit --allow-lint runs/r3 --oracle runs/r4 --threads 1 --json
gap=$(value out avg_gap) gap_auc=$(value out avg_gap_auc)
run 0 audit --allow-lint runs/r2 --oracle runs/r3,runs/r4 --threads 1 --json
near "gap of one oracle to the other" "$(value out null_band.avg_gap.0)" "$gap"
near "gap of one oracle to the other, phi" "$(value out null_band.avg_gap_auc.0)" "$gap_auc"
v() { value out "$1"; }
near "oracle 1 against the other" "$(v null_band.loss.ft_auc.oracle_differences.0)" "$(calc "$(v oracles.0.loss.ft_auc) - $(v oracles.1.loss.ft_auc)")"
mean() { calc "($(v oracles.0.$1) + $(v oracles.1.$1)) / 2"; }
far() { calc "sqrt(($(v $1) - $(mean $1)) ^ 2)"; } # from the mean of the oracles
near "average gap of an attack" "$(v loss.avg_gap)" "$(calc "($(far ua) + $(far ra) + $(far ta) + $(far loss.ft_auc)) / 4")"
near "average gap with MIS" "$(v avg_gap)" "$(calc "($(far ua) + $(far ra) + $(far ta) + $(far svc_mia.confidence)) / 4")"
sd=$(v null_band.loss.ft_auc.sd)
cp -r runs/r3 runs/twin # says nothing about the spread
run 0 audit --allow-lint runs/r2 --oracle runs/r3,runs/r4,runs/twin --threads 1 --json
same "spread with a repeated oracle" "$(v null_band.loss.ft_auc.sd)" "$sd"
rm -r runs/twin

# several runs at once: the figures each has alone, oracles measured once
run 0 unlearn runs/base --method ft --epochs 1 --out runs/ft --threads 1 --json
run 0 audit --allow-lint runs/ft --oracle runs/r3,runs/r4 --threads 1 --json
cp out alone.json
run 0 audit --allow-lint runs/r2 runs/ft --oracle runs/r3,runs/r4 --threads 1 --json
same "runs audited" "$(value out run) $(value out also.0.run)" "runs/r2 runs/ft"
for key in ua svc_mia.confidence auc.phi.ft loss.rt_auc avg_gap loss.avg_gap null_band.ta.p verdict.overall interval.ua.1 oracles.1.ua; do
    same "$key beside another run" "$(value out also.0.$key)" "$(value alone.json $key)"
done
lacks alone.json '"also"'
run 0 audit --allow-lint runs/r2 --also runs/ft --oracle runs/r3,runs/r4
contains err "^notice: option also is now called RUN"
same "tables" "$(grep -c '^forget accuracy %' out)" 2
run 6 audit runs/r3 runs/r2 --oracle runs/r3 --max-gap 1e-9
[ "$(awk '/^(error|warning|note):/ { next } { if (length($0) > n) n = length($0) } END { print n + 0 }' out)" -le 80 ] ||
    fail "the table of audit is wider than 80 columns"
lacks out "forgotten classes *-"
error 2 "scores is of one run" audit runs/r2 runs/ft --scores scores2.npz
error 2 "omit the run" audit --signals "$target" runs/ft
error 2 "omit runs/ft" audit --signals "$target" --also runs/ft
error 3 "nowhere" audit runs/r2 nowhere
run 0 audit --allow-lint --signals "$target" --references "$refs" --attacks rmia_offline --rmia_offline.tune-a --json
json out references.chosen.rmia_offline.a references.chosen.rmia_offline.tried.10.auc
a=$(value out references.chosen.rmia_offline.a) auc=$(value out rmia_offline.ft_auc)
run 0 audit --allow-lint --signals "$target" --references "$refs" --attacks rmia_offline --rmia_offline.a "$a" --json
same "AUC with the chosen a given" "$(value out rmia_offline.ft_auc)" "$auc"

run 0 unlearn runs/base --method ft --epochs 1 --forget class:3 --out runs/class --threads 1 --json
run 0 audit --allow-lint runs/class --json
contains out '"forgotten-class-in-test"'
same "forgotten classes" "$(value out n_forgotten_classes)" 1

# models that were trained on none of the samples, or on all of them: what can run runs, and nothing is left out quietly
if command -v python3 >/dev/null 2>&1; then
    for member in 0 1; do
        python3 - "$refs" $member <<'END' || fail "no references with one kind of models"
import sys, zipfile
kind = int(sys.argv[2])
with zipfile.ZipFile(sys.argv[1]) as old, zipfile.ZipFile(f"only{kind}.npz", "w") as new:
    for name in old.namelist():
        data = old.read(name)
        if name == "member.npy":
            head = data.index(b"\n") + 1
            data = data[:head] + bytes([kind]) * (len(data) - head)
        new.writestr(name, data)
END
    done
    run 0 audit --allow-lint --signals "$target" --references only0.npz --json
    json out rmia_offline.ft_auc lira_offline.ft_auc loss.ft_auc
    same "attacks without their models" "$(value out rmia) $(value out lira) $(value out ulira)" "null null null"
    error 3 "rmia: row 0 .*trained on it (member 1)" audit --signals "$target" --references only0.npz --attacks rmia
    error 3 "only1.npz: expected a model not trained on a sample" audit --signals "$target" --references only1.npz
fi

# files made with NumPy, and the scores read back by it
if python3 -c 'import numpy' 2>/dev/null; then
    python3 - "$target" <<'END' || fail "scores.npz has not the scores of the independent implementation"
import sys
import numpy as np
got, want = np.load("scores.npz"), np.load(sys.argv[1])
pairs = {"rmia": "rmia", "rmia_offline": "rmia_offline", "lira": "lira_fixed", "lira_offline": "lira_offline_fixed"}
assert all(np.abs(got[a] - want["score_" + b]).max() < 1e-6 for a, b in pairs.items())
assert got["loss"].shape == got["class_threshold"].shape == (60,)
END
    python3 - <<'END' || fail "NumPy cannot write references"
import numpy as np
t = [np.load(f"runs/r{i}/signals.npz") for i in (2, 3, 4)]
logits = np.stack([s["logits"] for s in t] * 2)
logits[3:] += np.float32(0.5) * np.eye(logits.shape[2], dtype=np.float32)[t[0]["labels"]]
member = np.repeat(np.array([[0], [0], [0], [1], [1], [1]], np.uint8), logits.shape[1], 1)
np.savez("refs.npz", logits=logits, member=member, ids=t[0]["ids"], group=t[0]["group"])
np.savez("turned.npz", logits=logits[:, ::-1], member=member[:, ::-1], ids=t[0]["ids"][::-1], group=t[0]["group"][::-1])
member[:, 7] = 1
np.savez("no_out.npz", logits=logits, member=member)
logits[2, 5, 1] = np.nan
np.savez("nan.npz", logits=logits, member=member)
np.savez("order.npz", logits=np.nan_to_num(logits), member=member, ids=t[0]["ids"][::-1])
END
    run 0 audit --allow-lint runs/r2 --oracle runs/r3 --oracle runs/r4 --references refs.npz --json
    json out rmia.ft_auc lira.ft_auc oracles.0.rmia.ft_auc null_band.rmia.ft_auc.low verdict.lira.ft_auc rmia.avg_gap
    contains out '"leak-reference-is-target"'
    error 3 "row 7 (id [0-9]*): expected a reference model not trained on it (member 0), found none among 6" \
        audit runs/r2 --references no_out.npz --scores scores2.npz
    error 3 "nan.npz: array 'logits', model 2, row 5, class 1: expected a finite float" audit runs/r2 --references nan.npz
    error 3 "order.npz: array 'ids': .* id 0 occurs twice in the audited model" audit runs/r2 --references order.npz
    run 0 audit --allow-lint runs/r2 --references refs.npz --scores refs_scores.npz
    run 0 audit --allow-lint runs/r2 --references turned.npz --scores turned_scores.npz
    cmp -s refs_scores.npz turned_scores.npz || fail "scores depend on the order of the rows of a reference file"
    [ ! -e scores2.npz ] || fail "an audit that failed left a file"

    # one signals file for every note of the linter
    python3 - <<'END' || fail "NumPy cannot write signals"
import numpy as np
rng = np.random.default_rng(3)
K, sizes = 4, (240, 120, 160)
n = sum(sizes)
group = np.repeat(np.arange(3, dtype=np.int8), sizes)
labels = np.arange(n) % K
ids = np.concatenate([np.arange(s) + 1000 * (g == 1) for g, s in enumerate(sizes)]).astype(np.int64)
logits = rng.normal(0, 1, (n, K)).astype(np.float32)
logits[np.arange(n), labels] += 2

def save(name, **change):
    arrays = dict(logits=logits.copy(), labels=labels.copy(), ids=ids.copy(), group=group)
    for key, (rows, value) in change.items():
        arrays[key][rows] = value
    np.savez(name + ".npz", **arrays)
    return arrays

save("plain")
save("other-seed", logits=(slice(0, n, 2), logits[::2] + np.float32(0.01)))
save("ids-in-both", ids=(slice(240, 250), ids[:10]))
save("ids-twice", ids=(slice(0, 5), 77))
save("same-in-test", logits=(slice(240, 243), logits[360:363]))
save("same-in-retain", logits=(slice(240, 243), logits[:3]))
save("collapsed", logits=(slice(None), logits + np.float32(50) * np.eye(K, dtype=np.float32)[2]))
z = logits.copy()
z[240:360][np.arange(120), labels[240:360]] -= 3
save("over-forgotten", logits=(slice(None), z))
save("class", labels=(labels == 1, np.where(group[labels == 1] == 0, 0, 1)))
few = rng.normal(0, 1, (17, n, K)).astype(np.float32)
few[16] = few[3]
member = (np.arange(17)[:, None] + np.arange(n)) % 2
np.savez("twins.npz", logits=few, member=member.astype(np.uint8))
END
    lint() { # lint ID FILE ARGS...: the audit of FILE has the note, that of plain.npz does not
        id=$1 file=$2
        shift 2
        run 0 audit --allow-lint --signals "$file.npz" "$@" --bootstrap 100 --json
        contains out "\"id\": \"$id\""
    }
    run 0 audit --allow-lint --signals plain.npz --oracle-signals other-seed.npz --bootstrap 100 --json
    cp out plain.json
    for id in leak-forget-retain repeated-ids leak-forget-test leak-forget-retain-outputs collapsed-outputs auc-below-half \
        forgotten-class-in-test single-seed few-references leak-reference-is-target repeated-references no-change oracle-is-target; do
        lacks plain.json "\"$id\""
    done
    lint leak-forget-retain ids-in-both
    lint repeated-ids ids-twice
    lint leak-forget-test same-in-test
    lint leak-forget-retain-outputs same-in-retain
    lint collapsed-outputs collapsed
    lint auc-below-half over-forgotten
    lint forgotten-class-in-test class
    json out ta_other_classes
    lint single-seed plain --oracle-signals other-seed.npz,other-seed.npz
    lint repeated-references plain --references twins.npz
    lacks out '"few-references"'
    lint oracle-is-target plain --oracle-signals plain.npz
    error 3 "id 77 occurs twice in its group" audit --signals plain.npz --oracle-signals ids-twice.npz
fi

# a model whose running statistics are not those of its weights: simulated by what its last epoch claims to have seen
cp -r runs/r2 runs/stale
printf '{"event": "train.epoch", "epoch": 9, "step": 9, "wall_s": 1, "train_acc": 1.0}\n' >>runs/stale/metrics.jsonl
rm runs/stale/DONE # which vouches for the files of the run
run 0 audit --allow-lint runs/stale --json
contains out '"stale-batch-norm"'
run 0 audit --allow-lint runs/r2 --json
lacks out '"stale-batch-norm"'
finish
