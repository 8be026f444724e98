#!/usr/bin/env python3
"""Checkpoints of other programs become runs, are unlearned, and load back into the network that they came from.

    test_checkpoints.py LETHE [WORK_DIRECTORY]     exit code 77 = skipped: no PyTorch for this python

For each network: torch.save in the form its code uses, `lethe convert`, the same logits (1e-4), `lethe unlearn`,
`lethe convert --like`, torch.load with weights_only=True, load_state_dict with strict=True, the same logits again.
torchvision and timm take part where they can be imported; their own networks are then used, else their names.
"""
import collections
import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
except ImportError:
    print(f"skipped: {sys.executable} cannot import torch and numpy; name a python that can in LETHE_PYTHON")
    sys.exit(77)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from tensors import load_file  # noqa: E402
from torch_models import ResNet18, ResNet18ImageNet  # noqa: E402

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
NORMALIZE = ",".join(map(str, MEAN)) + ":" + ",".join(map(str, STD))
N_TRAIN, N_TEST, CLASSES = 40, 12, 10


class Normalized(torch.nn.Module):
    """The network with its normalisation as a layer of its own, as the code of SalUn has it."""

    def __init__(self, net, renamed):
        super().__init__()
        self.normalize = torch.nn.Module()
        self.normalize.register_buffer("mean", torch.tensor(MEAN))
        self.normalize.register_buffer("std", torch.tensor(STD))
        self.net, self.renamed = net, renamed

    def forward(self, x):
        return self.net((x - self.normalize.mean[:, None, None]) / self.normalize.std[:, None, None])

    def state_dict(self):
        own = collections.OrderedDict([("normalize.mean", self.normalize.mean), ("normalize.std", self.normalize.std)])
        own.update((self.renamed(k), v) for k, v in self.net.state_dict().items())
        return own

    def load_state_dict(self, state, strict=True):
        rest = dict(state)
        mean, std = rest.pop("normalize.mean"), rest.pop("normalize.std")
        assert torch.equal(mean, self.normalize.mean) and torch.equal(std, self.normalize.std)
        back = {self.renamed(k): k for k in self.net.state_dict()}
        assert rest.keys() == back.keys(), "names differ"
        self.net.load_state_dict({back[k]: v for k, v in rest.items()}, strict=strict)


