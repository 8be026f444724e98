#!/usr/bin/env python3
"""Writes adversarial_golden.npz: one step of TRADES (linf and l2) and of Madry's adversarial training in PyTorch.

The attack and the loss follow the published code of TRADES (trades.py): attack in evaluation mode from
x + 0.001 N(0, I), loss in training mode on clean and attacked images. The start noise comes from this file's own
Philox4x32-10, so the library's generator is checked along with the rest. In double. Committed output: PyTorch 1.13.1,
NumPy 1.24.2, SHA-256 printed at the end.

    python3 tests/train/golden/make_adversarial_golden.py
"""
import hashlib
import os

import numpy as np
import torch
import torch.nn.functional as F

N, C, SIDE, K, WIDTH, SEED = 6, 3, 8, 4, 4, 11
EPS = {"linf": 0.031, "l2": 0.5}
STEPS, BETA, STREAM_ROBUST = 5, 6.0, 12


def philox(counter, key):
    c, k = [int(v) for v in counter], [int(v) for v in key]
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


class Rng:
    """The sequence at (seed, stream, step, index) of include/lethe/rng.h."""

    def __init__(self, seed, stream, step, index):
        self.key = philox([seed & 0xFFFFFFFF, seed >> 32, stream, 0], [0x6C657468, 0x65726E67])[:2]
        self.at, self.where, self.left = 0, [index & 0xFFFFFFFF, index >> 32, step], []

    def u32(self):
        if not self.left:
            self.left = philox([self.at] + self.where, self.key)
            self.at += 1
        return self.left.pop(0)

    def uniform(self):
        return (self.u32() >> 8) * 2.0**-24

    def normal(self):
        low = self.u32()
        u = (((low | self.u32() << 32) >> 11) + 1) * 2.0**-53
        return np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * self.u32() * 2.0**-32)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        c = C
        for i in range(3):
            setattr(self, f"conv{i + 1}", torch.nn.Conv2d(c, WIDTH << i, 3, padding=1, bias=False))
            c = WIDTH << i
            setattr(self, f"bn{i + 1}", torch.nn.BatchNorm2d(c))
        self.linear = torch.nn.Linear(c, K)

    def forward(self, x):
        for i in range(3):
            x = F.max_pool2d(F.relu(getattr(self, f"bn{i + 1}")(getattr(self, f"conv{i + 1}")(x))), 2)
        return self.linear(x.flatten(1))


def kl(adv, clean):
    return F.kl_div(F.log_softmax(adv, 1), F.softmax(clean, 1), reduction="sum")


def starts(form, norm, shape):
    per, delta = int(np.prod(shape[1:])), []
    for row in range(shape[0]):
        rng = Rng(SEED, STREAM_ROBUST, 0, row)
        if form == "trades":
            delta.append([0.001 * rng.normal() for _ in range(per)])
        elif norm == "linf":
            delta.append([EPS[norm] * (2 * rng.uniform() - 1) for _ in range(per)])
        else:
            radius = EPS[norm] * rng.uniform() ** (1 / per)
            v = np.array([rng.normal() for _ in range(per)])
            delta.append(v * radius / np.linalg.norm(v))
    return torch.tensor(np.array(delta)).reshape(shape)


def length(form, norm):
    if form == "pgd":
        return 2.5 * EPS[norm] / STEPS
    return 0.007 if norm == "linf" else 2 * EPS[norm] / STEPS


def attack(net, form, norm, x, y):
    net.eval()
    eps, step = EPS[norm], length(form, norm)
    clean = net(x).detach()
    adv = x + starts(form, norm, x.shape)
    for _ in range(STEPS):
        adv = adv.detach().requires_grad_()
        objective = kl(net(adv), clean) if form == "trades" else F.cross_entropy(net(adv), y, reduction="sum")
        g, = torch.autograd.grad(objective, adv)
        if norm == "linf":
            adv = torch.min(torch.max(adv + step * g.sign(), x - eps), x + eps).clamp(0, 1)
        else:
            norms = g.flatten(1).norm(dim=1)
            if norms.min() < 1e-3 * norms.max():
                return None  # an image without a gradient: its direction would be one of rounding
            delta = adv + step * g / norms.view(-1, 1, 1, 1)
            delta = (delta.clamp(0, 1) - x)
            delta = delta * (eps / delta.flatten(1).norm(dim=1)).clamp(max=1).view(-1, 1, 1, 1)
            adv = (x + delta).clamp(0, 1)
    return adv.detach()


def one_step(state, form, norm, x, y):
    net = Net().double()
    net.load_state_dict(state)
    adv = attack(net, form, norm, x, y)
    if adv is None:
        return None
    net.train()
    if form == "trades":
        clean = net(x)
        loss = F.cross_entropy(clean, y) + BETA * kl(net(adv), clean) / N
    else:
        loss = F.cross_entropy(net(adv), y)
    loss.backward()
    out = {"x_adv": adv, "loss": loss.detach().reshape(1)}
    out.update({f"grad.{k}": p.grad for k, p in net.named_parameters()})
    out.update({f"state.{k}": b for k, b in net.named_buffers() if "running" in k})
    return {f"{form}.{norm}.{k}": v.numpy() for k, v in out.items()}


def draw(seed):
    torch.manual_seed(seed)
    net = Net().double()
    for name, b in net.named_buffers():
        if "running" in name:
            b.uniform_(-0.3, 0.0) if "mean" in name else b.uniform_(0.05, 0.3)
    state = {k: v.clone().float().double() if v.is_floating_point() else v.clone() for k, v in net.state_dict().items()}
    return state, torch.rand(N, C, SIDE, SIDE), torch.arange(N) % K


def main():
    for seed in range(1000):  # the first seed where every image has a gradient throughout
        state, x, y = draw(seed)
        out = {"x": x.numpy(), "y": y.to(torch.int32).numpy()}
        out.update({f"model.{k}": v.float().numpy() for k, v in state.items() if v.is_floating_point()})
        steps = [one_step(state, form, norm, x.double(), y) for form in ("trades", "pgd") for norm in ("l2", "linf")]
        if all(steps):
            break
    for step in steps:
        out.update(step)
    print(seed, {k: float(v[0]) for k, v in out.items() if k.endswith(".loss")})
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "adversarial_golden.npz")
    np.savez(path, **{k: np.ascontiguousarray(v) for k, v in out.items()})
    print(torch.__version__, np.__version__, hashlib.sha256(open(path, "rb").read()).hexdigest())


if __name__ == "__main__":
    main()
