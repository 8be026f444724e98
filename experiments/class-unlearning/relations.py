#!/usr/bin/env python3
"""Which expected relations between methods hold in a recorded study.

    relations.py SUMMARY.json

SUMMARY.json is what table.py writes: metrics of every class, original and row. The relations are the ones that a class
study of this kind is expected to show: accuracies, SVC-MIA, gaps of class-MIA, their signs, total variation, and what a
logit mask must share with the original. Means are over classes of original 1; a method is compared with others only when
its ACC_f is at most one point above that of the retrained models.
"""
import sys

sys.path.append(f"{sys.path[0]}/../../tools")
from plain_errors import need_arguments, read_json

need_arguments(1, "SUMMARY.json")
data = read_json(sys.argv[1])
classes = sorted({k.split("-")[0] for k in data})
rows = {}
for key, value in data.items():
    c, o, name = key.split("-", 2)
    if o in ("1", "retrained"):
        rows.setdefault("retrained-" + name if o == "retrained" else name, {})[c] = value


def mean(name, metric):
    v = [x[metric] for x in rows[name].values() if x[metric] is not None]
    return 100 * sum(v) / len(v)


def retrained(metric):
    v = [mean(r, metric) for r in rows if r.startswith("retrained-")]
    return sum(v) / len(v)


def passes(name):
    return mean(name, "ACC_f") <= retrained("ACC_f") + 1


def show(names, metric):
    return ", ".join(f"{n} {mean(n, metric):.1f}" for n in names)


def signed(name):
    """Distance of class-MIA from retraining with its sign, mean over classes; None where the retrained score is missing."""
    v = []
    for c, x in rows[name].items():
        r = [rows[o][c]["class-MIA"] for o in rows if o.startswith("retrained-") and c in rows[o]]
        v.append(x["class-MIA"] - sum(r) / len(r))
    return 100 * sum(v) / len(v)


checks = []


def check(what, holds, seen):
    checks.append((what, "holds" if holds else "does not hold", seen))


have = lambda names: [n for n in names if n in rows]
trw = [n for n in ("rwft", "trw-3", "trw-10") if n in rows]
best = min(trw, key=lambda n: mean(n, "gap"))
scatter = have(["rl", "salun", "ga", "boundary-shrink"])
check("SVC-MIA of retrained models at least 99.5, of the original at most 1", retrained("SVC-MIA") >= 99.5 and mean("original", "SVC-MIA") <= 1,
      f"{retrained('SVC-MIA'):.1f}, {mean('original', 'SVC-MIA'):.1f}")
