#!/usr/bin/env python3
"""PyTorch checkpoints in the forms that people save, with the logits that PyTorch computes from them.

    python3 make_checkpoints.py [DIRECTORY]      (default: checkpoints beside this file; needs torch, numpy)

Run once with each version of PyTorch: the version becomes part of the file names, and files of other versions stay.
test_torchfile.c reads every file that is there. Every network is ResNet-18 of width 1; its weights come from a seed.
"""
import argparse
import collections
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))
from torch_models import ResNet18, ResNet18ImageNet  # noqa: E402

MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]


def randomize(net):
    for name, t in net.state_dict().items():
        if name.endswith("running_var"):
            t.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            t.uniform_(-0.1, 0.1)
        elif name.endswith("num_batches_tracked"):
            t.fill_(7)
        elif t.dim() == 1:
            t.uniform_(0.4, 1.2)
        else:
            t.normal_(0, 0.5)
    return net.eval()


def torchvision_names(sd):
    return collections.OrderedDict(
        (k.replace("shortcut.", "downsample.").replace("linear.", "fc."), v) for k, v in sd.items())


def clipped_names(sd):
    """Those of networks whose layers are wrapped for spectral clipping: convolution and batch norm are one layer."""
    out = collections.OrderedDict()
    for key, v in sd.items():
        layer, leaf = key.rsplit(".", 1)
        parts = layer.split(".")
        if parts[-2:-1] == ["shortcut"]:
            layer = ".".join(parts[:-1]) + (".0.sub_conv1.module" if parts[-1] == "0" else ".0.bn1.module")
        elif parts[-1].startswith("conv"):
            layer += ".sub_conv1.module"
        elif parts[-1].startswith("bn"):
            layer = ".".join(parts[:-1] + ["conv" + parts[-1][2:], "bn1", "module"])
        else:
            layer += ".module"
        out[f"module.{layer}.{leaf}"] = v
        if leaf == "weight" and v.dim() > 1:
            out[f"module.{layer}.weight_VT"] = torch.ones(1, v.shape[1])
    return out


def wrapped_norms(sd):
    """Those of networks in which only batch norms are wrapped."""
    return collections.OrderedDict(
        ("module." + (f"{k.rsplit('.', 1)[0]}.module.{k.rsplit('.', 1)[1]}" if ".bn" in "." + k or "shortcut.1" in k else k),
         v) for k, v in sd.items())


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "checkpoints"
    out.mkdir(exist_ok=True)
    version = ".".join(torch.__version__.split("+")[0].split(".")[:2])
    torch.manual_seed(int(version.split(".")[1]))
    x = torch.rand(2, 3, 32, 32)
    big = torch.rand(2, 3, 64, 64)
    answers = {"x": x.numpy(), "big": big.numpy()}

    net = randomize(ResNet18((3, 32, 32), 10, width=1))
    sd = net.state_dict()
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    F.cross_entropy(net(x), torch.tensor([1, 2])).backward()
    answers["plain"] = net(x).detach().numpy()
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    answers["normalized"] = net((x - mean) / std).detach().numpy()
    half = {k: v.half() if v.is_floating_point() else v for k, v in sd.items()}
    other = randomize(ResNet18((3, 32, 32), 10, width=1))
    other.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in half.items()})
    answers["half"] = other.eval()(x).detach().numpy()
    imagenet = randomize(ResNet18ImageNet((3, 64, 64), 7, width=1))
    answers["imagenet"] = imagenet(big).detach().numpy()
    # The optimizer's state comes after a step that must not change the weights that are saved.
    saved = collections.OrderedDict((k, v.clone()) for k, v in sd.items())
    optimizer.step()

    def save(name, value, **options):
        torch.save(value, out / f"{name}-torch{version}.pth", **options)

    save("plain", saved)
    save("plain-legacy", saved, _use_new_zipfile_serialization=False)
    save("plain-dataparallel", {"net": {"module." + k: v for k, v in saved.items()}, "acc": 91.5, "epoch": 12})
    save("plain-training", {"epoch": 3, "state_dict": torchvision_names(saved), "optimizer": optimizer.state_dict(),
                            "scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5]).state_dict(),
                            "args": argparse.Namespace(lr=0.1, name="run"), "best": np.float64(91.5)})
    save("plain-training-legacy", {"optimizer": optimizer.state_dict(),
                                   "model": {"_orig_mod." + k: v for k, v in saved.items()}},
         _use_new_zipfile_serialization=False)
    normalized = collections.OrderedDict([("normalize.mean", torch.tensor(MEAN)), ("normalize.std", torch.tensor(STD))])
    normalized.update(torchvision_names(saved))
    save("normalized-layer", {"state_dict": normalized, "best_sa": 91.5, "epoch": 181, "init": None})
    save("half", half)
    save("half-protocol4", half, pickle_protocol=4)
    save("imagenet", imagenet.state_dict())
    halved = randomize(ResNet18((3, 32, 32), 10, width=1, proj_half=1))
    answers["halved"] = halved(x).detach().numpy()
    save("halved-layers", {"epoch": 200, "arch": "ResNet18", "state_dict": clipped_names(halved.state_dict())})
    save("halved-norms", {"epoch": 200, "arch": "ResNet18", "state_dict": wrapped_norms(halved.state_dict())})
    np.savez(out / f"answers-torch{version}.npz", **answers)


if __name__ == "__main__":
    main()
