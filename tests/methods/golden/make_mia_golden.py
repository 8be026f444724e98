#!/usr/bin/env python3
"""Writes mia_target.npz and mia_references.npz: signals, outputs of reference models, and scores in NumPy.

mia_target.npz is a signals file with the expected scores of every variant beside it (score_<variant>).
mia_references.npz is a references file; member_unlearned (M,N) marks some of its members as unlearned, for U-LiRA.
Scores are written pair by pair from the formulas, in double. Committed output: NumPy 2.4.6.

    python3 tests/methods/golden/make_mia_golden.py
"""
import hashlib
import math
import os

import numpy as np

N_RETAIN, N_FORGET, N_TEST, K, M = 28, 14, 18, 5, 12


def draw(seed):
    rng = np.random.default_rng(seed)
    group = np.repeat([0, 1, 2], [N_RETAIN, N_FORGET, N_TEST]).astype(np.int8)
    n = group.size
    labels = rng.integers(0, K, n)
    rows = np.arange(n)
    member = np.zeros((M, n), np.uint8)
    for i in rows:
        member[rng.permutation(M)[: M // 2], i] = 1
    ease = rng.normal(1.5, 1.5, n)  # of a sample, for every model
    base = rng.normal(0, 1, (n, K))
    logits = base[None] + rng.normal(0, 0.7, (M, n, K))
    logits[:, rows, labels] += ease + 1.5 * member
    target = base + rng.normal(0, 0.7, (n, K))
    target[rows, labels] += ease + 1.5 * (group != 2)
    unlearned = member.copy()
    for i in rows[group != 0]:
        unlearned[np.flatnonzero(member[:, i])[:3], i] = 2
    order = rng.permutation(n)  # groups mixed: rows are in no order
    return (
        target[order].astype(np.float32),
        labels[order].astype(np.int64),
        group[order],
        logits[:, order].astype(np.float32),
        member[:, order],
        unlearned[:, order],
    )


def taylor(v, terms):
    return sum(v**j / math.factorial(j) for j in range(terms))


def signal(z, y, kind, terms=4, temperature=2.0, margin=0.6):
    """z (N,K) in double -> (N)"""
    rows = np.arange(len(z))
    if kind in ("sm_taylor", "taylor"):
        u = z / temperature if kind == "sm_taylor" else z.copy()
        if kind == "sm_taylor":
            u[rows, y] -= margin
        t = taylor(u, terms)
        return t[rows, y] / t.sum(1)
    u = z / temperature
    if kind == "soft_margin":
        u[rows, y] -= margin
    e = np.exp(u - u.max(1, keepdims=True))
    p = e[rows, y] / e.sum(1)
    return np.log(p / (1 - p)) if kind == "logit" else p


def pairs(r, gamma, population):
    out = np.zeros(len(r))
    for i in range(len(r)):
        z = np.array([j for j in population if j != i])
        out[i] = np.mean(r[i] / r[z] > gamma)
    return out


def rmia(target, y, group, refs, member, kind="sm_taylor", gamma=2.0, offline=None, nonmembers=False, balanced=False, **o):
    p = signal(target, y, kind, **o)
    pr = np.stack([signal(z, y, kind, **o) for z in refs])
    mean_in = np.array([pr[member[:, i] == 1, i].mean() for i in range(len(y))])
    mean_out = np.array([pr[member[:, i] == 0, i].mean() for i in range(len(y))])
    if offline is not None:
        bar = ((1 + offline) * mean_out + (1 - offline)) / 2
    else:
        bar = (mean_in + mean_out) / 2 if balanced else pr.mean(0)
    population = np.flatnonzero(group == 2) if nonmembers else np.arange(len(y))
    return pairs(p / bar, gamma, population)


def phi(z, y):
    rows = np.arange(len(z))
    p = np.exp(z - z.max(1, keepdims=True))
    own = p[rows, y].copy()
    p[rows, y] = 0
    return np.log(own) - np.log(p.sum(1))


def fits(values, mask, variance):
    """values, mask (M,N) -> mean (N), deviation (N); samples without values get nan"""
    n = values.shape[1]
    own = [values[mask[:, i], i] for i in range(n)]
    mean = np.array([v.mean() if len(v) else np.nan for v in own])
    if variance == "per_example":
        return mean, np.array([v.std() if len(v) else np.nan for v in own])
    if variance == "overall":
        return mean, np.full(n, np.concatenate(own).std())
    deviations = np.concatenate([v - v.mean() for v in own if len(v)])
    return mean, np.full(n, np.sqrt((deviations**2).mean()))


def log_pdf(x, mean, sd):
    return -0.5 * ((x - mean) / sd) ** 2 - np.log(sd) - 0.5 * math.log(2 * math.pi)


def lira(target, y, refs, member, variance, world=1):
    x, v = phi(target, y), np.stack([phi(z, y) for z in refs])
    return log_pdf(x, *fits(v, member == world, variance)) - log_pdf(x, *fits(v, member == 0, variance))


def lira_offline(target, y, refs, member, variance):
    x, v = phi(target, y), np.stack([phi(z, y) for z in refs])
    mean, sd = fits(v, member == 0, variance)
    return np.array([math.log(0.5 * math.erfc(-t / math.sqrt(2))) for t in (x - mean) / sd])


def main():
    target, y, group, refs, member, unlearned = draw(5)
    z, rz = target.astype(np.float64), refs.astype(np.float64)
    online = lambda **o: rmia(z, y, group, rz, member, **o)
    score = {
        "rmia": online(),
        "rmia_terms5": online(terms=5),
        "rmia_taylor": online(kind="taylor", terms=5),
        "rmia_softmax": online(kind="softmax"),
        "rmia_soft_margin": online(kind="soft_margin"),
        "rmia_logit": online(kind="logit"),
        "rmia_gamma1": online(kind="softmax", gamma=1.0),
        "rmia_gamma_half": online(kind="softmax", gamma=0.5),
        "rmia_non_members": online(kind="softmax", gamma=1.0, nonmembers=True),
        "rmia_other_scale": online(terms=5, temperature=1.3, margin=0.2, gamma=1.2),
        "rmia_offline": online(offline=0.3),
        "rmia_offline_a7": online(offline=0.7, kind="softmax", gamma=1.0),
        "ulira": lira(z, y, rz, unlearned, "fixed", world=2),
    }
    lopsided = member.copy()
    lopsided[0] = 1  # not half of the models any more
    score["rmia_balanced"] = rmia(z, y, group, rz, lopsided, kind="softmax", gamma=1.0, balanced=True)
    for variance in ("fixed", "overall", "per_example"):
        score["lira_" + variance] = lira(z, y, rz, member, variance)
        score["lira_offline_" + variance] = lira_offline(z, y, rz, member, variance)
    here = os.path.dirname(os.path.abspath(__file__))
    arrays = {"logits": target, "labels": y, "ids": np.arange(len(y), dtype=np.int64), "group": group}
    files = {
        "mia_target.npz": {**arrays, **{"score_" + k: v for k, v in score.items()}},
        "mia_references.npz": {"logits": refs, "member": member, "member_unlearned": unlearned},
    }
    for name, content in files.items():
        path = os.path.join(here, name)
        np.savez(path, **content)
        with open(path, "rb") as f:
            print(name, "SHA-256", hashlib.sha256(f.read()).hexdigest())
    print("NumPy", np.__version__)
    print("negative RMIA signals:", int((signal(z, y, "sm_taylor") < 0).sum()))
    for k, v in score.items():
        print(f"{k:24s} {np.nanmin(v):10.4f} {np.nanmax(v):10.4f}  nan {int(np.isnan(v).sum())}")


main()
