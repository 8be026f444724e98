#!/usr/bin/env python3
"""Writes representation_golden.npz: logistic probes solved by Newton's method in NumPy, and CKA from whole kernel matrices.

Both are written from the formulas, with another algorithm than the library's (dense Newton steps instead of L-BFGS,
Gram matrices instead of products of columns). Committed output: NumPy 1.24.2, SHA-256 printed at the end.

    python3 tests/methods/golden/make_representation_golden.py
"""
import hashlib
import os

import numpy as np

RIDGE = 1e-3


def standardise(x):
    sd = x.std(0)
    return (x - x.mean(0)) * np.where(sd > 0, 1 / np.where(sd > 0, sd, 1), 0)


def newton(f, y, k):
    """Rows of (w, b): one for two classes, else k; the intercepts of k rows are shifted to sum 0."""
    n, p = f.shape
    m = 1 if k == 2 else k
    a = np.hstack([f, np.ones((n, 1))])
    onehot = np.eye(k)[y][:, k - m:]
    penalty = np.tile(np.append(np.full(p, RIDGE), 0), m)
    theta = np.zeros(m * (p + 1))
    for _ in range(200):
        z = a @ theta.reshape(m, p + 1).T
        full = np.hstack([np.zeros((n, k - m)), z])
        full -= full.max(1, keepdims=True)
        prob = np.exp(full)
        prob /= prob.sum(1, keepdims=True)
        prob = prob[:, k - m:]
        grad = ((prob - onehot).T @ a / n).ravel() + penalty * theta
        if np.abs(grad).max() < 1e-13:
            break
        h = np.diag(penalty)
        for i in range(m):
            for j in range(m):
                weight = prob[:, i] * ((i == j) - prob[:, j]) / n
                rows, columns = slice(i * (p + 1), (i + 1) * (p + 1)), slice(j * (p + 1), (j + 1) * (p + 1))
                h[rows, columns] += (a * weight[:, None]).T @ a
        theta = theta - np.linalg.lstsq(h, grad, rcond=1e-14)[0]
    else:
        raise SystemExit(f"no convergence: {np.abs(grad).max()}")
    w = theta.reshape(m, p + 1).copy()
    if m > 1:
        w[:, p] -= w[:, p].mean()
    return w


def cka(x, y, debiased):
    def kernel(v):
        return v @ v.T

    n = len(x)

    def hsic(k, l):
        if not debiased:
            h = np.eye(n) - 1 / n
            return np.trace(k @ h @ l @ h)
        k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))
        one = np.ones(n)
        return (np.trace(k @ l) + (one @ k @ one) * (one @ l @ one) / (n - 1) / (n - 2)
                - 2 / (n - 2) * (one @ k @ l @ one)) / (n * (n - 3))

    k, l = kernel(x), kernel(y)
    return hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))


def main():
    rng = np.random.default_rng(5)
    out = {"ridge": np.array([RIDGE])}
    y = rng.integers(0, 2, 60)
    x = rng.normal(0, 1, (60, 5)) * [1, 10, 0.1, 1, 1] + y[:, None] * [1.0, 0, 0.1, 0, 0] + 3
    x[:, 4] = 7  # a constant feature
    out.update(binary_x=x, binary_y=y.astype(np.int32), binary_w=newton(standardise(x), y, 2))
    y = rng.integers(0, 2, 40)
    x = rng.normal(0, 0.2, (40, 3)) + y[:, None]  # separable: finite only because of the ridge
    out.update(separable_x=x, separable_y=y.astype(np.int32), separable_w=newton(standardise(x), y, 2))
    y = rng.integers(0, 4, 90)
    x = rng.normal(0, 1, (90, 6)) + np.eye(4, 6)[y] * 1.5
    out.update(classes_x=x, classes_y=y.astype(np.int32), classes_w=newton(standardise(x), y, 4))
    a, wide = rng.normal(1, 1, (40, 7)), rng.normal(0, 2, (12, 30))
    b = a[:, :5] * 0.5 + rng.normal(0, 1, (40, 5))
    c = np.tanh(wide[:, :20]) + rng.normal(0, 0.5, (12, 20))
    out.update(a=a, b=b, wide=wide, c=c)
    out["cka"] = np.array([cka(a, b, False), cka(a, b, True), cka(wide, c, False), cka(wide, c, True)])
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "representation_golden.npz")
    np.savez(path, **{k: np.ascontiguousarray(v) for k, v in out.items()})
    print(out["cka"], np.__version__, hashlib.sha256(open(path, "rb").read()).hexdigest())


if __name__ == "__main__":
    main()
