#!/usr/bin/env python3
"""Writes svc_golden.npz: signals, their features in NumPy, and scikit-learn's SVC on them.

The file is itself a signals file (logits, labels, ids, group) with more arrays beside it. As many retain as test
samples, so the shadow draw takes all of them and nothing depends on a random number of either side. Committed output:
NumPy 1.24.2, scikit-learn 1.2.1 (its libsvm), SHA-256 printed at the end.

    python3 tests/methods/golden/make_svc_golden.py
"""
import hashlib
import os

import numpy as np
import sklearn
from sklearn.svm import SVC

N_RETAIN, N_FORGET, N_TEST, K = 150, 60, 150, 5
KEYS = ["correctness", "confidence", "entropy", "m_entropy", "prob"]


def draw(seed):
    rng = np.random.default_rng(seed)
    group = np.repeat([0, 1, 2], [N_RETAIN, N_FORGET, N_TEST]).astype(np.int8)
    n = group.size
    labels = rng.integers(0, K, n)
    gain = np.choose(group, [4.5, 3.4, 2.4]) + rng.normal(0, 1.6, n)  # members are more confident
    logits = rng.normal(0, 1.0, (n, K))
    logits[np.arange(n), labels] += gain
    logits = logits.astype(np.float32)
    logits[0] = [90, -90, 0, 0, 0]  # saturated rows: correct, wrong, and equal logits
    labels[0] = 0
    logits[1] = [90, -90, 0, 0, 0]
    labels[1] = 1
    logits[2] = 0
    return logits, labels.astype(np.int64), np.arange(n, dtype=np.int64), group


def features(logits, labels):
    z = logits.astype(np.float64)
    rows = np.arange(len(z))
    log_p = z - z.max(1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(1, keepdims=True))
    p = np.exp(log_p)
    clamped = lambda v: np.log(np.maximum(v, 1e-30))
    inner = p * clamped(1 - p)
    inner[rows, labels] = ((1 - p) * clamped(p))[rows, labels]
    return {
        "correctness": (z.argmax(1) == labels).astype(np.float64),
        "confidence": p[rows, labels],
        "entropy": -(p * log_p).sum(1),
        "m_entropy": -inner.sum(1),
        "prob": p,
    }


def decisions(feature, group):
    out = {}
    for key, value in feature.items():
        x = value.reshape(len(value), -1)
        train = np.concatenate([x[group == 2], x[group == 0]])
        y = np.repeat([0, 1], [N_TEST, N_RETAIN])
        svc = SVC(C=3, gamma="auto", kernel="rbf").fit(train, y)
        out[key] = -svc.decision_function(x[group == 1])  # positive = class 0 = non-member
    return out


def main():
    for seed in range(1000):  # the first seed without a decision too close to the boundary to be counted safely
        logits, labels, ids, group = draw(seed)
        feature = features(logits, labels)
        decision = decisions(feature, group)
        if min(np.abs(d).min() for d in decision.values()) > 0.005:
            break
    else:
        raise SystemExit("no seed keeps every decision away from 0")
    arrays = {"logits": logits, "labels": labels, "ids": ids, "group": group}
    for key in KEYS:
        arrays["feature_" + key] = feature[key]
        arrays["decision_" + key] = decision[key]
    arrays["non_member_share"] = np.array([(decision[key] > 0).mean() for key in KEYS])
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "svc_golden.npz")
    np.savez(path, **arrays)
    with open(path, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    print(f"seed {seed}, shares {dict(zip(KEYS, arrays['non_member_share'].round(3)))}")
    print(f"NumPy {np.__version__}, scikit-learn {sklearn.__version__}, SHA-256 {digest}")


main()
