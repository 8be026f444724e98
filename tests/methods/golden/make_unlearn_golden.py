#!/usr/bin/env python3
"""References for the unlearning methods that do arithmetic of their own, computed by PyTorch in double precision.

    python3 make_unlearn_golden.py [FILE]      (default: unlearn_golden.npz beside this file; needs torch, numpy)

A small convolutional network (simple-conv:width=4 on 1x8x8 images, 4 classes) with fixed random parameters, in
evaluation mode, on 10 forget and 20 retain images. Written: its inputs, and per parameter, flat in PyTorch's order,
  saliency   sum over forget batches of 4 of the gradient of the mean cross-entropy
  fisher     mean over retain samples of sum_y p(y|x) (d CE(x,y))^2
  fisher_var variance of the noise of Fisher forgetting, alpha 1e-6
  imp_forget, imp_all   mean over single samples of the squared gradient; imp_batch: the square of the whole mean gradient
  dampened   parameters after selective synaptic dampening, alpha 1.5, lambda 0.7, from imp_forget and imp_all
  woodfisher k after all retain samples in order
  kd_grad    gradient of mean over retain of 0.9 CE + 0.3 T^2 KL(teacher || model), T = 3
and boundary (10): labels of the forget images across the boundary, bound 0.1.
The formulas are written out here from the papers' definitions, one loop each, and share no code with lethe.
"""
import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.manual_seed(7)
K, N_FORGET, N_RETAIN = 4, 10, 20


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        c = 1
        for i, k in enumerate((4, 8, 16)):
            setattr(self, f"conv{i + 1}", nn.Conv2d(c, k, 3, padding=1, bias=False))
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(k))
            c = k
        self.linear = nn.Linear(16, K)

    def forward(self, x):
        for i in (1, 2, 3):
            x = F.max_pool2d(F.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x))), 2, 2)
        return self.linear(x.flatten(1))


def round32(t):
    return t.float().double()


def make_net(scale):
    net = Net()
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.weight.data = 0.5 + torch.rand_like(m.weight)
            m.bias.data = 0.2 * torch.randn_like(m.bias)
            m.running_mean = 0.1 * torch.randn_like(m.running_mean)
            m.running_var = 0.5 + torch.rand_like(m.running_var)
    for p in net.parameters():
        p.data = round32(p.data * scale)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean, m.running_var = round32(m.running_mean), round32(m.running_var)
    return net.eval()


def flat(tensors):
    return torch.cat([t.reshape(-1) for t in tensors])


def grad(net, loss):
    return flat(torch.autograd.grad(loss, list(net.parameters())))


def state(net):
    return flat([t for m in net.modules() if isinstance(m, nn.BatchNorm2d) for t in (m.running_mean, m.running_var)])


net, teacher = make_net(1.5), make_net(2.0)
coarse = F.interpolate(torch.rand(N_FORGET + N_RETAIN, 1, 2, 2), scale_factor=4)
pixels = (255 * (0.8 * coarse + 0.2 * torch.rand(N_FORGET + N_RETAIN, 1, 8, 8))).to(torch.uint8)
x = (pixels.float() / 255).double()
with torch.no_grad():  # no class wins everywhere
    net.linear.bias -= net(x).mean(0)
    net.linear.bias.data = round32(net.linear.bias)
y = torch.randint(0, K, (N_FORGET + N_RETAIN,))
forget, retain, everything = slice(0, N_FORGET), slice(N_FORGET, None), slice(0, None)
ce = F.cross_entropy
out = {}

# saliency
total = 0
for at in range(0, N_FORGET, 4):
    stop = min(at + 4, N_FORGET)
    total = total + grad(net, ce(net(x[at:stop]), y[at:stop]))
out["saliency"] = total

# Fisher diagonal and noise
fisher = 0
for i in range(N_FORGET, N_FORGET + N_RETAIN):
    p = torch.softmax(net(x[i:i + 1]), 1).detach()[0]
    for c in range(K):
        fisher = fisher + p[c] * grad(net, ce(net(x[i:i + 1]), torch.tensor([c]))) ** 2
fisher = fisher / N_RETAIN
out["fisher"] = fisher
alpha, at, variances = 1e-6, 0, []
for name, p in net.named_parameters():
    last = name.startswith("linear")
    var = 1.0 / (fisher[at:at + p.numel()].reshape(p.shape) + 1e-8)
    at += p.numel()
    var = var.clamp(max=1e3)
    if last:
        var = var.clamp(max=1e2)
    var = alpha * var
    if p.ndim > 1:
        var = var.mean(dim=1, keepdim=True).expand_as(p)
    if last or p.ndim == 1:
        var = var * 10
    variances.append(var)
out["fisher_var"] = flat(variances)


# importances and dampening
def importance(part):
    squares = [grad(net, ce(net(x[i:i + 1]), y[i:i + 1])) ** 2 for i in range(*part.indices(len(x)))]
    return sum(squares) / len(squares)


imp_forget, imp_all = importance(forget), importance(everything)
out["imp_forget"], out["imp_all"] = imp_forget, imp_all
out["imp_batch"] = grad(net, ce(net(x), y)) ** 2
theta = flat(net.parameters()).detach().clone()
where = imp_forget > 1.5 * imp_all
beta = torch.minimum(0.7 * imp_all / imp_forget, torch.ones_like(imp_all))
theta[where] *= beta[where]
out["dampened"] = theta

# WoodFisher
n = N_FORGET + N_RETAIN
g_f = sum(grad(net, ce(net(x[i:i + 1]), y[i:i + 1])) for i in range(N_FORGET)) / n
g_r = sum(grad(net, ce(net(x[i:i + 1]), y[i:i + 1])) for i in range(N_FORGET, n)) * N_FORGET / (n * N_RETAIN)
k, o = g_f - g_r, None
out["v"] = k.clone()
for i in range(N_FORGET, n):
    g = grad(net, ce(net(x[i:i + 1]), y[i:i + 1]))
    if o is None:
        o = g.clone()
        continue
    t = torch.dot(o, g)
    k = k - torch.dot(k, g) / (1000 + t) * o
    o = o - t / (1000 + t) * o
out["woodfisher"] = k

# distillation
T, z, target = 3.0, net(x[retain]), teacher(x[retain]).detach()
kl = T * T * F.kl_div(F.log_softmax(z / T, 1), F.softmax(target / T, 1), reduction="batchmean")
out["kd_grad"] = grad(net, 0.9 * ce(z, y[retain]) + 0.3 * kl)

# across the boundary
xf = x[forget].clone().requires_grad_()
step = torch.autograd.grad(ce(net(xf), y[forget], reduction="sum"), xf)[0].sign()
crossed = torch.round((x[forget] + 0.1 * step).clamp(0, 1) * 255) / 255
boundary = net(crossed).argmax(1)

arrays = {name: t.detach().float().numpy() for name, t in out.items()}
for name, m in (("net", net), ("teacher", teacher)):
    arrays[name + ".params"], arrays[name + ".state"] = flat(m.parameters()).detach().float().numpy(), state(m).float().numpy()
arrays["pixels"], arrays["y"] = pixels.numpy(), y.numpy().astype(np.int32)
arrays["boundary"] = boundary.numpy().astype(np.int32)
path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "unlearn_golden.npz")
np.savez(path, **arrays)
print(f"{path}: {len(theta)} parameters, {int(where.sum())} dampened, boundary {boundary.tolist()} for {y[forget].tolist()}")
