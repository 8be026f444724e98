#!/usr/bin/env python3
"""References for RULI and IAM in NumPy, from the formulas.

    python3 make_unlearn_audit_golden.py [FILE]    (default: unlearn_audit_golden.npz beside this file; needs numpy)

Reads mia_target.npz and mia_references.npz (make_mia_golden.py). ruli_1, ruli_pooled (N): log-ratio of kernel densities at
bandwidth 1 with probabilities clipped at 1e-6, and at Silverman's pooled bandwidth without a clip; NAN without models of
both kinds. trained (T,N,K), trained_member (T,N): reference models that have unlearned nothing, to follow those of
mia_references.npz; original (N,K): outputs of the model before unlearning. efficacy_1, efficacy_pooled (N): the efficacy
score as a log-ratio, share_1 (N): as the authors have it, L_unl / (L_unl + L_out); efficacy_auc_1: AUC of forgotten samples
against test samples, pair by pair. iam_out (M,N), iam_orig, iam_unl (N): probabilities of the true class; iam (N), iam_one (N): unlearning
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


def densities(bandwidth, clip, at, sides):
    """at (N): phi that is judged; sides: (phi (M,N), where (M,N)) of the two kinds -> log densities (2,N)"""
    out = []
    for all_phi, has in sides:
        h = bandwidth
        if h == 0:
            n = has.sum(0)
            mean = np.where(n > 0, (all_phi * has).sum(0) / np.maximum(n, 1), 0)
            sd = np.sqrt((((all_phi - mean) ** 2) * has).sum() / (n.sum() - (n > 0).sum()))
            h = 1.06 * sd * (n.sum() / (n > 0).sum()) ** -0.2
        log_density = np.full(y.size, np.nan)
        for i in rows:
            v = all_phi[has[:, i], i]
            if v.size:
                log_density[i] = np.log(np.exp(-0.5 * ((at[i] - v) / h) ** 2).mean() / (h * np.sqrt(2 * np.pi)))
        out.append(log_density)
    return out


def clipped(z, clip):
    most = np.log((1 - clip) / clip) if clip else np.inf
    return np.clip(phi(z), -most, most)


has_unlearned = (member == 2).any(1)[:, None]  # a model that has unlearned nothing is a trained one


def ruli(bandwidth, clip):
    all_phi = np.stack([clipped(z, clip) for z in refs["logits"]])
    at = clipped(target["logits"], clip)
    unl, out = densities(bandwidth, clip, at, [(all_phi, member == 2), (all_phi, (member == 0) & has_unlearned)])
    return unl - out


def efficacy(bandwidth, clip):
    all_phi = np.stack([clipped(z, clip) for z in (*refs["logits"], *trained)])
    kind = np.concatenate([member, trained_member])
    never = np.concatenate([(member == 0) & ~has_unlearned, trained_member == 0])
    at = np.where(group == 2, clipped(original, clip), clipped(target["logits"], clip))
    return densities(bandwidth, clip, at, [(all_phi, kind == 2), (all_phi, never)])


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


# Trained models: every sample is OUT for half of them; their phi on it is higher where they were trained on it.
rng = np.random.default_rng(5)
group = target["group"]
T, N, K = 6, y.size, target["logits"].shape[1]
trained_member = np.stack([rng.permutation(T) % 2 for _ in rows], 1).astype(np.uint8)
trained = rng.normal(0, 1.2, (T, N, K))
trained[:, rows, y] += 1.0 + 1.5 * trained_member
trained = trained.astype(np.float32)
original = rng.normal(0, 1.2, (N, K))
original[rows, y] += 1.0 + 1.5 * (group != 2)
original = original.astype(np.float32)
unl_1, out_1 = efficacy(1.0, 1e-6)
unl_p, out_p = efficacy(0, 0)
share_1 = np.exp(unl_1) / (np.exp(unl_1) + np.exp(out_1))
forget, test = share_1[group == 1], share_1[group == 2]
auc_1 = np.mean([(f > t) + 0.5 * (f == t) for f in forget for t in test])

rng = np.random.default_rng(3)
n = 25
p_out, p_orig, p_unl = rng.uniform(0.01, 0.9, (4, n)), rng.uniform(0.8, 1, n), rng.uniform(0.01, 1, n)
path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "unlearn_audit_golden.npz")
np.savez(path, ruli_1=ruli(1.0, 1e-6), ruli_pooled=ruli(0, 0), trained=trained,
         trained_member=trained_member, original=original, efficacy_1=unl_1 - out_1, efficacy_pooled=unl_p - out_p,
         share_1=share_1, efficacy_auc_1=np.array([auc_1]), iam_out=p_out, iam_orig=p_orig, iam_unl=p_unl,
         iam=iam(p_out, p_orig, p_unl), iam_one=iam(p_out[:1], p_orig, p_unl))
print(f"{path}: numpy {np.__version__}")
