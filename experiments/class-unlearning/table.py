#!/usr/bin/env python3
"""Tables of the study, in Markdown, from the audits in a directory.

    table.py AUDITS ROWS.list RUNS SUMMARY.json

The figures of every audit go to SUMMARY.json. Of RUNS, the directory of the runs, also how near the targets of TRW come to retrained outputs for other similarities and
tilts: they are computed from the original model's outputs and last layer (needs numpy).
"""
import json
import os
import sys

from audits import METRICS as figures, mean, percent

sys.path.append(f"{sys.path[0]}/../../tools")
from plain_errors import need_arguments

need_arguments(4, "AUDITS ROWS.list RUNS SUMMARY.json")
results, rows_file = sys.argv[1], sys.argv[2]
runs = sys.argv[3]
rows = ["original"] + [l.split()[0] for l in open(rows_file) if l.strip() and not l.startswith("#")]
audits = {}
for name in sorted(os.listdir(results)):
    if not name.endswith(".json"):
        continue
    c, o = name[:-5].split("-")[:2]
    whole = json.load(open(os.path.join(results, name)))
    for a in [whole] + whole.get("also", []):
        audits[c, o, os.path.basename(a["run"]).split("-", 2)[2]] = a["class_audit"]
    audits[c, o, "original"] = dict(whole["class_audit"]["original"], oracles=whole["class_audit"]["oracles"])
classes = sorted({k[0] for k in audits})
originals = sorted({k[1] for k in audits})


def of(row, o, get):
    return [get(audits[c, o, row]) for c in classes if (c, o, row) in audits]


for o in originals:
    print(f"Original {o}, classes {', '.join(classes)}: means over classes, in per cent.\n")
    print("| model | " + " | ".join(f[0] for f in figures) + " |\n|" + "---|" * (len(figures) + 1))
    done = [r for r in rows if of(r, o, lambda a: 0)]
    any_row = done[0]
    retrained = [percent(mean([mean([get(x) for x in audits[c, o, any_row]["oracles"]]) for c in classes]))
                 for _, get in figures]
    print("| **retrained** (each against the others) | " + " | ".join(retrained) + " |")
    for r in done:
        n = len(of(r, o, lambda a: 0))
        label = r if n == len(classes) else f"{r} ({n} classes)"
        print(f"| {label} | " + " | ".join(percent(mean(of(r, o, get))) for _, get in figures) + " |")
    print()
    print("class-MIA per class: score (reference), neighbour.\n")
    print("| model | " + " | ".join(classes) + " |\n|" + "---|" * (len(classes) + 1))
    for r in done:
        cells = []
        for c in classes:
            a = audits.get((c, o, r))
            cells.append("-" if a is None else f"{percent(a['mia_nn']['score'])} ({percent(a['mia_nn']['reference'])}), {a['mia_nn']['neighbour']}")
        print(f"| {r} | " + " | ".join(cells) + " |")
    print()

worst = {}
for (c, o, r), a in audits.items():
    for x in a["oracles"]:
        for name, get in figures[4:7]:
            worst.setdefault(name, []).append(get(x))
print("Gap of retraining: of a retrained model against the others, the largest of all classes: " +
      ", ".join(f"{n} {percent(max(x for x in v if x is not None))}" for n, v in worst.items()) + ".\n")

summary = {}
for (c, o, r), a in sorted(audits.items()):
    summary[f"{c}-{o}-{r}"] = {name: get(a) for name, get in figures}
    for i, x in enumerate(a["oracles"]):
        summary[f"{c}-retrained-{i + 1}"] = {name: get(x) for name, get in figures}
with open(sys.argv[4], "w") as f:
    json.dump(summary, f, indent=0, sort_keys=True)

import numpy as np

K = 10
order = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def tensor(path, name):
    raw = open(path, "rb").read()
    n = int.from_bytes(raw[:8], "little")
    t = json.loads(raw[8:8 + n])[name]
    a, b = t["data_offsets"]
    return np.frombuffer(raw[8 + n + a:8 + n + b], np.float32).reshape(t["shape"]).astype(np.float64)


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def cosines(w):
    w = w / np.linalg.norm(w, axis=1, keepdims=True)
    return w @ w.T


def pca(w, k):
    w = w - w.mean(0)
    return w @ np.linalg.svd(w, full_matrices=False)[2][:k].T


def outputs(run, f, group):
    s = np.load(os.path.join(runs, run, "signals.npz"))
    at = (s["group"] == group) & (s["labels"] == f)
    return s["logits"][at].astype(np.float64)


kinds = {"cos": lambda w, keep: cosines(w), "pca 5": lambda w, keep: cosines(pca(w, 5))}
betas = [0, 1, 3, 10, 20]
nearest = {}
for group, what in ((2, "test"), (1, "forgotten training")):
    table = {}
    for o in sorted({d.split("-")[1] for d in os.listdir(runs) if d.endswith("-logit-mask")}):
        w = tensor(os.path.join(runs, f"original-{o}", "model.safetensors"), "linear.weight")
        for c in classes:
            f = order.index(c)
            keep = np.arange(K) != f
            z = outputs(f"{c}-{o}-logit-mask", f, group)
            oracles = [softmax(outputs(d, f, group)) for d in sorted(os.listdir(runs)) if d.startswith(f"{c}-retrained-")]
            r = np.mean([q.mean(0) for q in oracles], 0)
            sims = {n: k(w, keep) for n, k in kinds.items()}
            soft = np.exp(sims["cos"] / 0.1) * keep
            sims["softmax 0.1"] = soft / soft.sum(1, keepdims=True)
            for n, s in sims.items():
                for b in betas:
                    q = softmax(np.where(keep, z + b * s[f], -1e30))
                    tv = np.mean([0.5 * np.abs(q - p).sum(1).mean() for p in oracles])
                    table.setdefault((n, b), []).append((tv, 0.5 * np.abs(q.mean(0) - r).sum()))
            q0 = softmax(np.where(keep, z, -1e30)).mean(0)
            top = [order[int(np.argmax(v))] for v in (np.where(keep, sims["cos"][f], -9), q0, r)]
            nearest.setdefault((o, c), []).append("/".join(top) if len(set(top)) > 1 else top[0])
    print(f"Targets of TRW on {what} images of the forgotten class against retrained outputs: TV (TV of means), means over classes and originals, in per cent.\n")
    print("| similarity | " + " | ".join(f"beta {b}" for b in betas) + " |\n|" + "---|" * (len(betas) + 1))
    for n in ["cos", "pca 5", "softmax 0.1"]:
        print(f"| {n} | " + " | ".join("{:.1f} ({:.1f})".format(*(100 * np.mean(table[n, b], 0))) for b in betas) + " |")
    print()
print("Nearest class: one name where the weights, the renormalised outputs and the retrained models agree, else the three.\n\n| original | class | test images | forgotten training images |\n|---|---|---|---|")
for (o, c), names in nearest.items():
    print(f"| {o} | {c} | " + " | ".join(names) + " |")
