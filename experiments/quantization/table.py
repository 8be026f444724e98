#!/usr/bin/env python3
"""Results of `run` as CSV, one row a run: table.py OUT > results/results.csv"""
import csv
import json
import pathlib
import sys

sys.path.append(f"{sys.path[0]}/../../tools")
from plain_errors import need_arguments, need_paths

need_arguments(1, "OUT")
need_paths(sys.argv[1])
columns = ["run", "action", "method", "bits", "act_bits", "fault_rate", "variability", "encoding", "mapping", "test_acc_fp", "test_acc_q",
           "test_acc_before_bn", "residual", "code_change", "levels_hit", "travel", "epochs", "seed"]
chips = ["n", "mean", "sd", "worst", "q05", "q50", "q95"]
rows = ["bitmap", "bitmap-bn", "nearest", "nearest-bn"]
out = csv.writer(sys.stdout, lineterminator="\n")
out.writerow(columns + [f"{r}.{c}" for r in rows for c in chips])
for path in sorted(pathlib.Path(sys.argv[1]).glob("*/result.json")):
    if not (path.parent / "DONE").exists():
        continue
    r = json.loads(path.read_text())
    r["run"] = path.parent.name
    if "test_acc_q" not in r:
        r["test_acc_fp"] = r.get("test_acc")
    short = lambda v: f"{v:.6g}" if isinstance(v, float) else "" if v is None else v
    line = [short(r.get(c)) for c in columns]
    for row in rows:
        line += [short(r.get("rows", {}).get(row, {}).get(c)) for c in chips]
    out.writerow(line)
