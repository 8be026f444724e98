#!/usr/bin/env python3
"""An adversarial set of lethe, looked at by PyTorch: is every promise kept? [AMUN 2.1, 12.1]

    check_search.py MODEL.safetensors SET_DIRECTORY CIFAR10_DIRECTORY     exit codes: 0 kept, 6 broken, 77 no PyTorch

Reads the model, the set (adv.csv, adv.safetensors) and the official binary batches on its own and checks, in evaluation
mode: samples that did not fail are misclassified, as the class the set says; they lie in the pixel box and within their
radius; the recorded distance is theirs; samples that were already wrong did not move; labels are those of the data.
PyTorch's logits differ from lethe's in the last bits, so a sample whose two largest logits are closer than 1e-3 is only
counted as too close to tell.
"""
import csv
import json
import pathlib
import struct
import sys

try:
    import torch
except ImportError:
    print(f"skipped: {sys.executable} cannot import torch; name a python that can in LETHE_PYTHON")
    sys.exit(77)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from tensors import load_file  # noqa: E402
from torch_models import from_spec  # noqa: E402


def metadata(path):
    data = pathlib.Path(path).read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + n])["__metadata__"]


def cifar_rows(folder):
    raw = b"".join((pathlib.Path(folder) / f"data_batch_{i}.bin").read_bytes() for i in range(1, 6))
    rows = torch.frombuffer(bytearray(raw), dtype=torch.uint8).reshape(-1, 3073)
    return rows[:, 1:].reshape(-1, 3, 32, 32).float() / 255, rows[:, 0].long()


def main():
    model_file, set_dir, cifar = sys.argv[1:4]
    meta = metadata(model_file)
    rows = list(csv.DictReader(open(pathlib.Path(set_dir) / "adv.csv")))
    x_adv = load_file(pathlib.Path(set_dir) / "adv.safetensors")["x_adv"]
    images, labels = cifar_rows(cifar)
    idx = torch.tensor([int(r["idx"]) for r in rows])
    weights = load_file(model_file)
    classes = weights["linear.bias"].numel()
    net, _ = from_spec(meta["lethe.model"], (3, 32, 32), classes)
    net.load_state_dict(weights, strict=True)
    net.eval()
    with torch.no_grad():
        z = torch.cat([net(part) for part in x_adv.split(256)])
    top = z.topk(2, dim=1)
    close = top.values[:, 0] - top.values[:, 1] < 1e-3
    pred = top.indices[:, 0]
    column = lambda name, kind: torch.tensor([kind(r[name]) for r in rows])  # noqa: E731
    label, adv_pred, eps, delta = column("label", int), column("adv_pred", int), column("smallest_eps", float), column("delta_norm", float)
    status = [r["status"] for r in rows]
    sought = torch.tensor([s != "failed" for s in status])
    still = torch.tensor([s == "clean-wrong" or s == "clean_wrong" for s in status])
    moved = (x_adv - images[idx]).flatten(1).norm(dim=1)
    print(f"{len(rows)} samples, {int((~sought).sum())} failed, {int(still.sum())} were wrong before, {int(close.sum())} too close to tell")
    checks = {
        "misclassified": (pred != label) | close | ~sought,
        "as the recorded class": (pred == adv_pred) | close | ~sought,
        "in the pixel box": ((x_adv >= 0) & (x_adv <= 1)).flatten(1).all(1),
        "within the radius": moved <= eps * (1 + 1e-5),
        "recorded distance": (moved - delta).abs() <= 1e-5 + 1e-4 * delta,
        "wrong ones did not move": (moved == 0) | ~still,
    }
    if classes == 10:
        checks["labels of the data"] = labels[idx] == label
    for name, good in checks.items():
        print(f"  {'kept  ' if bool(good.all()) else 'BROKEN'}  {name:26s} {int(good.sum())} of {len(rows)}")
    return 0 if all(bool(good.all()) for good in checks.values()) else 6


if __name__ == "__main__":
    sys.exit(main())
