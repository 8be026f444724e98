#!/usr/bin/env python3
"""Robust accuracy and processor time of lethe's attacks against public packages, alternating on one machine.

    robust.py --model MODEL.safetensors --data SPEC [--limit 200] [--eps 1/255] [--rounds 2] [--attacks pgd,autoattack]
              [--autoattack DIR]     DIR: a checkout of the public auto-attack, if it is not installed

All attack the same trained model (PyTorch reads lethe's file), the same images (those that lethe stores) and the same
radius, with one thread each. pgd: 50 steps of 2.5 eps / 50 from a random start (torchattacks.PGD). autoattack and its
parts: the public auto-attack, version standard. Reported for each: robust accuracy of both, samples whose robustness
differs, processor seconds (lethe's whole process, reading data and compiling plans included; the package's without its
imports), and their ratio, median of the rounds. Exits with 77 when no package is there.
"""
import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "interop"), str(ROOT / "tools"), str(HERE)]
from plain_errors import need_paths  # noqa: E402



def radius(text):
    top, _, bottom = text.partition("/")
    return float(top) / float(bottom or 1)


def run_lethe(a, attack, out):
    command = [a.program, "attack", a.model, "--data", a.data, "--attack", attack, "--norm", a.norm, "--eps", a.eps,
               "--limit", str(a.limit), "--threads", "1", "--save", str(out), "--json", "--quiet"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"robust: lethe failed ({done.returncode}): {done.stderr.strip()[-400:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return json.loads(done.stdout), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def torch_model(path):
    from attack import metadata
    from tensors import load_file
    from torch_models import from_spec

    meta, tensors = metadata(path), load_file(path)
    shape = tuple(int(v) for v in meta["lethe.input"].split("x"))
    net, model = from_spec(meta["lethe.model"], shape, tensors["linear.weight"].shape[0])
    net.load_state_dict(tensors, strict=True)
    net.eval().requires_grad_(False)
    return model


def run_package(a, attack, model, x, y):
    import torch

    start = time.process_time()
    with torch.no_grad():
        right = torch.cat([model(b).argmax(1) for b in x.split(128)]) == y
    if attack == "pgd":
        import torchattacks

        eps = radius(a.eps)
        if a.norm == "linf":
            atk = torchattacks.PGD(model, eps=eps, alpha=2.5 * eps / 50, steps=50, random_start=True)
        else:
            atk = torchattacks.PGDL2(model, eps=eps, alpha=2.5 * eps / 50, steps=50, random_start=True)
        xa = torch.cat([atk(b, c) for b, c in zip(x.split(128), y.split(128))])
        name = "torchattacks " + torchattacks.__version__
    else:
        from autoattack import AutoAttack

        name = "auto-attack"
        aa = AutoAttack(model, norm="Linf" if a.norm == "linf" else "L2", eps=radius(a.eps), version="standard",
                        device="cpu", verbose=False, seed=0)
        if attack != "autoattack":
            aa.attacks_to_run = [attack]
        xa = aa.run_standard_evaluation(x, y, bs=128)
    cpu = time.process_time() - start
    with torch.no_grad():
        robust = (torch.cat([model(b).argmax(1) for b in xa.split(128)]) == y) & right
    return name, robust, cpu


def parse():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--model", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--program", default=str(ROOT / "build" / "release" / "cli" / "lethe"))
    p.add_argument("--attacks", default="pgd,apgd-ce,apgd-t,fab-t,square")
    p.add_argument("--norm", default="linf")
    p.add_argument("--eps", default="1/255")
    p.add_argument("--limit", type=int, default=200)
    p.add_argument("--rounds", type=int, default=1)
    p.add_argument("--autoattack", help="directory that holds the package autoattack")
    p.add_argument("--out")
    return p.parse_args()


def compare(a, attack, model, work):
    import numpy
    import torch

    rows, name = [], ""
    for _ in range(a.rounds):
        result, lethe_s = run_lethe(a, attack, work / "set.npz")
        file = numpy.load(work / "set.npz")
        x, y = torch.from_numpy(file["x"]), torch.from_numpy(file["y"])
        name, robust, package_s = run_package(a, attack, model, x, y)
        ours = torch.from_numpy(file["status"] == 2)
        with torch.no_grad():  # what lethe calls broken, PyTorch must see so
            again = torch.cat([model(b).argmax(1) for b in torch.from_numpy(file["x_adv"]).split(128)])
        rows.append({"lethe_robust_acc": result["robust_acc"], "package_robust_acc": robust.float().mean().item(),
                     "n_different": int((ours != robust).sum()),
                     "n_disagree_on_examples": int(((again == y) & torch.from_numpy(file["status"] == 1)).sum()),
                     "queries_f": result["queries_f"], "queries_b": result["queries_b"], "lethe_cpu_s": lethe_s,
                     "lethe_attack_s": result["wall_s"], "package_cpu_s": package_s, "ratio": package_s / lethe_s})
        print(json.dumps({"attack": attack, "package": name, **rows[-1]}), flush=True)
    return {"attack": attack, "package": name, "median_ratio": statistics.median(r["ratio"] for r in rows), "rounds": rows}


def main():
    a = parse()
    need_paths(a.model, a.program, *([a.autoattack] if a.autoattack else []))
    if a.autoattack:
        sys.path.insert(0, a.autoattack)
    try:
        import torch
    except ImportError:
        print("robust: skipped, no PyTorch", file=sys.stderr)
        sys.exit(77)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torch_model(a.model)
    with tempfile.TemporaryDirectory() as work:
        all_results = [compare(a, attack, model, pathlib.Path(work)) for attack in a.attacks.split(",")]
    result = {"data": a.data, "norm": a.norm, "eps": a.eps, "limit": a.limit, "torch": torch.__version__,
              "attacks": all_results}
    if a.out:
        pathlib.Path(a.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
