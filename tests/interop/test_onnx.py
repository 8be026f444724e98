#!/usr/bin/env python3
"""ONNX models: what lethe writes gives the same logits in onnxruntime, what PyTorch exports gives them in lethe.

    test_onnx.py LETHE [WORK_DIRECTORY]     exit code 77 = skipped: this python lacks onnx, onnxruntime or torch
"""
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime
    import torch
except ImportError as error:
    print(f"skipped: {sys.executable}: {error}")
    sys.exit(77)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from test_checkpoints import CLASSES, Lethe, check, randomize, same_logits, write_data  # noqa: E402
from torch_models import ResNet18  # noqa: E402

SPECS = ["resnet18:width=8", "resnet18:width=8,proj-half=1", "resnet18:width=8,bn=0", "resnet18:width=8,mean=0.5+0.4+0.3,std=0.2",
         "resnet18-imagenet:width=8", "resnet20", "vgg19:width=8", "dla:width=8", "simple-conv:width=8", "simple-conv:width=8,bn=0", "single-conv:padding-mode=circular",
         "single-conv:padding-mode=reflect", "single-conv:padding=2,dilation=2"]


def written(lethe, spec, x):
    run, file = lethe.work / "run", lethe.work / "net.onnx"
    lethe("train", "--data", f"npz:{lethe.work}/data.npz", "--model", spec, "--epochs", 1, "--batch", 20, "--out", run, "--force")
    lethe("convert", run, file, "--force")
    onnx.checker.check_model(onnx.load(file), full_check=True)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    theirs = session.run(["logits"], {"image": x.numpy()})[0]
    error = np.linalg.norm(lethe.test_logits(run) - theirs) / np.linalg.norm(theirs)  # after one epoch images differ little
    return check(f"{spec}: lethe -> onnxruntime: logits differ by {error:.1e}", error < 1e-5)


def exported(lethe, x):
    net, file, run = ResNet18((3, 32, 32), CLASSES, width=8), lethe.work / "theirs.onnx", lethe.work / "imported"
    with torch.no_grad():
        for p in net.parameters():  # equal tensors would be written once
            p += 0.01 * torch.randn_like(p)
    randomize(net)
    net.eval()
    keep = {"do_constant_folding": False, "training": torch.onnx.TrainingMode.PRESERVE}
    options = [lethe.program, "convert", file, run, "--model", "resnet18:width=8", "--normalize", "none", "--data",
               f"npz:{lethe.work}/data.npz"]
    torch.onnx.export(net, x, file, dynamo=False, **keep)
    subprocess.run(list(map(str, options)), check=True, stdout=subprocess.DEVNULL)
    with torch.no_grad():
        good = same_logits("PyTorch's exporter -> lethe", lethe.test_logits(run), net(x).numpy())
    torch.onnx.export(net, x, file, dynamo=False)
    folded = subprocess.run([*map(str, options), "--force"], stderr=subprocess.PIPE, text=True)
    return good & check("batch norm that was folded is named", folded.returncode == 3 and "was folded" in folded.stderr)


def main():
    torch.manual_seed(3)
    good = True
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as name:
        lethe = Lethe(sys.argv[1], pathlib.Path(name))
        x = write_data(lethe.work, 32)
        for spec in SPECS:
            good &= written(lethe, spec, x)
        good &= exported(lethe, x)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
