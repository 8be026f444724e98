#!/usr/bin/env python3
"""Vectors for test_class_methods.c: closed forms and combined gradients of class methods, in NumPy from their formulas.

forget_x, retain_x (n,6): inputs of a layer; oblique, transcribed: P' of MUpHT-dagger (90 % energy, ridge 1e-6, ratio 0.5).
mean (5,6): class means, class 1 forgotten; damp: Q'Q. feature (30,4), kind (30): probe accuracy.
scar_x (40,5), scar_h (5): inverse of the shrunk covariance (gamma 3, 3), distance and gradient (numeric) at power 0.5.
g_r, g_f (2,7): direct and rectified steps of HAMU at eta 0.1, q 0.01. ce (6): weights of SFR-on at power 0.5.
"""
import os
import sys

import numpy as np

rng = np.random.default_rng(17)
Xf = (rng.normal(size=(40, 6)) @ np.diag([3, 2, 1, 0.3, 0.1, 0.05]) @ rng.normal(size=(6, 6))).astype(np.float32).astype(np.float64)
Xr = (rng.normal(size=(50, 6)) @ np.diag([1, 2, 2, 1, 0.3, 0.2]) @ rng.normal(size=(6, 6))).astype(np.float32).astype(np.float64)
Cf, Cr = Xf.T @ Xf / len(Xf), Xr.T @ Xr / len(Xr)
lam = np.linalg.eigvalsh(Cf)[::-1]
k = int(np.searchsorted(np.cumsum(lam) / lam.sum(), 0.9) + 1)
C = Cr + 1e-6 * np.trace(Cr) / 6 * np.eye(6)
L = np.linalg.cholesky(C)
A = np.linalg.solve(L, np.linalg.solve(L, Cf).T).T
w, Q = np.linalg.eigh((A + A.T) / 2)
w, Q = w[::-1][:k], Q[:, ::-1][:, :k]
U = np.linalg.solve(L.T, Q)
a = np.diag(np.minimum(1, 0.5 * w))

mean = rng.normal(size=(5, 6)).astype(np.float32).astype(np.float64)
R = mean[[0, 2, 3, 4]].T
d = mean[1] - R @ (np.linalg.pinv(R) @ mean[1])
damp = np.outer(d, d) / (d @ d)

kind = (np.arange(30) % 3 == 0).astype(np.uint8)
feature = (rng.normal(size=(30, 4)) + 1.2 * kind[:, None] * np.array([1, 0, -1, 0.5])).astype(np.float32)
F = feature.astype(np.float64)
turn = np.zeros(30, int)
for v in (0, 1):
    turn[kind == v] = np.arange((kind == v).sum())
fit = turn % 2 == 0
mu = [F[fit & (kind == v)].mean(0) for v in (0, 1)]
S = sum((F[fit & (kind == v)] - mu[v]).T @ (F[fit & (kind == v)] - mu[v]) for v in (0, 1)) / 30
direction = np.linalg.solve(S + 1e-3 * np.trace(S) / 4 * np.eye(4), mu[1] - mu[0])
said = F @ direction > 0.5 * (mu[0] + mu[1]) @ direction
probe = np.mean([np.mean(said[~fit & (kind == v)] == (v == 1)) for v in (0, 1)])

x = np.sqrt(np.abs(rng.normal(size=(40, 5))).astype(np.float32).astype(np.float64))
cov = np.cov(x.T)
start = cov.copy()
for _ in range(2):
    off = cov[~np.eye(5, dtype=bool)].mean()
    cov = cov + 3 * np.diag(cov).mean() * np.eye(5) + 3 * off * (1 - np.eye(5))
sd = np.sqrt(np.diag(cov))
inverse = np.linalg.pinv(cov / np.outer(sd, sd))
centre = x.mean(0) / np.linalg.norm(x.mean(0))
h = np.abs(rng.normal(size=5)).astype(np.float32).astype(np.float64) + 0.1
h = h.astype(np.float32).astype(np.float64)


def distance(v):
    u = np.sqrt(v)
    u = u / np.linalg.norm(u) - centre
    return u @ inverse @ u


slope = np.array([(distance(h + 1e-6 * e) - distance(h - 1e-6 * e)) / 2e-6 for e in np.eye(5)])

g_r = rng.normal(size=(2, 7)).astype(np.float32).astype(np.float64)
g_f = np.stack([-g_r[0] + 0.1 * rng.normal(size=7), g_r[1] + rng.normal(size=7)]).astype(np.float32).astype(np.float64)
eta, q = 0.1, 0.01
step = []
for r, f in zip(g_r, g_f):
    radius = eta * np.linalg.norm(r)
    if r @ f <= -q * np.linalg.norm(r) / radius:
        step.append(-eta * r)
    else:
        g = r - (r @ f) / (f @ f) * f
        step.append(q / (f @ f) * f - np.sqrt(radius ** 2 - q ** 2 / (f @ f)) * g / np.linalg.norm(g))
assert np.isclose(step[1] @ g_f[1], q) and np.isclose(np.linalg.norm(step[1]), eta * np.linalg.norm(g_r[1]))
ce = np.array([1e-6, 0.01, 0.3, 1.0, 2.5, 7.0])
c = 1 / (np.sqrt(ce) + 1e-15)
path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "class_methods_golden.npz")
np.savez(path, forget_x=Xf.astype(np.float32), retain_x=Xr.astype(np.float32), oblique=C @ U @ a @ U.T, transcribed=U @ a @ U.T,
         mean=mean, damp=damp, feature=feature, kind=kind, probe=np.array([probe]), covariance=start, inverse=inverse, centre=centre,
         scar_h=h.astype(np.float32), distance=np.array([distance(h)]), slope=slope, g_r=g_r.astype(np.float32),
         g_f=g_f.astype(np.float32), step=np.stack(step), ce=ce, weights=6 * c / c.sum())
print(f"{path}: numpy {np.__version__}")
