#!/usr/bin/env python3
"""A whole deletion - search, update, audit - by lethe and by the authors' public code of AMUN, alternating on one machine.

    deletion.py --amun DIR --run RUN [--forget 500] [--epochs 10] [--lr 0.01] [--rounds 2]     DIR: a checkout of Ali-E/AMUN

RUN is a run of `lethe train` on CIFAR-10 with a train-limit; PyTorch reads its model. Both forget the same samples with
the same steps: PGD-50 from 0.04 with doubling radii in batches of 128, then SGD (momentum 0.9, weight decay 5e-4, batch
128) on the training set and the adversarial examples. lethe: `unlearn` and `audit`, two whole processes. PyTorch: the
authors' PGDL2 and SVC_MIA as they are, and their update as a plain loop over tensors in memory, which leaves out their
data loaders, files and job scripts; its imports and reading of data are not counted. Processor seconds, one thread each.
"""
import argparse
import json
import pathlib
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "interop"), str(ROOT / "tools")]
from plain_errors import need_paths  # noqa: E402

TRAIN, TEST = 0, 2 # groups of a file of signals


def parse():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--amun", required=True, help="directory of the authors' code")
    p.add_argument("--run", required=True, help="trained run")
    p.add_argument("--cifar", required=True, help="directory of the official binary batches")
    p.add_argument("--forget", type=int, default=500)
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--lr", type=float, default=0.01)
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--only", choices=["lethe", "pytorch"], help="one of the two, to profile it")
    p.add_argument("--program", default=str(ROOT / "build" / "release" / "cli" / "lethe"))
    return p.parse_args()


def read_spec(path):
    data = path.read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + n])["__metadata__"]["lethe.model"]


def read_images(folder, names):
    """Pixels in [0,1] and labels of the official binary batches."""
    import torch

    raw = b"".join((pathlib.Path(folder) / f"{name}.bin").read_bytes() for name in names)
    rows = torch.frombuffer(bytearray(raw), dtype=torch.uint8).reshape(-1, 3073)
    return rows[:, 1:].reshape(-1, 3, 32, 32).float() / 255, rows[:, 0].long()


def call_lethe(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"deletion: {' '.join(command[1:3])} failed ({done.returncode}): {done.stderr.strip()[-400:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, json.loads(done.stdout)


def delete_with_lethe(a, ids, work):
    out = work / "forgotten"
    common = ["--threads", "1", "--json", "--quiet"]
    update_s, result = call_lethe([a.program, "unlearn", a.run, "--method", "amun", "--no-adv-only", "--forget", f"file:{ids}",
                                   "--epochs", str(a.epochs), "--lr", str(a.lr), "--lr-step-every", "0", "--batch", "128", "--force", "--out", str(out), *common])
    audit_s, audit = call_lethe([a.program, "audit", str(out), "--allow-lint", *common])
    return {"search_and_update_s": update_s, "audit_s": audit_s, "all_s": update_s + audit_s,
            **{k: result[k] for k in ("retain_acc", "forget_acc", "test_acc")}, "svc_mia": audit["svc_mia"]}


def delete_with_pytorch(a, model, train, test, ids):
    import numpy
    import torch
    from evaluation import SVC_MIA
    from pgdl2_modified import PGDL2
    from torch.utils.data import DataLoader, Subset, TensorDataset

    x, y = train
    start = time.process_time()
    model.eval()
    adv, predicted, eps = [], [], []
    for part in ids.split(128):
        found = PGDL2(model).forward(x[part], y[part])
        adv.append(found[0].detach())
        predicted.append(found[2])
        eps.append(found[3])
    searched = time.process_time()
    all_x, all_y = torch.cat([x, *adv]), torch.cat([y, *predicted])
    wrong = all_y < 0  # the public search leaves -1 where the model is wrong at once
    all_x, all_y = all_x[~wrong], all_y[~wrong]
    model.requires_grad_(True).train()
    optimizer = torch.optim.SGD(model.parameters(), a.lr, momentum=0.9, weight_decay=5e-4)
    for _ in range(a.epochs):
        for b in torch.randperm(len(all_x)).split(128):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(all_x[b]), all_y[b]).backward()
            optimizer.step()
    updated = time.process_time()
    model.eval().requires_grad_(False)
    kept = torch.ones(len(x), dtype=torch.bool)
    kept[ids] = False
    data, held = TensorDataset(x, y), TensorDataset(*test)
    rows = numpy.flatnonzero(kept.numpy())
    load = lambda d: DataLoader(d, batch_size=256)
    acc = lambda d: sum(int((model(u).argmax(1) == v).sum()) for u, v in load(d)) / len(d)
    with torch.no_grad():
        accs = {"retain_acc": acc(Subset(data, rows)), "forget_acc": acc(Subset(data, ids.tolist())), "test_acc": acc(held)}
    mia = SVC_MIA(shadow_train=load(Subset(data, numpy.random.default_rng(0).choice(rows, len(held), replace=False))), shadow_test=load(held),
                  target_train=None, target_test=load(Subset(data, ids.tolist())), model=model)
    end = time.process_time()
    return {"search_s": searched - start, "update_s": updated - searched, "audit_s": end - updated, "all_s": end - start, **accs,
            "svc_mia": {k: float(v) for k, v in mia.items()}}


def main():
    a = parse()
    need_paths(a.amun, a.run, a.cifar, a.program)
    try:
        import torch
    except ImportError:
        print("deletion: skipped, no PyTorch", file=sys.stderr)
        sys.exit(77)
    sys.path.insert(0, a.amun)
    import numpy
    from tensors import load_file
    from torch_models import from_spec

    torch.set_num_threads(1)
    torch.manual_seed(0)
    path = pathlib.Path(a.run) / "model.safetensors"
    spec, tensors = read_spec(path), load_file(path)
    rounds = []
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        call_lethe([a.program, "eval", a.run, "--signals", str(work / "all.npz"), "--threads", "1", "--json", "--quiet"])
        signals = numpy.load(work / "all.npz")
        of = [torch.from_numpy(signals["ids"][signals["group"] == g].astype("int64")) for g in (TRAIN, TEST)]
        train, test = (tuple(t[i] for t in read_images(a.cifar, names))
                       for i, names in zip(of, ([f"data_batch_{i}" for i in range(1, 6)], ["test_batch"])))
        at = torch.randperm(len(of[0]))[: a.forget].sort().values
        listed = work / "ids.csv"
        listed.write_text("\n".join(str(int(i)) for i in of[0][at]) + "\n")
        for _ in range(a.rounds):
            lethe = delete_with_lethe(a, listed, work) if a.only != "pytorch" else None
            if a.only == "lethe":
                print(json.dumps(lethe))
                continue
            net, model = from_spec(spec, (3, 32, 32), 10)
            net.load_state_dict(tensors, strict=True)
            peer = delete_with_pytorch(a, model.requires_grad_(False), train, test, at)
            rounds.append({"lethe": lethe, "pytorch": peer, "ratio": peer["all_s"] / lethe["all_s"] if lethe else None})
            print(json.dumps(rounds[-1]), file=sys.stderr, flush=True)
    if a.only:
        return
    print(json.dumps({"model": spec, "train": len(train[0]), "test": len(test[0]), "forget": a.forget, "epochs": a.epochs, "torch": torch.__version__,
                      "ratio": statistics.median(r["ratio"] for r in rounds), "rounds": rounds}, indent=1))


if __name__ == "__main__":
    main()
