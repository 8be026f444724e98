#!/usr/bin/env python3
"""Golden vectors: what PyTorch, in double precision, computes for lethe's models and ops.

    python3 make_golden.py [DIRECTORY]      (default: beside this file; needs torch, numpy, safetensors)

Inputs and weights are not stored: both sides make them from `hashed`, a counter-based generator of a few integer
operations (golden.h has the same in C), so the files hold answers only. Large gradients are stored as their length
and four projections on random signs; a wrong, missing or misplaced element shows in those. MANIFEST.json records the
versions that made the files and their digests.
"""
import hashlib
import json
import pathlib
import sys

import numpy as np
import safetensors
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))
from torch_models import from_spec  # noqa: E402

# name, spec, input, classes, batch, learning rate, are gradients stored in full?
MODELS = [
    ("resnet18_w4", "resnet18:width=4,proj-half=0,bn=1", (3, 32, 32), 10, 4, 0.02, True),
    ("resnet18_w4_half", "resnet18:width=4,proj-half=1,bn=1", (3, 32, 32), 10, 4, 0.02, True),
    ("resnet18_w4_nobn", "resnet18:width=4,proj-half=1,bn=0", (3, 32, 32), 10, 4, 0.001, False),
    ("resnet18_w4_64", "resnet18:width=4,proj-half=0,bn=1", (3, 64, 64), 20, 2, 0.02, False),
    ("resnet18_w16", "resnet18:width=16,proj-half=1,bn=1", (3, 32, 32), 10, 2, 0.01, False),
    ("resnet18_w64", "resnet18:width=64,proj-half=0,bn=1", (3, 32, 32), 10, 4, 0.001, False),
    ("vgg19_w4", "vgg19:width=4,bn=1", (3, 32, 32), 10, 8, 0.0005, False),
    ("resnet20_w4", "resnet20:width=4,bn=1", (3, 32, 32), 10, 4, 0.02, False),
    ("dla_w2", "dla:width=2,bn=1", (3, 32, 32), 10, 8, 0.00002, False),
    ("dla_w2_nobn", "dla:width=2,bn=0", (3, 32, 32), 10, 4, 0.0005, False),
    ("simple_conv_w8", "simple-conv:width=8,bn=1,mean=0.5,std=0.25", (1, 28, 28), 10, 8, 0.02, False),
    ("simple_conv_rgb", "simple-conv:width=8,bn=0,mean=0.5+0.4375+0.375,std=0.25+0.125+0.5", (3, 32, 32), 7, 8, 0.002, False),
    ("single_conv_reflect", "single-conv:width=6,kernel=5,padding=2,stride=2,padding-mode=reflect,bn=1", (1, 14, 13), 10, 8, 0.02, False),
    ("single_conv_rgb", "single-conv:width=4,kernel=3,padding=1,stride=1,padding-mode=reflect,bn=0", (3, 8, 8), 7, 8, 0.02, False),
]
TRIES = 200
MOMENTUM, WEIGHT_DECAY, STEPS, PROJECTIONS = 0.9, 5e-4, 10, 4


