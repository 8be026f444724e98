#!/usr/bin/env python3
"""pack.py LETHE STUDY RESULTS: what the tables are made from, small enough to keep.

Of every model the outputs on the forgotten samples, on 5,000 retained ones (the first of a fixed permutation) and on
the test images, in half precision and compressed: original, retrained, unlearned and reference models; and the CSV
files of the study. tables.py makes the tables from these files alone.
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np

sys.path.append(f"{sys.path[0]}/../../tools")
from plain_errors import need_arguments, need_paths

N_RETAINED = 5000
LIMIT_BYTES = 40 << 20


def kept_rows(group):
    retained = np.flatnonzero(group == 0)
    return np.concatenate([np.sort(np.random.default_rng(0).permutation(retained)[:N_RETAINED]), np.flatnonzero(group != 0)])


def pack_signals(path, out):
    with np.load(path) as s:
        keep = kept_rows(s["group"])
        np.savez_compressed(out, logits=s["logits"][keep].astype(np.float16), labels=s["labels"][keep].astype(np.int16),
                            ids=s["ids"][keep].astype(np.int32), group=s["group"][keep])


def pack_references(path, oracle, out):
    """The outputs of the reference models on the same samples, whose order is that of every model of the forget set."""
    with np.load(path) as r, np.load(os.path.join(oracle, "signals.npz")) as s:
        keep = kept_rows(s["group"])
        np.savez_compressed(out, logits=r["logits"][:, keep].astype(np.float16), member=r["member"][:, keep])


def pack_originals(lethe, study, out):
    """The outputs of the original model on the samples of each forget set."""
    for oracle in glob.glob(os.path.join(study, "oracles", "*-o1")):
        base, forget = re.match(r"(b\d+)-(.*)-o1$", os.path.basename(oracle)).groups()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "signals.npz")
            subprocess.run([lethe, "eval", os.path.join(study, "bases", base), "--forget", f"file:{oracle}/forget.csv", "--signals",
                            path, "--quiet", "--json"], check=True, stdout=subprocess.DEVNULL)
            pack_signals(path, os.path.join(out, f"originals~{base}-{forget}.npz"))
        references = os.path.join(study, "references", forget + ".npz")
        if os.path.exists(references):
            pack_references(references, oracle, os.path.join(out, f"references~{forget}.npz"))


def main(lethe, study, results):
    os.makedirs(os.path.join(results, "outputs"), exist_ok=True)
    for name in ("results.csv", "tuning.csv", "chosen.json", "summary.json", "summary.md"):
        if os.path.exists(os.path.join(study, name)):
            shutil.copy(os.path.join(study, name), results)
    for path in glob.glob(os.path.join(study, "extra", "*.json")):
        with open(path, encoding="utf-8") as f:
            json.load(f)
        shutil.copy(path, results)
    pack_originals(lethe, study, os.path.join(results, "outputs"))
    runs = [p for kind in ("oracles/*", "runs/*/*/*", "extra/*")
            for p in glob.glob(os.path.join(study, kind)) if os.path.exists(os.path.join(p, "signals.npz"))]
    for run in sorted(runs):
        name = os.path.relpath(run, study).replace(os.sep, "~")
        pack_signals(os.path.join(run, "signals.npz"), os.path.join(results, "outputs", name + ".npz"))
    total = sum(os.path.getsize(p) for p in glob.glob(os.path.join(results, "outputs", "*.npz")))
    print(f"{len(runs)} runs, {total / (1 << 20):.1f} MiB")
    if total > LIMIT_BYTES:
        sys.exit(f"pack.py: expected at most {LIMIT_BYTES >> 20} MiB")


if __name__ == "__main__":
    need_arguments(3, "LETHE STUDY RESULTS")
    need_paths(*sys.argv[1:3])
    main(*sys.argv[1:])
