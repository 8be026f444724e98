#!/usr/bin/env python3
"""Tables of a class study that `lethe sweep` ran (experiments/class-unlearning/study), in Markdown.

    study_table.py STUDY_DIRECTORY SUMMARY.json

Reads the audits of the study, one for every original model and forgotten class. Metrics of repetitions are averaged; the
figures of every class, original and method go to SUMMARY.json, which relations.py reads. Costs are those of results.csv.
"""
import csv
import json
import os
import re
import sys

from audits import METRICS, mean, percent

study, target = sys.argv[1:3]
found, spread = {}, {}
for name in sorted(os.listdir(os.path.join(study, "audits"))):
    m = re.fullmatch(r"b(\d+)-class-(\w+)\.json", name)
    if not m:
        continue
    original, c = m.groups()
    whole = json.load(open(os.path.join(study, "audits", name)))
    for a in [whole] + whole["also"]:
        parts = a["run"].split("/")
        row = parts[parts.index("runs") + 1] if "runs" in parts else "original" if "bases" in parts else None
        if row:
            found.setdefault((c, original, row), []).append(a["class_audit"])
    for i, x in enumerate(whole["class_audit"]["oracles"]):
        found.setdefault((c, "retrained", str(i + 1)), []).append(x)

summary = {"-".join(key): {name: mean([get(a) for a in audits]) for name, get in METRICS} for key, audits in sorted(found.items())}
for key, audits in found.items():  # where the images of the forgotten class go, and the neighbour by retraining
    of_class = [a["classes"][0] for a in audits]
    summary["-".join(key)] |= {"predicted": [mean(v) for v in zip(*(c["predicted"] for c in of_class))], "neighbour": of_class[0]["neighbour"]}
classes = sorted({c for c, _, _ in found})
originals = sorted({o for _, o, _ in found if o != "retrained"})
passes = {}
with open(os.path.join(study, "results.csv"), newline="") as f:
    for r in csv.DictReader(line for line in f if not line.startswith("#")):
        spent = [float(r[k]) for k in r if k.endswith(("_forward", "_backward")) and r[k]]
        if r["role"] == "method" and spent:
            passes.setdefault(r["method"], []).append(sum(spent))

for c, o, row in found:
    if row in passes:
        summary[f"{c}-{o}-{row}"]["passes"] = sum(passes[row]) / len(passes[row])
with open(target, "w") as f:
    json.dump(summary, f, indent=0, sort_keys=True)

print(f"{len(originals)} original model(s), classes {', '.join(classes)}: means over classes, in per cent; passes in thousands of samples, forward and backward.\n")
print("| model | " + " | ".join(name for name, _ in METRICS) + " | passes |\n|" + "---|" * (len(METRICS) + 2))
of = lambda row, original=None: [summary[key] for key in summary for c, o, r in [key.split("-", 2)] if r == row and (o == original or (original is None and o != "retrained"))]
gate = mean([v["ACC_f"] for k, v in summary.items() if k.split("-", 2)[1] == "retrained"]) + 0.01
line = lambda title, values, cost: print(f"| {title} | " + " | ".join(percent(mean([v[name] for v in values])) for name, _ in METRICS) + f" | {cost} |")
line("**retrained** (each against the others)", [v for k, v in summary.items() if k.split("-", 2)[1] == "retrained"], "-")
line("original", of("original"), "-")
rows = sorted({r for _, o, r in found if o != "retrained" and r != "original"}, key=lambda r: (mean([v["ACC_f"] for v in of(r)]) > gate, mean([v["gap"] for v in of(r)])))
for r in rows:
    mark = " (ACC_f above the gate)" if mean([v["ACC_f"] for v in of(r)]) > gate else ""
    of_classes = sorted({c for c, o, x in found if x == r and o != "retrained"})
    part = "" if of_classes == classes else f" ({', '.join(of_classes)} only)"
    line(r + part + mark, of(r), f"{sum(passes[r]) / len(passes[r]) / 1000:.0f}" if r in passes else "-")
