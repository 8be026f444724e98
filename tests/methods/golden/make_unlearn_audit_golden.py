#!/usr/bin/env python3
"""References for RULI and IAM in NumPy, from the formulas.

    python3 make_unlearn_audit_golden.py [FILE]    (default: unlearn_audit_golden.npz beside this file; needs numpy)

Reads mia_target.npz and mia_references.npz (make_mia_golden.py). ruli_1, ruli_pooled (N): log-ratio of kernel densities at
bandwidth 1 with probabilities clipped at 1e-6, and at Silverman's pooled bandwidth without a clip; NAN without models of
both kinds. iam_out (M,N), iam_orig, iam_unl (N): probabilities of the true class; iam (N), iam_one (N): unlearning
scores with all M models, and with the first alone.
"""
import os
import sys

import numpy as np

here = os.path.dirname(os.path.abspath(__file__))
target, refs = np.load(os.path.join(here, "mia_target.npz")), np.load(os.path.join(here, "mia_references.npz"))
y, member = target["labels"], refs["member_unlearned"]
rows = np.arange(y.size)


def phi(z):
    z = z.astype(np.float64)
    true = z[rows, y]
    rest = z.copy()
    rest[rows, y] = -np.inf
    return true - np.log(np.exp(rest - rest.max(1, keepdims=True)).sum(1)) - rest.max(1)


def ruli(bandwidth, clip):
    most = np.log((1 - clip) / clip) if clip else np.inf
    at = np.clip(phi(target["logits"]), -most, most)
    all_phi = np.stack([np.clip(phi(z), -most, most) for z in refs["logits"]])
    log_density = []
    for kind in (2, 0):
        h = bandwidth
        if h == 0:
            has = member == kind
            n = has.sum(0)
            mean = np.where(n > 0, (all_phi * has).sum(0) / np.maximum(n, 1), 0)
            sd = np.sqrt((((all_phi - mean) ** 2) * has).sum() / (n.sum() - (n > 0).sum()))
            h = 1.06 * sd * (n.sum() / (n > 0).sum()) ** -0.2
        out = np.full(y.size, np.nan)
        for i in rows:
            v = all_phi[member[:, i] == kind, i]
            if v.size:
                out[i] = np.log(np.exp(-0.5 * ((at[i] - v) / h) ** 2).mean() / (h * np.sqrt(2 * np.pi)))
        log_density.append(out)
    return log_density[0] - log_density[1]


def iam(p_out, p_orig, p_unl):
    s = lambda p: -np.log(1e-2 - np.log(p + 1e-5))
    s_out, s_orig, s_unl = s(p_out), s(p_orig), s(p_unl)
    alpha = np.linspace(0, 1, 100)
    total = 0
    for i in range(99):
        level = s_out + alpha[i] * (s_orig - s_out)
        b = level.std() * np.sqrt(6) / np.pi
        loc = level.mean(0) - 0.5772 * b
        total = total + alpha[i + 1] * np.exp(-np.exp(-(s_unl - loc) / b))
    return 1 - total / alpha[1:].sum()


rng = np.random.default_rng(3)
n = 25
p_out, p_orig, p_unl = rng.uniform(0.01, 0.9, (4, n)), rng.uniform(0.8, 1, n), rng.uniform(0.01, 1, n)
path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "unlearn_audit_golden.npz")
np.savez(path, ruli_1=ruli(1.0, 1e-6), ruli_pooled=ruli(0, 0), iam_out=p_out, iam_orig=p_orig, iam_unl=p_unl,
         iam=iam(p_out, p_orig, p_unl), iam_one=iam(p_out[:1], p_orig, p_unl))
print(f"{path}: numpy {np.__version__}")
