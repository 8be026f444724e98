#!/usr/bin/env python3
"""retrained.npz: outputs of real models, 24 retrained without a forget set and the originals trained with it.

    make_retrained.py RUNS     RUNS holds re-1 .. re-24 and base-1.npz, base-2.npz, ...

The runs: ResNet-18 of width 8 on 300 CIFAR-10 images, made by

    T="--epochs 40 --batch 32 --lr 0.1 --schedule cosine --no-augment --threads 1"
    lethe train --data cifar10,train-limit=300,test-limit=300 --model resnet18:width=8,proj-half=1 $T --seed S --out base-S
    lethe eval base-S --forget random:20% --forget-seed 1 --signals base-S.npz
    lethe unlearn base-1 --method retrain --forget random:20% --forget-seed 1 --seed 100+R --out re-R

Only outputs are kept, no image: logits (M,N,10) rounded to 1/64, labels and groups (N), original (M). The forget set is
whole; of the retain set and of the test set every second row.
"""
import pathlib
import sys

import numpy as np

here = pathlib.Path(__file__).resolve().parent
runs = pathlib.Path(sys.argv[1])
paths = [runs / f"re-{r}" / "signals.npz" for r in range(1, 25)] + sorted(runs.glob("base-*.npz"))
first = np.load(paths[0])
order = np.argsort(first["ids"] + 10**6 * first["group"], kind="stable")
group = first["group"][order]
nth = np.arange(len(group)) - np.array([np.argmax(group == g) for g in group])
keep = order[(group == 1) | (nth % 2 == 0)]
logits = []
for path in paths:
    s = np.load(path)
    at = {(int(i), int(g)): k for k, (i, g) in enumerate(zip(s["ids"], s["group"]))}
    rows = [at[int(first["ids"][k]), int(first["group"][k])] for k in keep]
    assert (s["labels"][rows] == first["labels"][keep]).all(), path
    logits.append(np.round(s["logits"][rows] * 64) / 64)
np.savez_compressed(here / "retrained.npz", logits=np.stack(logits).astype(np.float32), labels=first["labels"][keep].astype(np.int64),
                    group=first["group"][keep].astype(np.int8),
                    original=np.array([not p.parent.name.startswith("re-") for p in paths], np.uint8))
print(len(paths), "models,", len(keep), "samples")
