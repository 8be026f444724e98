#!/usr/bin/env python3
"""Checkpoints go from lethe to PyTorch and back with nothing renamed, and give the same logits (1e-4).

    test_pytorch.py MODEL_LOGITS [WORK_DIRECTORY]     exit code 77 = skipped: no PyTorch for this python
"""
import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import torch
except ImportError:
    print(f"skipped: {sys.executable} cannot import torch; name a python that can in LETHE_PYTHON")
    sys.exit(77)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from tensors import load_file, save_file  # noqa: E402
from torch_models import from_spec  # noqa: E402

CASES = [
    ("resnet18:width=8", (3, 32, 32), 10),
    ("resnet18:width=8,proj-half=1", (3, 64, 64), 20),
    ("resnet18:width=8,bn=0", (3, 32, 32), 10),
    ("vgg19:width=8", (3, 32, 32), 10),
    ("vgg19:width=4,bn=0", (3, 64, 64), 200),
    ("simple-conv:width=8", (1, 28, 28), 10),
    ("simple-conv:width=8,mean=0.49+0.48+0.45,std=0.25+0.24+0.26", (3, 32, 32), 10),
    ("single-conv:width=8,kernel=5,padding=2,stride=2", (1, 28, 28), 10),
    ("single-conv:width=4,padding-mode=circular,bn=0", (3, 32, 32), 10),
    ("single-conv:width=20,padding=2,stride=2,dilation=2,padding-mode=zeros", (3, 32, 32), 10),
]
BATCH = 8


def check(what, ours, theirs):
    """Error in units of how much the logits differ from image to image: a network that ignores its input fails."""
    error = ((ours - theirs).norm() / (theirs - theirs.mean(0)).norm()).item()
    print(f"{'ok' if error < 1e-4 else 'FAILED':7s} {what:78s} {error:.1e}")
    return error < 1e-4


def torch_logits(net, model, x):
    net.eval()
    with torch.no_grad():
        return model(x)


def to_pytorch(tool, work, spec, shape, k):
    size, ours, out = "x".join(map(str, shape)), work / "ours.safetensors", work / "logits.safetensors"
    tool("init", spec, size, k, 5, ours)
    tool("run", ours, BATCH, out)
    net, model = from_spec(spec, shape, k)
    net.load_state_dict(load_file(ours), strict=True)
    found = load_file(out)
    return check(f"lethe -> PyTorch  {spec} {size}", found["logits"], torch_logits(net, model, found["x"]))


def from_pytorch(tool, work, spec, shape, k, half):
    size, theirs, out = "x".join(map(str, shape)), work / "theirs.safetensors", work / "logits.safetensors"
    torch.manual_seed(7)
    net, model = from_spec(spec, shape, k)
    net.train()
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(6**0.5 if p.dim() > 1 else 1)  # from PyTorch's start to He's: signals keep their size
    for _ in range(2):
        model(torch.rand(BATCH, *shape))  # moves the running statistics and the batch counters
    if half:
        net.half().float()  # the values that the file will hold
    state = net.state_dict()
    if half:
        state = {key: v.half() if v.is_floating_point() else v for key, v in state.items()}
    save_file(state, theirs)
    tool("run", theirs, BATCH, out, spec, size)
    found = load_file(out)
    same = check(f"PyTorch -> lethe  {spec} {size}{' half' if half else ''}", found["logits"],
                 torch_logits(net, model, found["x"]))
    if half:
        return same
    tool("resave", theirs, work / "back.safetensors", spec, size)  # there and back: every key, bit for bit
    back = load_file(work / "back.safetensors")
    identical = state.keys() == back.keys() and all(torch.equal(v, back[key]) for key, v in state.items())
    print(f"{'ok' if identical else 'FAILED':7s} there and back    {spec} {size}")
    return same and identical


def main():
    program = sys.argv[1]

    def tool(*args):
        subprocess.run([program, *map(str, args)], check=True)

    torch.set_num_threads(2)
    good = True
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as name:
        work = pathlib.Path(name)
        for spec, shape, k in CASES:
            good &= to_pytorch(tool, work, spec, shape, k)
            good &= from_pytorch(tool, work, spec, shape, k, half=False)
        good &= from_pytorch(tool, work, *CASES[0], half=True)
    print(f"PyTorch {torch.__version__}: {'all the same' if good else 'differences'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
