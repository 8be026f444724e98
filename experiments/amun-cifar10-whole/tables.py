#!/usr/bin/env python3
"""tables.py LETHE RESULTS [OUT]: the tables of this study from RESULTS/outputs alone, in about a minute.

Every model is audited again from its stored outputs (`lethe audit --signals`) against the retrained models of the same
original and forget set; a retrained model against the others. OUT (default: RESULTS) gets table.csv, one row a model,
and table.md, beside the published figures. Retained accuracy is that of the 5,000 retained samples that are stored.
"""
import csv
import glob
import json
import os
import re
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.append(f"{sys.path[0]}/../../tools")
from plain_errors import need_arguments, need_paths

HERE = os.path.dirname(os.path.abspath(__file__))
CELL = re.compile(r"^(b\d+)-(.*?)-([or])(\d+)$")  # original model, forget set, oracle or run, number
COLUMNS = ["base", "forget", "access", "method", "number", "n_oracles", "ua", "ra", "ta", "mis", "phi_ft_auc", "rmia_ft_auc",
           "rmia_rt_auc", "gap_mis", "gap_phi", "gap_rmia", "ulira_accuracy", "overall"]


def models(folder):
    """Every stored model: base, forget, access, method, number, path."""
    found = []
    for path in sorted(glob.glob(os.path.join(folder, "*.npz"))):
        kind, *rest = os.path.basename(path)[:-4].split("~")
        match = CELL.match(rest[-1]) if rest else None
        if kind == "originals":
            base, forget = rest[-1].split("-", 1)
            found.append((base, forget, "", "original", 1, path))
        elif kind in ("oracles", "runs") and match:
            access, method = ("", "retrain") if kind == "oracles" else (rest[1], rest[0])
            found.append((match[1], match[2], access, method, int(match[4]), path))
    return found


def audit(lethe, model, everything, folder):
    base, forget, _, _, _, path = model
    oracles = [m[5] for m in everything if m[:2] == (base, forget) and m[3] == "retrain" and m[5] != path]
    references = os.path.join(folder, f"references~{forget}.npz")
    command = [lethe, "audit", "--signals", path, "--json", "--quiet", "--allow-lint", "--bootstrap", "0", "--shadow-cap", "1000", "--threads", "1"]
    if oracles:
        command += ["--oracle-signals", ",".join(oracles)]
    if os.path.exists(references):
        command += ["--references", references]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout.strip():
        sys.exit(f"tables.py: {' '.join(command)}: {done.stderr.strip()}")
    return json.loads(done.stdout), len(oracles)


def get(j, path):
    for key in path.split("."):
        j = j.get(key) if isinstance(j, dict) else None
    return j


def measure(lethe, folder):
    everything = models(folder)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        audits = list(pool.map(lambda m: audit(lethe, m, everything, folder), everything))
    rows = []
    for m, (j, n_oracles) in zip(everything, audits):
        values = {"base": m[0], "forget": m[1], "access": m[2], "method": m[3], "number": m[4], "n_oracles": n_oracles}
        for column, path, scale in (("ua", "ua", 100), ("ra", "ra", 100), ("ta", "ta", 100), ("mis", "svc_mia.confidence", 100),
                                    ("phi_ft_auc", "auc.phi.ft", 100), ("rmia_ft_auc", "rmia.ft_auc", 100),
                                    ("rmia_rt_auc", "rmia.rt_auc", 100), ("gap_mis", "avg_gap", 100), ("gap_phi", "avg_gap_auc", 100),
                                    ("gap_rmia", "rmia.avg_gap", 100), ("ulira_accuracy", "ulira.ft_accuracy", 100)):
            value = get(j, path)
            values[column] = f"{scale * value:.3f}" if value is not None else ""
        values["overall"] = get(j, "verdict.overall") or ""
        rows.append(values)
    return rows


def published(share, access, method):
    with open(os.path.join(HERE, "published.csv"), encoding="utf-8") as f:
        for row in csv.DictReader(line for line in f if not line.startswith("#")):
            if (row["forget"], row["access"], row["method"]) == (share, access, method):
                return row
    return {}


def mean(rows, column):
    values = [float(r[column]) for r in rows if r[column] != ""]
    if not values:
        return "-", None
    middle = statistics.fmean(values)
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{middle:.1f}{spread}", middle


def table(rows, share, forgets):
    here = [r for r in rows if r["forget"] in forgets]
    with_rmia = any(r["gap_rmia"] for r in here)
    gap = "gap_rmia" if with_rmia else "gap_mis"
    band = [float(r[gap]) for r in here if r["method"] == "retrain" and r[gap]]
    most = max(band) if band else None
    groups = {}
    for r in here:
        groups.setdefault((r["access"], r["method"]), []).append(r)
    order = {"": 0, "retain": 1, "forget-only": 2}

    def key(item):
        middle = mean(item[1], gap)[1]
        return order[item[0][0]], middle if middle is not None else 1e9

    lines = [f"### {share} forgotten", "",
             f"Models: {len(here)}. A retrained model is {min(band):.2f} to {most:.2f} points from the other one: the gap of retraining; what lies "
             "below it is not ranked." if band else "No gap of retraining: fewer than two retrained models.", "",
             "| method | may read | UA | RA | TA | MIS | FT AUC | RT AUC | gap (MIS) | gap (RMIA) | below the gap of retraining | published UA, RA, TA, FT AUC | "
             "published gap |", "|" + "---|" * 13]
    for (access, method), group in sorted(groups.items(), key=key):
        p = published(share, access, method)
        middle = mean(group, gap)[1]
        inside = "" if method == "retrain" or middle is None or most is None else "yes" if middle <= most else "no"
        auc = "rmia_ft_auc" if with_rmia else "phi_ft_auc"
        cells = [method, {"": "", "retain": "D_R, D_F", "forget-only": "D_F"}[access]]
        cells += [mean(group, c)[0] for c in ("ua", "ra", "ta", "mis", auc, "rmia_rt_auc", "gap_mis", "gap_rmia")] + [inside]
        cells += [", ".join(p[c] for c in ("ua", "ra", "ta", "ft_auc")) if p else "-", p.get("gap_rmia") or "-"]
        lines.append("| " + " | ".join(cells) + " |")
    attack = "RMIA with the stored reference models" if with_rmia else "the loss attack (no reference models are stored)"
    return lines + ["", f"FT AUC and RT AUC: {attack}. The order is that of the gap with {'RMIA' if with_rmia else 'MIS'}.", ""]


def main(lethe, results, out=None):
    out = out or results
    rows = measure(lethe, os.path.join(results, "outputs"))
    if not rows:
        sys.exit(f"tables.py: {results}/outputs: expected stored outputs (pack.py makes them), found none")
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "table.csv"), "w", encoding="utf-8", newline="") as f:
        writer = csv.DictWriter(f, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    lines = []
    forgets = {r["forget"] for r in rows}
    for share, chosen in (("10%", {f for f in forgets if "50pct" not in f}), ("50%", {f for f in forgets if "50pct" in f})):
        if chosen:
            lines += table(rows, share, chosen)
    with open(os.path.join(out, "table.md"), "w", encoding="utf-8") as f:
        f.write("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    need_arguments(2, "LETHE RESULTS [OUT]")
    need_paths(*sys.argv[1:3])
    main(*sys.argv[1:])
