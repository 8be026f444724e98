#!/usr/bin/env python3
"""make_spiking.py OUT.safetensors - golden sequences of neurons, by snnTorch and SpikingJelly with PyTorch's autograd.

For every semantics: current x (N*T,F), membrane potential u, spikes s, a cotangent ds and the gradient dx of <s, ds>;
where the decay is learned also its gradient. zero-delayed (snnTorch before its change of the zero reset) and
subtract-betatheta have no module in snnTorch 1.0: they are written with its surrogate and a loop by their definition.
"""
import sys

import numpy as np
import snntorch
import torch
from safetensors.torch import save_file
from snntorch import surrogate as sg
from spikingjelly.activation_based import neuron, surrogate

N, T, F = 3, 12, 7
THETA, BETA = 1.0, 0.5


def snn_surrogate(name):
    return {"atan": sg.atan(alpha=2.0), "fast-sigmoid": sg.fast_sigmoid(slope=25), "sigmoid": sg.sigmoid(slope=4)}[name]


class Rectangle(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v):
        ctx.save_for_backward(v)
        return (v > 0).to(v)

    @staticmethod
    def backward(ctx, g):
        (v,) = ctx.saved_tensors
        return g * (v.abs() < 0.5).to(v)


def step_of(name):
    return Rectangle.apply if name == "rectangle" else snn_surrogate(name)


def loop(kind, step, x):
    u = torch.zeros(N, F)
    us, ss, s = [], [], torch.zeros(N, F)
    for t in range(T):
        r = s.detach()
        if kind == "subtract-delayed":
            u = BETA * u + x[:, t] - r * THETA
        elif kind == "subtract-betatheta":
            u = BETA * (u - r * THETA) + x[:, t]
        elif kind == "zero-immediate":
            u = BETA * (u * (1 - r)) + x[:, t]
        else:
            u = (1 - r) * (BETA * u + x[:, t])
        s = step(u - THETA)
        us.append(u)
        ss.append(s)
    return torch.stack(us, 1), torch.stack(ss, 1), None


def snn_module(kind, step, x, learn):
    m = snntorch.Leaky(beta=BETA, threshold=THETA, spike_grad=step, learn_beta=learn,
                       reset_mechanism="subtract" if kind == "subtract-delayed" else "zero")
    mem = m.init_leaky()
    us, ss = [], []
    for t in range(T):
        s, mem = m(x[:, t], mem)
        us.append(mem)
        ss.append(s)
    return torch.stack(us, 1), torch.stack(ss, 1), m.beta if learn else None


def jelly(kind, name, x, learn):
    f = {"atan": surrogate.ATan(alpha=2.0), "sigmoid": surrogate.Sigmoid(alpha=4.0)}[name]
    common = dict(v_threshold=THETA, v_reset=None if kind.endswith("soft") else 0.0, surrogate_function=f,
                  detach_reset=True, step_mode="s")
    if kind.startswith("spikingjelly-if"):
        m = neuron.IFNode(**common)
    elif learn:
        m = neuron.ParametricLIFNode(init_tau=2.0, decay_input=True, **common)
    else:
        m = neuron.LIFNode(tau=2.0, decay_input=True, **common)
    us, ss = [], []
    for t in range(T):
        ss.append(m(x[:, t]))
        us.append(m.v)  # after the reset
    return torch.stack(us, 1), torch.stack(ss, 1), m.w if learn else None


def main():
    torch.manual_seed(7)
    out = {}
    cases = [(k, s, False) for k in ("subtract-delayed", "subtract-betatheta", "zero-immediate", "zero-delayed")
             for s in ("atan", "fast-sigmoid", "rectangle", "sigmoid")]
    cases += [("subtract-delayed", "atan", True), ("zero-immediate", "atan", True)]
    cases += [(f"spikingjelly-{k}", s, False) for k in ("lif", "lif-soft", "if", "if-soft") for s in ("atan", "sigmoid")]
    cases += [("spikingjelly-lif", "atan", True), ("spikingjelly-lif-soft", "sigmoid", True)]
    for kind, name, learn in cases:
        x = torch.randn(N, T, F) * 0.8 + 0.5
        x.requires_grad_(True)
        ds = torch.randn(N, T, F)
        own = kind in ("subtract-betatheta", "zero-delayed") or name == "rectangle"
        if kind.startswith("spikingjelly"):
            u, s, p = jelly(kind, name, x, learn)
        elif own:
            u, s, p = loop(kind, step_of(name), x)
        else:
            u, s, p = snn_module(kind, step_of(name), x, learn)
        (s * ds).sum().backward()
        key = f"{kind}/{name}/{'learn' if learn else 'fixed'}"
        u_name = "v" if kind.startswith("spikingjelly") else "u"
        for what, v in (("x", x), (u_name, u), ("s", s), ("ds", ds), ("dx", x.grad)):
            out[f"{key}/{what}"] = v.detach().reshape(N * T, F).contiguous().float()
        if learn:
            out[f"{key}/dp"] = p.grad.detach().reshape(1).contiguous().float()
    meta = {"torch": torch.__version__, "snntorch": snntorch.__version__, "N": str(N), "T": str(T), "F": str(F)}
    save_file(out, sys.argv[1], metadata=meta)
    print(len(cases), "cases,", sum(int((out[k] > 0).sum()) for k in out if k.endswith("/s")), "spikes")


main()
