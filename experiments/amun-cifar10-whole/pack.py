#!/usr/bin/env python3
"""pack.py STUDY RESULTS: what the tables are made from, small enough to keep.

Of every audited model the outputs on the forgotten samples, on 5,000 retained ones (the first of a fixed permutation)
and on the test images, in half precision and compressed; and the CSV files of the study. tables.py makes the tables
from these files alone.
"""
import glob
import json
import os
import shutil
import sys

import numpy as np

N_RETAINED = 5000
LIMIT_BYTES = 40 << 20


def pack_signals(path, out):
    with np.load(path) as s:
        group, logits = s["group"], s["logits"]
        retained = np.flatnonzero(group == 0)
        keep = np.concatenate([np.sort(np.random.default_rng(0).permutation(retained)[:N_RETAINED]),
                               np.flatnonzero(group != 0)])
        np.savez_compressed(out, logits=logits[keep].astype(np.float16), labels=s["labels"][keep].astype(np.int16),
                            ids=s["ids"][keep].astype(np.int32), group=group[keep])


def main(study, results):
    os.makedirs(os.path.join(results, "outputs"), exist_ok=True)
    for name in ("results.csv", "tuning.csv", "chosen.json", "summary.json", "summary.md"):
        if os.path.exists(os.path.join(study, name)):
            shutil.copy(os.path.join(study, name), results)
    for path in glob.glob(os.path.join(study, "extra", "*.json")):
        with open(path, encoding="utf-8") as f:
            json.load(f)
        shutil.copy(path, results)
    runs = [p for kind in ("bases/*", "oracles/*", "runs/*/*/*", "extra/*")
            for p in glob.glob(os.path.join(study, kind)) if os.path.exists(os.path.join(p, "signals.npz"))]
    for run in sorted(runs):
        name = os.path.relpath(run, study).replace(os.sep, "~")
        pack_signals(os.path.join(run, "signals.npz"), os.path.join(results, "outputs", name + ".npz"))
    total = sum(os.path.getsize(p) for p in glob.glob(os.path.join(results, "outputs", "*.npz")))
    print(f"{len(runs)} models, {total / (1 << 20):.1f} MiB")
    if total > LIMIT_BYTES:
        sys.exit(f"pack.py: expected at most {LIMIT_BYTES >> 20} MiB")


if __name__ == "__main__":
    main(*sys.argv[1:])
