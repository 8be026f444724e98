#!/usr/bin/env python3
"""References for class unlearning, computed by NumPy in double precision.

    python3 make_class_golden.py [FILE]      (default: class_golden.npz beside this file; needs numpy)

weights (K,d) of a last layer, gone (K); similarity of classes: cos, pca2, pca5 (cosines after a projection of the centred
rows on the first right singular vectors), softmax (of cos at temperature 0.1), pca_softmax (of pca2 at 0.5).
logits (N,K), label (N), beta (3); q (3,N,K): the tilted targets, from probabilities as the formula has it.
symmetric (n,n) and its eigenvalues.
forget_x, retain_x (n,6): inputs of a layer; svd, mupht: the transposed projectors of alpha_r 100, alpha_f 3, and of 90 % energy.
The formulas are written out here and share no code with lethe.
"""
import os
import sys

import numpy as np

rng = np.random.default_rng(5)
K, D, N = 7, 12, 9
W = rng.normal(size=(K, D)).astype(np.float32).astype(np.float64)
gone = np.zeros(K, np.uint8)
gone[[2, 5]] = 1
keep = gone == 0


def cosines(rows):
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T


def pca(rows, k):
    centred = rows - rows.mean(0)
    return centred @ np.linalg.svd(centred)[2][:k].T


def softmax(rows, tau):
    e = np.where(keep, np.exp(rows / tau), 0)
    return e / e.sum(1, keepdims=True)


cos, pca2, pca5 = cosines(W), cosines(pca(W, 2)), cosines(pca(W, 5))
z = rng.normal(size=(N, K)).astype(np.float32).astype(np.float64) * 3
y = np.array([2, 5, 2, 2, 5, 5, 2, 5, 2], np.int32)
beta = np.array([0.0, 3.0, 10.0])
q = np.zeros((3, N, K))
for b in range(3):
    for n in range(N):
        p = np.exp(z[n] - z[n].max())
        p /= p.sum()
        hat = np.where(keep, p / (1 - p[gone == 1].sum()), 0)
        t = hat * np.exp(beta[b] * cos[y[n]])
        q[b, n] = t / t.sum()
A = rng.normal(size=(9, 9))
A = A @ np.diag([5, 4, 3, 1, 1, 0, 0, -2, -7]) @ A.T
A = (A + A.T) / 2
Xf = (rng.normal(size=(40, 6)) @ np.diag([3, 2, 1, 0.3, 0.1, 0.01]) @ rng.normal(size=(6, 6))).astype(np.float32).astype(np.float64)
Xr = (rng.normal(size=(50, 6)) @ np.diag([1, 2, 2, 1, 0.1, 0.1]) @ rng.normal(size=(6, 6))).astype(np.float32).astype(np.float64)


def space(X, alpha):
    U, sv, _ = np.linalg.svd(X.T)
    rho = sv ** 2 / (sv ** 2).sum()
    return U @ np.diag(alpha * rho / ((alpha - 1) * rho + 1)) @ U.T


Pf, Pr = space(Xf, 3.0), space(Xr, 100.0)
P = Pf - Pf @ Pr
U, sv, _ = np.linalg.svd(Xf.T)
rank = int(np.searchsorted(np.cumsum(sv ** 2) / (sv ** 2).sum(), 0.9) + 1)
path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "class_golden.npz")
np.savez(path, weights=W.astype(np.float32), gone=gone, cos=cos, pca2=pca2, pca5=pca5, softmax=softmax(cos, 0.1),
         pca_softmax=softmax(pca2, 0.5), logits=z, label=y, beta=beta, q=q, symmetric=A,
         forget_x=Xf.astype(np.float32), retain_x=Xr.astype(np.float32), svd=P.T.copy(), mupht=U[:, :rank] @ U[:, :rank].T,
         eigenvalues=np.linalg.eigvalsh(A)[::-1].copy())
print(f"{path}: numpy {np.__version__}")
