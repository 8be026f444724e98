#!/usr/bin/env python3
"""lethe's attacks against other packages, on one trained model and the same images.

    test_attacks.py LETHE [WORK_DIRECTORY] [--model FILE --data SPEC] [--limit 100] [--eps 1/255]
    exit codes: 0 alike, 1 different, 77 skipped: no PyTorch, or none of the packages

Packages: adv-lib 0.2.8 (apgd-ce, fmn, ddn, cw) and foolbox 3.3.4 (ddn, cw). Both write down the same steps and
constants as lethe does, with differences that are asked away here: no polishing (--no-polish), DDN without rounding to
256 levels, the same number of steps. What stays: FMN of adv-lib has no factor of 1.02 and may not cross a boundary, C&W
of both gives up for all images at once, and foolbox's ends farther away. Packages return the image, or a black one,
where they find nothing, so every result is evaluated again, and distances are compared on the images of which both
found an example. torchattacks has no search for the weight of C&W, no FMN and no DDN, and is not compared.

With a radius: robust accuracy within one point (or one image). Without: median distance within 3 % (foolbox's C&W: at
most 3 % above), and no fewer examples than the package found. Without --model a small network is trained on the
built-in images.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import types

try:
    import numpy
    import torch
except ImportError:
    print(f"skipped: {sys.executable} cannot import torch and numpy; name a python that can in LETHE_PYTHON")
    sys.exit(77)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from tensors import load_file, load_metadata  # noqa: E402
from torch_models import from_spec  # noqa: E402

STEPS = {"apgd-ce": 100, "fmn": 100, "ddn": 100, "cw": 100}
CW = {"search": 6, "rate": 0.05, "weight": 0.1}  # fewer and larger steps than the defaults: minutes become seconds
NEARER = {"cw foolbox"}  # lethe's examples may be nearer by more than the tolerance


def import_adv_lib():
    try:
        import visdom  # noqa: F401
    except ImportError:  # adv-lib draws with it when it is asked to
        sys.modules["visdom"] = types.ModuleType("visdom")
    from adv_lib.attacks import apgd, carlini_wagner_l2, ddn, fmn

    def cw(model, x, y):
        return carlini_wagner_l2(model, x, y, learning_rate=CW["rate"], initial_const=CW["weight"],
                                 binary_search_steps=CW["search"], max_iterations=STEPS["cw"])

    return {"apgd-ce": lambda m, x, y, eps: apgd(m, x, y, eps=eps, norm=float("inf"), n_iter=STEPS["apgd-ce"],
                                                 loss_function="ce"),
            "fmn": lambda m, x, y, eps: fmn(m, x, y, norm=2, steps=STEPS["fmn"]),
            "ddn": lambda m, x, y, eps: ddn(m, x, y, steps=STEPS["ddn"], levels=None),
            "cw": lambda m, x, y, eps: cw(m, x, y)}


def import_foolbox():
    import foolbox
    from foolbox.attacks import DDNAttack, L2CarliniWagnerAttack

    def run(attack):
        def call(model, x, y, eps):
            bounded = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
            return attack(bounded, x, y, epsilons=None)[0]
        return call

    return {"ddn": run(DDNAttack(init_epsilon=1.0, steps=STEPS["ddn"], gamma=0.05)),
            "cw": run(L2CarliniWagnerAttack(binary_search_steps=CW["search"], steps=STEPS["cw"], stepsize=CW["rate"],
                                            confidence=0, initial_const=CW["weight"]))}


def packages():
    found = {}
    for name, load in (("adv-lib", import_adv_lib), ("foolbox", import_foolbox)):
        try:
            found[name] = load()
        except ImportError as e:
            print(f"skipped: {name}: {e}")
    return found


def lethe(program, *args):
    done = subprocess.run([program, *map(str, args)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"lethe {args[0]} failed ({done.returncode}): {done.stderr.strip()[-400:]}")
    return done.stdout


def torch_model(path):
    meta, tensors = load_metadata(path), load_file(path)
    shape = tuple(int(v) for v in meta["lethe.input"].split("x"))
    net, model = from_spec(meta["lethe.model"], shape, tensors["linear.weight"].shape[0])
    net.load_state_dict(tensors, strict=True)
    net.eval().requires_grad_(False)
    return model


def attack(a, name, out):
    radius = name == "apgd-ce"
    extra = ["--norm", "linf", "--eps", a.eps] if radius else ["--norm", "l2", "--no-polish"]
    if name == "cw":
        extra += ["--set", f"cw.lr={CW['rate']}", "--set", f"cw.c={CW['weight']}", "--set",
                  f"cw.search-steps={CW['search']}"]
    lethe(a.program, "attack", a.model, "--data", a.data, "--attack", name, "--steps", STEPS[name], "--limit", a.limit,
          "--threads", 1, "--save", out, "--quiet", *extra)
    file = numpy.load(out)
    return {k: torch.from_numpy(file[k]) for k in ("x", "x_adv", "y", "clean_pred", "status", "delta")}


def classes(model, x):
    with torch.no_grad():
        return torch.cat([model(part).argmax(1) for part in x.split(128)])


def report(good, text):
    print(f"{'ok' if good else 'FAILED':7s} {text}", flush=True)
    return good


def compare_radius(a, label, ours, model, x_adv, right):
    theirs = right & (classes(model, x_adv) == ours["y"])
    outside = (x_adv - ours["x"]).abs().max().item() - a.radius
    mine = ours["status"] == 2
    apart = abs(int(mine.sum()) - int(theirs.sum()))
    return report(apart <= max(1, len(mine) // 100) and outside < 1e-6,
                  f"{label}: robust {mine.double().mean():.4f}, package {theirs.double().mean():.4f}; "
                  f"{int((mine != theirs).sum())} of {len(mine)} images differ")


def compare_distance(label, ours, model, x_adv, right):
    theirs = right & (classes(model, x_adv) != ours["y"])
    mine = ours["status"] == 1
    distance = (x_adv.double() - ours["x"].double()).flatten(1).norm(dim=1)
    both = mine & theirs
    if not both.any():
        return report(False, f"{label}: no image of which both found an example")
    ratio = ours["delta"][both] / distance[both]
    medians = ours["delta"][both].median().item(), distance[both].median().item()
    nearer = label in NEARER or medians[0] > 0.97 * medians[1]
    good = nearer and medians[0] < 1.03 * medians[1] and int(mine.sum()) >= int(theirs.sum())
    return report(good, f"{label}: median {medians[0]:.5f}, package {medians[1]:.5f}; ratio by image: median "
                        f"{ratio.median():.4f}, {ratio.quantile(0.05):.3f} to {ratio.quantile(0.95):.3f}; found "
                        f"{int(mine.sum())} and {int(theirs.sum())} of {int(right.sum())}")


def compare(a, found, name, model, work):
    ours = attack(a, name, work / "set.npz")
    right = ours["clean_pred"] == ours["y"]
    wrong = int((right & (ours["status"] == 1) & (classes(model, ours["x_adv"]) == ours["y"])).sum())
    good = report(wrong <= a.limit // 1000 + (name != "apgd-ce"),  # at a boundary, unpolished: rounding decides
                  f"{name}: {wrong} of {int((ours['status'] == 1).sum())} examples are none for PyTorch")
    for package, attacks in found.items():
        if name not in attacks:
            continue
        torch.manual_seed(0)
        x_adv = ours["x"].clone()
        x_adv[right] = attacks[name](model, ours["x"][right], ours["y"][right], a.radius).detach()
        label = f"{name} {package}"
        good &= (compare_radius(a, label, ours, model, x_adv, right) if name == "apgd-ce" else
                 compare_distance(label, ours, model, x_adv, right))
    return good


def parse():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("program")
    p.add_argument("work", nargs="?")
    p.add_argument("--model")
    p.add_argument("--data", default="synthetic,train=1000,test=100")
    p.add_argument("--limit", type=int, default=100)
    p.add_argument("--eps", default="2/255")
    p.add_argument("--attacks", default=",".join(STEPS))
    a = p.parse_args()
    top, _, bottom = a.eps.partition("/")
    a.radius = float(top) / float(bottom or 1)
    return a


def main():
    a = parse()
    found = packages()
    if not found:
        return 77
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=a.work) as name:
        work = pathlib.Path(name)
        if not a.model:
            a.model = work / "run"
            made = json.loads(lethe(a.program, "train", "--data", a.data, "--model", "simple-conv:width=8", "--batch",
                                    50, "--epochs", 16, "--lr", 0.05, "--no-augment", "--seed", 1, "--threads", 1,
                                    "--out", a.model, "--no-record", "--quiet", "--json"))
            report(made["test_acc"] > 0.5, f"a network of {100 * made['test_acc']:.0f} % test accuracy")
        weights = pathlib.Path(a.model)
        model = torch_model(weights / "model.safetensors" if weights.is_dir() else weights)
        good = [compare(a, found, attack_name, model, work) for attack_name in a.attacks.split(",")]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
