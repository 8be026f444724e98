#!/usr/bin/env python3
"""table.py OUT TARGETS SEEDS [AREAS] - the tables of experiments/amun-clipped/run, in Markdown: one line per target of clipping.

Means over seeds, and the range. Distances of the mean figures of two retrained models are those of this seed's own.
"""
import json
import math
import os
import statistics
import sys

sys.path.append(f"{sys.path[0]}/../../tools")
from plain_errors import need_arguments, need_paths

need_arguments(3, "OUT TARGETS SEEDS [AREAS]")
need_paths(sys.argv[1])
out, targets, seeds = sys.argv[1], sys.argv[2].split(), sys.argv[3].split()
areas = sys.argv[4].split() if len(sys.argv) > 4 else []


def load(seed, target, what):
    path = os.path.join(out, f"s{seed}-{target}-{what}.json")
    return json.load(open(path)) if os.path.exists(path) else None


def at(tree, path):
    for key in path.split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, (int, float)) else None


def cell(values, scale=100, digits=1):
    v = [scale * x for x in values if x is not None]
    if not v:
        return "-"
    mean = f"{statistics.mean(v):.{digits}f}"
    return mean if len(v) == 1 else f"{mean} ({min(v):.{digits}f} to {max(v):.{digits}f})"


def every(target, what, get):
    trees = [load(s, target, what) for s in seeds]
    return [get(t) for t in trees if t]


def retrained(path):
    def get(audit):
        v = [at(o, path) for o in audit.get("oracles", [])]
        v = [x for x in v if x is not None]
        return statistics.mean(v) if v else None
    return get


def gap(path):
    def get(audit):
        value, reference = at(audit, path), retrained(path)(audit)
        return None if value is None or reference is None else abs(value - reference)
    return get


def largest_sigma(norms):
    v = [layer["sigma"][0] for layer in norms["layers"] if layer.get("kind") in ("conv", "convolution", "linear")]
    return max(v) if v else None


print("Originals.\n")
print("| clip | seeds | test acc. | robust acc., L2 0.25 | largest norm of a layer | log10 Lipschitz bound |")
print("|---|---|---|---|---|---|")
for t in targets:
    n = sum(load(s, t, "amun") is not None for s in seeds)
    bound = every(t, "norms", lambda a: a.get("lipschitz_bound"))
    logs = [math.log10(b) for b in bound if b]
    print(f"| {t} | {n} | {cell(every(t, 'original', lambda a: at(a, 'test_acc')))} | {cell(every(t, 'attack', lambda a: at(a, 'robust_acc')))} | "
          f"{cell(every(t, 'norms', largest_sigma), 1, 2)} | {cell(logs, 1, 1)} |")

rows = [("UA", "ua"), ("RA", "ra"), ("TA", "ta"), ("MIS", "svc_mia.confidence"), ("RMIA FT AUC", "rmia.ft_auc")]
print("\nAMUN with retained data against retraining by the same recipe, per cent; in every cell AMUN, then retraining.\n")
print("| clip | " + " | ".join(r[0] for r in rows) + " | avg. gap | avg. gap (AUC) |")
print("|---|" + "---|" * (len(rows) + 2))
for t in targets:
    cells = [f"{cell(every(t, 'amun', lambda a, p=p: at(a, p)))}, {cell(every(t, 'amun', retrained(p)))}" for _, p in rows]
    print(f"| {t} | " + " | ".join(cells) + f" | {cell(every(t, 'amun', lambda a: at(a, 'avg_gap')), 100, 2)} | "
          f"{cell(every(t, 'amun', lambda a: at(a, 'avg_gap_auc')), 100, 2)} |")

print("\nThe same at other learning-rate areas, per cent; the gap of retraining is that of one retrained model to the other.\n")
print("| clip | area | UA, AMUN | UA, retrained | avg. gap | avg. gap (AUC) | avg. gap of retraining |")
print("|---|---|---|---|---|---|---|")


def band(audit):
    v = (audit.get("null_band") or {}).get("avg_gap")
    return statistics.mean(v) if v else None


for t in targets:
    for area, what in [("default", "amun")] + [(a, f"amun-area{a}") for a in areas]:
        print(f"| {t} | {area} | {cell(every(t, what, lambda a: at(a, 'ua')))} | {cell(every(t, what, retrained('ua')))} | {cell(every(t, what, lambda a: at(a, 'avg_gap')), 100, 2)} | "
              f"{cell(every(t, what, lambda a: at(a, 'avg_gap_auc')), 100, 2)} | {cell(every(t, what, band), 100, 2)} |")


def of_oracles(path):
    def get(bound):
        v = [x for x in (at(o, path) for o in bound.get("oracles", [])) if x is not None]
        return statistics.mean(v) if v else None
    return get


print("\nTerms of AMUN's bound (docs/methods/amun-bound.md): mean distance d of the adversarial images; C; L d - C with the local estimate of L; share of "
      "the images to which the retrained model gives the adversarial label, and any wrong one; distance of the parameters to those of retraining, AMUN's less the original's.\n")
print("| clip | d | C | L d - C (local) | adversarial label, % | wrong, % | change of squared distance |")
print("|---|---|---|---|---|---|---|")
for t in targets:
    bounds = every(t, "amun", lambda a: a.get("diagnostics") or {})
    d = [at(b, "delta.mean") for b in bounds]
    v = [[of_oracles(p)(b) for b in bounds] for p in ("c.mean", "l_delta_minus_c.local_mean", "transfer.as_adv", "transfer.wrong", "squared_distance_change")]
    print(f"| {t} | {cell(d, 1, 3)} | {cell(v[0], 1, 2)} | {cell(v[1], 1, 2)} | {cell(v[2])} | {cell(v[3])} | {cell(v[4], 1, 2)} |")