def hashed(name, n):
    """n numbers in [0,1), multiples of 2^-24: a function of the name and the position only (FNV-1a, then splitmix64)."""
    start = 0xCBF29CE484222325
    for byte in name.encode():
        start = (start ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(start) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2**24


def tensor(name, shape, low=-1.0, high=1.0):
    """Hashed numbers spread over [low, high), rounded to float32 as lethe's slabs are, held in double."""
    u = hashed(name, int(np.prod(shape)))
    return torch.from_numpy((low + (high - low) * u).astype(np.float32).astype(np.float64).reshape(shape))


def fill(name, value):
    """The value of a model's tensor: scaled so that signals keep their size with and without batch norm."""
    leaf = name.rsplit(".", 1)[1]
    if leaf == "weight" and value.dim() > 1:
        bound = np.sqrt(6.0 / value[0].numel())
        return tensor(name, value.shape, -bound, bound)
    if leaf in ("weight", "running_var"):
        return tensor(name, value.shape, 0.5, 1.5)
    return tensor(name, value.shape, -0.2, 0.2)


def labels(name, n, k):
    return torch.from_numpy((hashed(name, n) * k).astype(np.int64))


def summary(value):
    """Length, then projections on random signs."""
    flat = value.detach().numpy().ravel()
    signs = [np.where(hashed(f"sign{i}", flat.size) < 0.5, -1.0, 1.0) for i in range(PROJECTIONS)]
    return np.array([np.sqrt(flat @ flat)] + [s @ flat for s in signs])


def kink_margin(net, model, x):
    """How near the batch comes to a kink: the smallest |input| of any ReLU and the smallest lead of any maximum of a
    pool's window, as parts of that layer's root mean square, in evaluation and in training mode."""
    relu, pool, margins = F.relu, F.max_pool2d, [np.inf]

    def watch(gap, z):
        margins.append((gap.min() / z.square().mean().sqrt()).item())

    def watched_relu(z, inplace=False):
        watch(z.abs(), z)
        return relu(z, inplace)

    def watched_pool(z, *args, **kwargs):
        h, w = z.shape[2] // 2, z.shape[3] // 2
        windows = z[:, :, : 2 * h, : 2 * w].unflatten(3, (w, 2)).unflatten(2, (h, 2)).transpose(3, 4).flatten(4)
        first, second = windows.topk(2).values.unbind(-1)
        watch(torch.where(first > 0, first - second, torch.inf), z)  # where all are 0, ReLU stops the gradient anyway
        return pool(z, *args, **kwargs)

    F.relu, F.max_pool2d = watched_relu, watched_pool
    try:
        for train in (False, True):
            state = {k: v.clone() for k, v in net.state_dict().items()}
            net.train(train)
            with torch.no_grad():
                model(x)
            net.load_state_dict(state)
    finally:
        F.relu, F.max_pool2d = relu, pool
    return min(margins)


def pick_images(case, net, model):
    """Name of the images on which no ReLU and no maximum is near its kink: there a float's rounding would change
    the gradient by a finite amount. Models with too many units for that take any; their file says how near it is."""
    shape, batch = case[2], case[4]
    best = ("", -1.0)
    for i in range(TRIES if sum(p.numel() for p in net.parameters()) < 1e6 else 1):
        name = f"x{i}"
        best = max(best, (name, kink_margin(net, model, tensor(name, (batch, *shape), 0, 1))), key=lambda b: b[1])
        if best[1] > 1e-5:
            break
    return best


def make_model(case):
    name, spec, shape, k, batch, lr, full = case
    net, model = from_spec(spec, shape, k)
    net.double()
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if not key.endswith("num_batches_tracked"):
                value.copy_(fill(key, value))
    images, margin = pick_images(case, net, model)
    x, y = tensor(images, (batch, *shape), 0, 1), labels("y", batch, k)
    out = {}

    def put_grad(key, grad):
        out[key if full else "summary." + key] = grad.clone() if full else torch.from_numpy(summary(grad))

    net.eval()
    z = x.clone().requires_grad_(True)
    out["logits_eval"] = model(z)
    F.cross_entropy(out["logits_eval"], y).backward()
    put_grad("grad_x_eval", z.grad)

    net.train()
    z = x.clone().requires_grad_(True)
    net.zero_grad()
    out["logits_train"] = model(z)
    loss = F.cross_entropy(out["logits_train"], y)
    loss.backward()
    out["loss"] = loss.reshape(1)
    put_grad("grad_x", z.grad)
    for key, p in net.named_parameters():
        put_grad("grad." + key, p.grad)
    for key, b in net.named_buffers():
        if b.dim():
            out["after." + key] = b.clone()

    # Ten steps on the same batch, from the state after the pass above (running statistics moved once already).
    opt = torch.optim.SGD(net.parameters(), lr, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    trace = []
    for _ in range(STEPS):
        opt.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        trace.append(loss.item())
    out["sgd_loss"] = torch.tensor(trace, dtype=torch.float64)
    net.eval()
    out["sgd_logits_eval"] = model(x)

    arrays = {}
    for key, value in out.items():
        wide = not (key.startswith("grad") or key.startswith("after."))
        arrays[key] = np.ascontiguousarray(value.detach().numpy().astype(np.float64 if wide else np.float32))
    meta = {"spec": spec, "input": "x".join(map(str, shape)), "classes": str(k), "batch": str(batch), "lr": str(lr),
            "momentum": str(MOMENTUM), "weight_decay": str(WEIGHT_DECAY), "images": images, "kink_margin": f"{margin:.3g}"}
    return arrays, meta


# Ops: name, function of its tensors, shapes of the differentiable tensors (a, b, c ...), ranges other than [-1,1).
def margin(z, y):
    other = z.scatter(1, y[:, None], -torch.inf)
    return other.max(1).values - z.gather(1, y[:, None])[:, 0]


def kl(z, target, t):
    p = F.softmax(target / t, 1)
    return t * t * (p * (p.log() - F.log_softmax(z / t, 1))).sum(1)


def conv_padded(mode):
    return lambda a, b: F.conv2d(F.pad(a, (1, 1, 1, 1), mode=mode), b)


def norm_train(a, b, c):
    return F.batch_norm(a, tensor("d", (6,), 0.5, 1.5), tensor("e", (6,), 0.5, 1.5), b, c, training=True, momentum=0.1)


def norm_eval(a, b, c):
    return F.batch_norm(a, tensor("d", (6,), 0.5, 1.5), tensor("e", (6,), 0.5, 1.5), b, c, training=False)


Y4 = labels("y", 4, 7)
SOFT = F.softmax(3 * tensor("target", (4, 7)), 1)
OPS = {
    "conv_3x3": (lambda a, b: F.conv2d(a, b, stride=1, padding=1), (2, 5, 9, 8), (6, 5, 3, 3)),
    "conv_3x3_s2_bias": (lambda a, b, c: F.conv2d(a, b, c, stride=2, padding=1), (2, 5, 9, 8), (6, 5, 3, 3), (6,)),
    "conv_1x1_s2": (lambda a, b: F.conv2d(a, b, stride=2), (2, 5, 9, 8), (6, 5, 1, 1)),
    "conv_circular": (conv_padded("circular"), (2, 5, 9, 8), (6, 5, 3, 3)),
    "conv_reflect": (conv_padded("reflect"), (2, 5, 9, 8), (6, 5, 3, 3)),
    "bn_train": (norm_train, (3, 6, 4, 5), (6,), (6,)),
    "bn_eval": (norm_eval, (3, 6, 4, 5), (6,), (6,)),
    "avg_pool": (lambda a: F.avg_pool2d(a, 3, 2), (2, 3, 9, 8)),
    "max_pool": (lambda a: F.max_pool2d(a, 2, 2), (2, 3, 9, 8)),
    "global_avg_pool": (lambda a: a.mean((2, 3)), (2, 3, 9, 8)),
    "linear": (F.linear, (4, 5), (7, 5), (7,)),
    "softmax": (lambda a: F.softmax(3 * a, 1), (4, 7)),
    "cross_entropy": (lambda a: F.cross_entropy(3 * a, Y4, reduction="none"), (4, 7)),
    "cross_entropy_smooth": (lambda a: F.cross_entropy(3 * a, Y4, reduction="none", label_smoothing=0.125), (4, 7)),
    "cross_entropy_soft": (lambda a: F.cross_entropy(3 * a, SOFT, reduction="none"), (4, 7)),
    "kl_div": (lambda a: kl(3 * a, 3 * tensor("target", (4, 7)), 4.0), (4, 7)),
    "margin": (lambda a: margin(a, Y4), (4, 7)),
}


def make_ops():
    arrays = {}
    for name, (function, *shapes) in OPS.items():
        ins = [tensor("abc"[i], shape).requires_grad_(True) for i, shape in enumerate(shapes)]
        out = function(*ins)
        grads = torch.autograd.grad(out, ins, tensor("seed", tuple(out.shape)))
        arrays[name + ".y"] = out.detach().numpy()
        for i, g in enumerate(grads):
            arrays[f"{name}.d{'abc'[i]}"] = np.ascontiguousarray(g.numpy())
    return arrays, {}


def main():
    out_dir = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    manifest = {"torch": torch.__version__, "numpy": np.__version__, "safetensors": safetensors.__version__,
                "python": sys.version.split()[0], "files": {}}
    jobs = [(case[0], lambda case=case: make_model(case)) for case in MODELS] + [("ops", make_ops)]
    for name, make in jobs:
        arrays, meta = make()
        path = out_dir / f"{name}.safetensors"
        save_file(arrays, path, metadata=meta or None)
        path.chmod(0o644)
        data = path.read_bytes()
        manifest["files"][path.name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        print(f"{path.name:32s} {len(data):8d} bytes  {meta.get('images', '')} {meta.get('kink_margin', '')}", flush=True)
    (out_dir / "MANIFEST.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
