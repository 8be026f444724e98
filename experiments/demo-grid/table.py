#!/usr/bin/env python3
"""The audited runs as CSV, and their table in Markdown.

    table.py OUT RUNS.csv
"""
import csv
import json
import os
import sys

sys.path.append(f"{sys.path[0]}/../../tools")
from plain_errors import need_arguments

need_arguments(2, "OUT RUNS.csv")
out, csv_file = sys.argv[1], sys.argv[2]
KINDS = ("inert", "overdone", "broken", "utility", "pair-memorised", "area-far")


def load(*path):
    with open(os.path.join(out, *path)) as f:
        return json.load(f)


def lints(name, kind):
    found = [item["id"] for item in load("audits", f"{name}.{kind}.json")["lint"]]
    return " ".join(k for k in KINDS if k in found)


def row(seed, name, directory):
    result = load(*directory, "result.json")
    audit = load("audits", f"{name}.with.json")
    state = lambda key: 100 * result[key]
    return {"seed": seed, "run": name.split("-", 1 if name.startswith("grid") else 2)[-1], "method": result["method"],
            "form": result.get("form") or "", "data": "retain and forget" if result["use_retain"] else "forget",
            "lr": result["lr"], "lr_area": result["lr_area"], "lr_step_every": result["lr_step_every"],
            "epochs": result["epochs"], "ua": state("forget_acc"), "ra": state("retain_acc"), "ta": state("test_acc"),
            "mia": 100 * audit["svc_mia"]["confidence"], "phi_share": result["phi_share"],
            "phi_auc": state("phi_auc"), "gap": 100 * audit["avg_gap"], "gap_auc": 100 * audit["avg_gap_auc"],
            "pair_acc": result.get("adversarial_set", {}).get("pair_acc"), "delta_l2": result["delta_norm_l2"],
            "lint_with_oracle": lints(name, "with"), "lint_without_oracle": lints(name, "without")}


def base_rows(seed):
    for r in load(f"demo-{seed}.json")["rows"]:
        if r["role"] in ("original", "oracle"):
            result = load(f"demo-{seed}", "ft", "result.json")["original"] if r["role"] == "original" else \
                load(f"demo-{seed}", "retrain", "result.json")
            yield {"seed": seed, "run": r["role"], "ua": 100 * r["ua"], "ra": 100 * r["ra"], "ta": 100 * r["ta"],
                   "mia": 100 * r["svc_mia"]["confidence"], "phi_share": result["phi_share"],
                   "phi_auc": 100 * result["phi_auc"], "gap": 100 * r["avg_gap"] if r["avg_gap"] else None}


rows = []
for seed in (1, 2, 3):
    if os.path.exists(os.path.join(out, f"demo-{seed}", "report.html")):
        rows += base_rows(seed)
for name in sorted(os.listdir(os.path.join(out, "audits"))):
    if name.endswith(".with.json"):
        name = name[:-len(".with.json")]
        of_demo = name.startswith("demo-")
        seed = int(name.split("-")[1]) if of_demo else 1
        rows.append(row(seed, name, (f"demo-{seed}", name.split("-", 2)[2]) if of_demo else ("grid", name[5:])))

columns = ["seed", "run", "method", "form", "data", "lr", "lr_area", "lr_step_every", "epochs", "ua", "ra", "ta", "mia",
           "phi_share", "phi_auc", "gap", "gap_auc", "pair_acc", "delta_l2", "lint_with_oracle", "lint_without_oracle"]
with open(csv_file, "w", newline="") as f:
    w = csv.DictWriter(f, columns, lineterminator="\n")
    w.writeheader()
    for r in rows:
        w.writerow({k: round(v, 6) if isinstance(v, float) else v for k, v in r.items()})

number = lambda v, digits=1: "-" if v in (None, "") else f"{v:.{digits}f}"
print("| seed | run | lr | area | UA | RA | TA | MIA | F | phi AUC | gap | checks, with / without the oracle |")
print("|" + "---|" * 12)
for r in rows:
    checks = f"{r['lint_with_oracle'] or 'none'} / {r['lint_without_oracle'] or 'none'}" if "method" in r else ""
    lr = f"{r['lr']:.3g}" if "method" in r else ""
    area = f"{r['lr_area']:.3g}" if "method" in r else ""
    print(f"| {r['seed']} | {r['run']} | {lr} | {area} | {number(r['ua'])} | {number(r['ra'])} | {number(r['ta'])} | "
          f"{number(r['mia'])} | {number(r['phi_share'], 2)} | {number(r['phi_auc'])} | {number(r['gap'])} | {checks} |")