class SpectralNorm(torch.nn.Module):
    """A wrapper as the code of AMUN, FastClip and LOTOS has it: the layer, and a vector of a power iteration."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        if module.weight.dim() > 1:
            module.register_buffer("weight_VT", torch.ones(1, module.weight.shape[1]))

    def forward(self, x):
        return self.module(x)


class ConvNorm(torch.nn.Module):
    def __init__(self, c_in, c_out, kernel, stride):
        super().__init__()
        self.sub_conv1 = SpectralNorm(torch.nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False))
        self.bn1 = SpectralNorm(torch.nn.BatchNorm2d(c_out))

    def forward(self, x):
        return self.bn1(self.sub_conv1(x))


class ClippedBlock(torch.nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.conv1, self.conv2 = ConvNorm(c_in, c_out, 3, stride), ConvNorm(c_out, c_out, 3, 1)
        self.half = stride != 1 or c_in != c_out
        self.shortcut = torch.nn.Sequential(*([ConvNorm(c_in, c_out, 1, stride)] if self.half else []))

    def forward(self, x):
        y = self.conv2(torch.relu(self.conv1(x))) + self.shortcut(x)
        return torch.relu(y / 2 if self.half else y)


class ClippedResNet18(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1, c_in = ConvNorm(3, width, 3, 1), width
        for stage in range(4):
            c_out = width << stage
            setattr(self, f"layer{stage + 1}", torch.nn.Sequential(
                ClippedBlock(c_in, c_out, 2 if stage else 1), ClippedBlock(c_out, c_out, 1)))
            c_in = c_out
        self.linear = SpectralNorm(torch.nn.Linear(c_in, CLASSES))

    def forward(self, x):
        x = self.layer4(self.layer3(self.layer2(self.layer1(torch.relu(self.conv1(x))))))
        return self.linear(torch.nn.functional.avg_pool2d(x, 4).flatten(1))


def torchvision_name(key):
    return key.replace("shortcut.", "downsample.").replace("linear.", "fc.")


def own_resnet18():
    return ResNet18((3, 32, 32), CLASSES, width=8)


def networks():
    """(name, network, how it is saved, spec, side of the images, does it normalise its input)"""
    yield "kuangliu", own_resnet18(), lambda sd: {"net": sd, "acc": 93.1, "epoch": 199}, "resnet18:width=8", 32, False
    yield "DataParallel", torch.nn.DataParallel(own_resnet18()), lambda sd: {"state_dict": sd}, "resnet18:width=8", 32, False
    salun = Normalized(own_resnet18(), torchvision_name)
    yield "SalUn", salun, lambda sd: {"state_dict": sd, "best_sa": 94.0, "epoch": 181}, "resnet18:width=8", 32, True
    amun = torch.nn.DataParallel(ResNet18((3, 32, 32), CLASSES, width=8, proj_half=1))
    yield ("AMUN", amun, lambda sd: {"epoch": 200, "arch": "ResNet18", "state_dict": sd}, "resnet18:width=8,proj-half=1",
           32, False)
    clipped = torch.nn.DataParallel(ClippedResNet18(8))
    yield ("AMUN, clipped", clipped, lambda sd: {"epoch": 200, "state_dict": sd}, "resnet18:width=8,proj-half=1", 32, False)
    yield "torchvision's names", ResNet18ImageNet((3, 64, 64), CLASSES, width=8), lambda sd: sd, "resnet18-imagenet:width=8", 64, False
    try:
        import torchvision
        net = torchvision.models.resnet18(num_classes=CLASSES)
        yield f"torchvision {torchvision.__version__}", net, lambda sd: sd, "resnet18-imagenet", 64, False
    except ImportError:
        print("left out: no torchvision")
    try:
        import timm
        net = timm.create_model("resnet18", num_classes=CLASSES)
        yield f"timm {timm.__version__}", net, lambda sd: {"state_dict": sd, "arch": "resnet18"}, "resnet18-imagenet", 64, False
    except ImportError:
        print("left out: no timm")


def randomize(net):
    for name, t in net.state_dict().items():
        if name.endswith(("running_var", "running_mean")):
            t.uniform_(0.5, 1.5) if name.endswith("var") else t.uniform_(-0.1, 0.1)
        elif name.endswith("num_batches_tracked"):
            t.fill_(3)


def logits_of(net, x, normalizes):
    net.eval()
    with torch.no_grad():
        x = x if normalizes else (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
        return net(x).numpy()


def check(what, good):
    print(f"{'ok' if good else 'FAILED':7s} {what}")
    return good


def same_logits(what, ours, theirs):
    error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs - theirs.mean(0))
    return check(f"{what}: logits differ by {error:.1e}", error < 1e-4)


class Lethe:
    def __init__(self, program, work):
        self.program, self.work = program, work

    def __call__(self, *args):
        out = subprocess.run([self.program, *map(str, args), "--json", "--quiet"], check=True, stdout=subprocess.PIPE)
        return json.loads(out.stdout)

    def test_logits(self, run):
        self("eval", run, "--signals", self.work / "signals.npz", "--forget", "random:4", "--force")
        s = np.load(self.work / "signals.npz")
        test = s["group"] == 2
        return s["logits"][test][np.argsort(s["ids"][test])]


def round_trip(lethe, case, x):
    name, net, wrap, spec, _, normalizes = case
    work, data = lethe.work, f"npz:{lethe.work}/data.npz"
    theirs, run, back = work / "theirs.pth", work / "run", work / "back.pth"
    randomize(net)
    torch.save(wrap(net.state_dict()), theirs)
    lethe("convert", theirs, run, "--model", spec, "--normalize", NORMALIZE, "--data", data, "--force")
    good = same_logits(f"{name}: PyTorch -> lethe", lethe.test_logits(run), logits_of(net, x, normalizes))
    lethe("unlearn", run, "--method", "ft", "--epochs", 1, "--lr", 0.01, "--batch", 20, "--forget", "random:4", "--out",
          work / "after", "--force")
    lethe("convert", work / "after", back, "--like", theirs, "--force")
    state = torch.load(back, weights_only=True)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(state, strict=True)
    changed = any(not torch.equal(v, before[k]) for k, v in net.state_dict().items())
    good &= check(f"{name}: strict=True, weights_only=True, other weights than before", changed)
    good &= same_logits(f"{name}: lethe -> PyTorch", lethe.test_logits(work / "after"), logits_of(net, x, normalizes))
    lethe("convert", work / "after", work / "back.safetensors", "--force")
    lethe("convert", work / "after", work / "back.npz", "--like", theirs, "--force")
    arrays = np.load(work / "back.npz")
    good &= check(f"{name}: .npz and .pth hold the same", set(arrays.files) == set(state) and
                  all(np.array_equal(arrays[k], v.numpy()) for k, v in state.items()))
    return good & check(f"{name}: safetensors", len(load_file(work / "back.safetensors")) > 60)


def write_data(work, side):
    rng = np.random.default_rng(1)
    arrays = {}
    for split, n in (("train", N_TRAIN), ("test", N_TEST)):
        arrays[f"{split}_x"] = rng.integers(0, 256, (n, 3, side, side), dtype=np.uint8)
        arrays[f"{split}_y"] = (np.arange(n) % CLASSES).astype(np.int64)
    np.savez(work / "data.npz", **arrays)
    return torch.tensor(arrays["test_x"]).float() / 255


def main():
    torch.manual_seed(3)
    torch.set_num_threads(2)
    good = True
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as name:
        lethe = Lethe(sys.argv[1], pathlib.Path(name))
        for case in networks():
            good &= round_trip(lethe, case, write_data(lethe.work, case[4]))
    print(f"PyTorch {torch.__version__}: {'all the same' if good else 'differences'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