check("class-MIA gap of a retrained model to the others at most 3", retrained("gap") <= 3, f"{retrained('gap'):.1f}")
three = have(["trw-3", "rl", "salun"])
check("ACC_f at most 1 for TRW, RL, SalUn", all(mean(n, "ACC_f") <= 1 for n in three), show(three, "ACC_f"))
check("ACC_r within 1 point of retraining for TRW", abs(mean("trw-3", "ACC_r") - retrained("ACC_r")) <= 1, f"{mean('trw-3', 'ACC_r'):.1f}, retrained {retrained('ACC_r'):.1f}")
check("ACC_r within 2.5 points for RL, SalUn", all(abs(mean(n, "ACC_r") - retrained("ACC_r")) <= 2.5 for n in three[1:]), show(three[1:], "ACC_r"))
lossy = have(["ga", "boundary-shrink", "delete"])
check("GA, Boundary Shrink, DELETE lose at least 1 point more ACC_r than TRW", all(mean(n, "ACC_r") <= mean("trw-3", "ACC_r") - 1 for n in lossy), show(lossy, "ACC_r"))
check("SVC-MIA at least 99 for TRW, RL, SalUn", all(mean(n, "SVC-MIA") >= 99 for n in three), show(three, "SVC-MIA"))
check("gap of TRW at its best beta at most 4", mean(best, "gap") <= 4, f"{best} {mean(best, 'gap'):.1f}")
check("gap of TRW at beta 10 at most 7", mean("trw-10", "gap") <= 7, f"{mean('trw-10', 'gap'):.1f}")
check("gaps of RL, SalUn, GA, Boundary Shrink at least 12", all(mean(n, "gap") >= 12 for n in scatter), show(scatter, "gap"))
check("gap of RL at least 3 times that of TRW at its best beta", mean("rl", "gap") >= 3 * mean(best, "gap"), f"{mean('rl', 'gap') / mean(best, 'gap'):.1f}")
check("RL, SalUn, GA, Boundary Shrink below retraining on class-MIA", all(signed(n) < 0 for n in scatter), ", ".join(f"{n} {signed(n):+.1f}" for n in scatter))
tv = "TV of means"
best_tv = min(trw, key=lambda n: mean(n, tv))
check("TV of means: TRW at its best beta below DELETE", mean(best_tv, tv) < mean("delete", tv), f"{best_tv} {mean(best_tv, tv):.1f}, delete {mean('delete', tv):.1f}")
check("TV of means: DELETE below Boundary Shrink, RL, SalUn, GA", all(mean("delete", tv) < mean(n, tv) for n in scatter), show(scatter, tv))
if all("predicted" in x for r in rows.values() for x in r.values()):
    names = "airplane automobile bird cat deer dog frog horse ship truck".split()
    expected = {"automobile": "truck", "truck": "automobile", "cat": "dog", "dog": "cat", "ship": "airplane"}
    largest = lambda x: names[max(range(len(names)), key=lambda k: x["predicted"][k])]
    seen = {c: [largest(v[c]) for r, v in rows.items() if r.startswith("retrained-") and c in v] for c in classes if c in expected}
    check("most images of a forgotten class go where they are expected, with every retrained model", all(set(v) == {expected[c]} for c, v in seen.items()),
          "; ".join(f"{c}: {', '.join(sorted(set(v)))}" for c, v in seen.items()))
    tilts = have(["rwft", "trw-3", "trw-10", "trw-20"])
    share = {c: [100 * rows[n][c]["predicted"][rows[n][c]["neighbour"]] for n in tilts if c in rows[n]] for c in classes}
    steady = lambda v: sorted(v) == v or sorted(v, reverse=True) == v
    check("the neighbour's share rises or falls steadily with beta (" + ", ".join(tilts) + ")", all(steady(v) for v in share.values()),
          "; ".join(f"{c}: {', '.join(f'{x:.1f}' for x in v)}" for c, v in share.items()))
cost = {n: next(iter(rows[n].values())).get("passes") for n in have(["trw-3", "rl"])}
if all(cost.values()):
    check("TRW costs at most 1.15 times the passes of RL", cost["trw-3"] <= 1.15 * cost["rl"], f"{cost['trw-3'] / cost['rl']:.2f}")
equal = ["class-MIA", "two-sample"]
check("logit mask: ACC_f 0, SVC-MIA 100, ACC_r at least the original's", mean("logit-mask", "ACC_f") == 0 and mean("logit-mask", "SVC-MIA") >= 100 - 1e-9 and
      mean("logit-mask", "ACC_r") >= mean("original", "ACC_r"), f"{mean('logit-mask', 'ACC_f'):.1f}, {mean('logit-mask', 'SVC-MIA'):.1f}, {mean('logit-mask', 'ACC_r'):.1f}")
check("logit mask: class-MIA and two-sample test are the original's to the last digit", all(rows["logit-mask"][c][m] == rows["original"][c][m] for c in rows["logit-mask"] for m in equal), "")
check("the original's gap is of the size of the gap of retraining: nothing may be ranked without the ACC_f gate", mean("original", "gap") <= 2 * retrained("gap"),
      f"{mean('original', 'gap'):.1f}, retrained {retrained('gap'):.1f}")

print("| relation | | seen |\n|---|---|---|")
for line in checks:
    print("| " + " | ".join(line) + " |")
names = [n for n in rows if not n.startswith("retrained-") and n != "original" and len(rows[n]) == len(classes)]
print("\nRows that pass the ACC_f gate, by the gap of class-MIA: " + ", ".join(f"{n} {mean(n, 'gap'):.1f}" for n in sorted((n for n in names if passes(n)), key=lambda n: mean(n, "gap"))) + ".")
print("\nRows that do not: " + ", ".join(f"{n} (ACC_f {mean(n, 'ACC_f'):.1f})" for n in names if not passes(n)) + ".")
