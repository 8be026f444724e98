#!/usr/bin/env python3
"""Tables of a class study that `lethe sweep` ran (experiments/class-unlearning/study), in Markdown.

    study_table.py STUDY_DIRECTORY|PART.json... SUMMARY.json

Reads the audits of the study, one for every original model and forgotten class. Metrics of repetitions are averaged; the
figures of every class, original and method go to SUMMARY.json, which relations.py reads. A PART is such a summary of
other classes of the same study: parts that ran at different times make one table. Costs are those of results.csv.

Intervals of 95 % are those of a mean over classes and originals, or over single runs where there are fewer than four of
these (Student's t). The gap of retraining is how far one retrained model is from the others: the largest of each class, averaged.
"""
import csv
import json
import os
import re
import sys

from audits import METRICS, half_width, mean, percent

sys.path.append(f"{sys.path[0]}/../../tools")
from plain_errors import need_arguments, read_json

BANDED = ("gap", "TV of means")


def read_audits(study):
    """The class audits of a study by (class, original or "retrained", row)."""
    found = {}
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
    return found


def read_passes(study):
    passes = {}
    if not os.path.exists(os.path.join(study, "results.csv")):  # written when the last part is done
        return passes
    with open(os.path.join(study, "results.csv"), newline="") as f:
        for r in csv.DictReader(line for line in f if not line.startswith("#")):
            spent = [float(r[k]) for k in r if k.endswith(("_forward", "_backward")) and r[k]]
            if r["role"] == "method" and spent:
                passes.setdefault(r["method"], []).append(sum(spent))
    return passes


def summarize(study):
    passes, part = read_passes(study), {}
    for (c, original, row), audits in sorted(read_audits(study).items()):
        of_class = [a["classes"][0] for a in audits]
        of = part[f"{c}-{original}-{row}"] = {name: mean([get(a) for a in audits]) for name, get in METRICS}
        of |= {"runs": {name: [get(a) for a in audits] for name, get in METRICS if name in BANDED}}
        # where the images of the forgotten class go, and the neighbour by retraining
        of |= {"predicted": [mean(v) for v in zip(*(x["predicted"] for x in of_class))], "neighbour": of_class[0]["neighbour"]}
        if row in passes and original != "retrained":
            of["passes"] = mean(passes[row])
    return part


need_arguments(2, "STUDY_DIRECTORY|PART.json... SUMMARY.json")
summary = {}
for source in sys.argv[1:-1]:
    part = summarize(source) if os.path.isdir(source) else read_json(source)
    if summary.keys() & part.keys():
        sys.exit(f"study_table: {source}: has {sorted(summary.keys() & part.keys())[0]}, as a part before it")
    summary |= part
with open(sys.argv[-1], "w") as f:
    json.dump(summary, f, indent=0, sort_keys=True)

keys = [key.split("-", 2) for key in summary]
classes = sorted({c for c, _, _ in keys})
originals = sorted({o for _, o, _ in keys if o != "retrained"})

print(f"{len(originals)} original model(s), classes {', '.join(classes)}: means over classes, in per cent; passes in thousands of samples, forward and backward.\n")
print("| model | " + " | ".join(name for name, _ in METRICS) + " | passes |\n|" + "---|" * (len(METRICS) + 2))
of = lambda row, original=None: [summary[key] for key in summary for c, o, r in [key.split("-", 2)] if r == row and (o == original or (original is None and o != "retrained"))]
gate = mean([v["ACC_f"] for k, v in summary.items() if k.split("-", 2)[1] == "retrained"]) + 0.01
retrained = [v for k, v in summary.items() if k.split("-", 2)[1] == "retrained"]
clusters = len(classes) * len(originals)


def cell(values, name, interval):
    shown = percent(mean([v[name] for v in values]))
    if not interval or name not in BANDED:
        return shown
    width = half_width([v[name] for v in values] if clusters >= 4 else [x for v in values for x in v.get("runs", {}).get(name, [v[name]])])
    return shown if width is None else f"{shown} ± {percent(width)}"


def line(title, values, cost, interval=True):
    print(f"| {title} | " + " | ".join(cell(values, name, interval) for name, _ in METRICS) + f" | {cost} |")


line("**retrained** (each against the others)", retrained, "-", False)
line("original", of("original"), "-")
rows = sorted({r for _, o, r in keys if o != "retrained" and r != "original"}, key=lambda r: (mean([v["ACC_f"] for v in of(r)]) > gate, mean([v["gap"] for v in of(r)])))
passing = []
for r in rows:
    above = mean([v["ACC_f"] for v in of(r)]) > gate
    of_classes = sorted({c for c, o, x in keys if x == r and o != "retrained"})
    part = "" if of_classes == classes else f" ({', '.join(of_classes)} only)"
    passes = [v["passes"] for v in of(r) if "passes" in v]
    line(r + part + (" (ACC_f above the gate)" if above else ""), of(r), f"{mean(passes) / 1000:.0f}" if passes else "-")
    passing += [] if above or part else [r]

print()
for name in BANDED:
    by_class = [[v[name] for k, v in summary.items() if k.split("-", 2)[:2] == [c, "retrained"] and v[name] is not None] for c in classes]
    band = mean([max(v) for v in by_class if v])
    inside = sorted((r for r in passing if mean([v[name] for v in of(r)]) <= band), key=lambda r: mean([v[name] for v in of(r)]))
    print(f"Gap of retraining in {name}: {percent(band)}. Below it, of those that pass the gate: {', '.join(inside) or 'none'}.\n")
