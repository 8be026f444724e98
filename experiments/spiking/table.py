#!/usr/bin/env python3
"""table.py OUT - results.csv beside this file from the runs in OUT: test accuracy and activity of every row."""
import csv
import glob
import json
import os
import sys

sys.path.append(f"{sys.path[0]}/../../tools")
from plain_errors import need_arguments, need_paths

need_arguments(1, "OUT")
need_paths(sys.argv[1])
out, rows = sys.argv[1], []
for path in sorted(glob.glob(os.path.join(out, "*.eval.json"))):
    name = os.path.basename(path)[: -len(".eval.json")]
    data, seed, method = name.split("-", 2)
    r = json.load(open(path))
    r = r.get("result", r)
    base = json.load(open(os.path.join(out, f"{data}-{seed}-float.eval.json")))
    base = base.get("result", base)
    rates = r["spike_rate"]
    ratio = [rates[k] / base["spike_rate"][k] for k in rates if base["spike_rate"][k] > 0]
    rows.append(
        {
            "data": data,
            "seed": seed[1:],
            "method": method,
            "test_acc": round(r["test_acc"], 4),
            "mean_rate": round(sum(rates.values()) / len(rates), 4),
            "least_rate_ratio": round(min(ratio), 3),
            "largest_rate_ratio": round(max(ratio), 3),
            "synops": round(r["synops"]),
            "dense_macs": round(r["dense_macs"]),
            "energy_uj": round(r["energy_pj"] * 1e-6, 4),
        }
    )
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "results.csv"), "w", newline="") as f:
    writer = csv.DictWriter(f, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
groups = {}
for row in rows:
    groups.setdefault((row["data"], row["method"]), []).append(row)
for (data, method), g in groups.items():
    acc = [100 * row["test_acc"] for row in g]
    mean = sum(acc) / len(acc)
    print(f"| {data} | {method} | {len(g)} | {mean:.1f} ({min(acc):.1f} to {max(acc):.1f}) "
          f"| {min(r['least_rate_ratio'] for r in g):.2f} to {max(r['largest_rate_ratio'] for r in g):.2f} "
          f"| {sum(r['synops'] for r in g) / len(g):.3g} |")
