#!/usr/bin/env python3
"""Shadow models for U-LiRA of classes, and its table; needs numpy.

    ulira.py references OUT.npz UNLEARNED... -- RETRAINED...     outputs of runs as references of `lethe audit`
    ulira.py table OUT NAME...                                   Markdown, of OUT/NAME.json
"""
import json
import sys

sys.path.append(f"{sys.path[0]}/../../tools")
from plain_errors import need_arguments


def references(path, runs):
    import numpy as np
    split = runs.index("--")
    first, logits, member = None, [], []
    for i, run in enumerate(runs[:split] + runs[split + 1:]):
        z = np.load(f"{run}/signals.npz")
        names = [z["ids"], z["labels"], z["group"]]
        first = names if first is None else first
        if not all(np.array_equal(a, b) for a, b in zip(first, names)):
            sys.exit(f"ulira.py: {run}: other samples than {runs[0]}")
        kept, forgotten = z["group"] == 0, z["group"] == 1
        logits.append(z["logits"])
        member.append(np.where(kept, 1, np.where(forgotten, 2 if i < split else 0, 0)).astype(np.uint8))
    np.savez(path, logits=np.stack(logits), member=np.stack(member), ids=first[0], labels=first[1])


def table(out, names):
    columns = [("true", "true"), ("floored at 1e-3", "floored"), ("neighbour, over the kept", "neighbour"), ("largest, over the kept", "max")]
    print("Accuracy at equal error, per cent (AUC), six pairs, one held out at a time (null: three pairs of retrained models); 50 = not distinguishable.\n")
    print("| method | " + " | ".join(c[0] for c in columns) + " | flagged, floored: audited / retrained |\n|---|" + "---|" * (len(columns) + 1))
    for name in names:
        audit = json.load(open(f"{out}/{name}.json"))
        u = audit["class_ulira"]
        cells = [f"{100 * u[k]['accuracy']:.1f} ({100 * u[k]['auc']:.1f})" for _, k in columns]
        f = u["floored"]
        print(f"| {name} | " + " | ".join(cells) + f" | {100 * f['flagged']:.0f} / {100 * sum(f['flagged_retrained']) / len(f['flagged_retrained']):.0f} |")


need_arguments(3, "references OUT.npz UNLEARNED... -- RETRAINED... or table OUT NAME...")
if sys.argv[1:2] == ["references"]:
    references(sys.argv[2], sys.argv[3:])
else:
    table(sys.argv[2], sys.argv[3:])
