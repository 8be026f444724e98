#!/usr/bin/env python3
"""lethe's search for adversarial neighbours against the same search in PyTorch, alternating on one machine.

    attack.py --model MODEL.safetensors [--samples 1000] [--rounds 3] [--threads 2]     needs CIFAR-10 under $LETHE_DATA

Both look at the same trained model (PyTorch reads lethe's file), the same training images and the same parameters: eps0
0.04, 50 steps of 0.1 eps, up to 11 doublings, batches of 128. PyTorch's is the plain loop of plain_search.py, in the
better of two memory formats. Without --model one is trained, on a few thousand images, into build/. With --device
cuda:0,precision=f32 both work on the card, PyTorch with tf32 allowed when that precision is asked for.

A round times one process after the other, each the whole search; its ratio compares samples a second. The result is the
median ratio of the rounds with the smallest and largest. Beside the wall clock stands the processor time of each search
(of all threads), which says more on a busy machine. That both did the same work is checked, not assumed: the radii in
which samples were found, the steps they took and their distances, sample by sample.
"""
import argparse
import csv
import json
import os
import pathlib
import platform
import resource
import statistics
import struct
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.append(str(ROOT / "tools"))
import plain_errors  # noqa: E402,F401 - one line for a path that is not there

SAME_SHARE = 0.98  # of samples must be found in the same radius; rounding moves some across a boundary


def cifar(folder, ids):
    """Pixels in [0,1] and labels of these training images, from the official binary batches."""
    import torch

    raw = b"".join((pathlib.Path(folder) / f"data_batch_{i}.bin").read_bytes() for i in range(1, 6))
    rows = torch.frombuffer(bytearray(raw), dtype=torch.uint8).reshape(-1, 3073)[torch.tensor(ids)]
    return rows[:, 1:].reshape(-1, 3, 32, 32).float() / 255, rows[:, 0].long()


def metadata(path):
    data = pathlib.Path(path).read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + n])["__metadata__"]


def torch_worker(a):
    """The plain search in one format in this process; prints one JSON object."""
    import torch

    sys.path[:0] = [str(ROOT / "tests" / "interop"), str(HERE)]
    from plain_search import Search
    from tensors import load_file
    from torch_models import from_spec

    torch.set_num_threads(a.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = "precision=tf32" in a.device
    torch.backends.cudnn.benchmark = True
    device = card_of(a.device)
    form = torch.channels_last if a.worker == "channels_last" else torch.contiguous_format
    net, model = from_spec(metadata(a.model)["lethe.model"], (3, 32, 32), 10)
    net.load_state_dict(load_file(a.model), strict=True)
    net.eval().requires_grad_(False).to(device=device, memory_format=form)
    x, y = (t.to(device) for t in cifar(a.cifar, read_ids(a.ids)))
    Search(model, form, steps=2, max_doublings=0).run(x[: a.batch], y[: a.batch], a.batch)  # warm
    search = Search(model, form)
    before = resource.getrusage(resource.RUSAGE_SELF)
    wall, xa, eps, iters, wrong, done = search.run(x, y, a.batch)
    after = resource.getrusage(resource.RUSAGE_SELF)
    delta = (xa - x.cpu()).flatten(1).norm(dim=1)
    print(json.dumps({
        "search_s": wall, "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "gradient_evaluations": search.gradients, "peak_rss_mib": after.ru_maxrss / 1024, "torch": torch.__version__,
        "rows": [{"eps": e, "iters": i, "delta": d, "wrong": w, "ok": o} for e, i, d, w, o in
                 zip(eps.tolist(), iters.tolist(), delta.tolist(), wrong.tolist(), done.tolist())]}))


def card_of(device):
    """PyTorch's name of lethe's device: cuda:1,precision=tf32 or cuda:precision=tf32."""
    if not device:
        return "cpu"
    index = device.partition(":")[2].partition(",")[0]
    return f"cuda:{index}" if index.isdigit() else "cuda:0"


def call(command, what):
    """JSON of a process, and the processor time it took."""
    env = {"GOMP_SPINCOUNT": "5000", **os.environ}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, env=env)
    except OSError as e:
        sys.exit(f"attack: {what}: cannot start {command[0]}: {e.strerror}")
    if done.returncode:
        sys.exit(f"attack: {what} failed ({done.returncode}): {done.stderr.strip()[-600:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return json.loads(done.stdout), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run_torch(a, form):
    return call([sys.executable, __file__, "--worker", form, "--model", a.model, "--ids", a.ids, "--cifar", a.cifar,
                 "--batch", a.batch, "--threads", a.threads, "--device", a.device], f"PyTorch {form}")[0]


def run_lethe(a):
    out = a.work / "set"
    command = [a.program, a.model, f"cifar10:{a.cifar}", f"file:{a.ids}", a.threads, a.batch, out]
    result, cpu = call(command + ([a.device] if a.device else []), "lethe")
    rows = list(csv.DictReader(open(out / "adv.csv")))
    result["cpu_s"] = cpu  # of the whole process, reading the data included
    result["rows"] = [{"eps": float(r["smallest_eps"]), "iters": int(r["iters"]), "delta": float(r["delta_norm"]),
                       "wrong": r["status"] == "clean_wrong", "ok": r["status"] != "failed"} for r in rows]
    return result


def read_ids(path):
    return [int(line) for line in pathlib.Path(path).read_text().split() if line.isdigit()]


def write_ids(a):
    """The first --samples of a fixed spread over the training set: every class, no class-sorted block."""
    if a.ids:
        ids = read_ids(a.ids)
        a.samples = len(ids)
        return
    ids = sorted({(i * 48271) % 50000 for i in range(a.samples)})
    a.ids = a.work / "ids.csv"
    a.ids.write_text("".join(f"{i}\n" for i in ids))


def train_model(a):
    out = ROOT / f"build/attack-w{a.width}"
    print(f"attack: training a model for the search: {out}", file=sys.stderr)
    call([a.lethe, "train", "--data", f"cifar10:{a.cifar},train-limit=3000,test-limit=500", "--model",
          f"resnet18:width={a.width}", "--epochs", 5, "--batch", 64, "--lr", 0.05, "--threads", a.threads, "--out", out,
          "--json", "--quiet"], "lethe train")
    return out / "model.safetensors"


def histogram(rows):
    found = [round(r["eps"], 6) for r in rows if r["ok"] and not r["wrong"]]
    return {f"{eps:g}": found.count(eps) for eps in sorted(set(found))}


def same_work(ours, theirs):
    """How far the two searches agree."""
    n = len(ours)
    mean = lambda rows, key: sum(r[key] for r in rows) / n  # noqa: E731
    return {
        "same_radius": sum(abs(p["eps"] - q["eps"]) < 1e-6 for p, q in zip(ours, theirs)) / n,
        "same_steps": sum(p["iters"] == q["iters"] for p, q in zip(ours, theirs)) / n,
        "same_distance": sum(abs(p["delta"] - q["delta"]) < 1e-3 + 1e-2 * q["delta"] for p, q in zip(ours, theirs)) / n,
        "wrong_before": [sum(r["wrong"] for r in rows) for rows in (ours, theirs)],
        "found": [sum(r["ok"] and not r["wrong"] for r in rows) for rows in (ours, theirs)],
        "failed": [sum(not r["ok"] for r in rows) for rows in (ours, theirs)],
        "mean_steps": [mean(ours, "iters"), mean(theirs, "iters")],
        "mean_delta": [mean(ours, "delta"), mean(theirs, "delta")],
        "radii": [histogram(ours), histogram(theirs)],
    }


def compare(a):
    runs = {name: [] for name in ["lethe", *a.formats]}
    run_lethe(a)  # not counted: fills the tuning file
    for i in range(a.rounds):
        names = list(runs)
        for name in names[i % len(names) :] + names[: i % len(names)]:  # nobody always comes first
            result = run_lethe(a) if name == "lethe" else run_torch(a, name)
            runs[name].append(result)
            print(f"  round {i + 1}/{a.rounds} {name:14s} {a.samples / result['search_s']:8.1f} samples/s  "
                  f"{result['search_s']:7.1f} s  {result['cpu_s']:7.1f} s processor  "
                  f"{result['gradient_evaluations']} gradients", file=sys.stderr, flush=True)
    return runs


def summary(a, runs):
    rate = {name: [a.samples / r["search_s"] for r in results] for name, results in runs.items()}
    cpu = {name: min(r["cpu_s"] for r in results) for name, results in runs.items()}
    best = max(a.formats, key=lambda name: statistics.median(rate[name]))
    cheap = min(a.formats, key=lambda name: cpu[name])
    ratios = [p / q for p, q in zip(rate["lethe"], rate[best])]
    evaluations = {name: results[0]["gradient_evaluations"] for name, results in runs.items()}
    return {
        "model": metadata(a.model)["lethe.model"], "samples": a.samples, "batch": a.batch, "threads": a.threads,
        "device": a.device or "cpu", "rounds": a.rounds, "machine": platform.machine(), "backend": runs["lethe"][0]["backend"],
        "torch": runs[best][0]["torch"], "model_digest": runs["lethe"][0]["model_digest"], "best_format": best,
        "ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios), "ratios": ratios,
        "ratio_best": max(rate["lethe"]) / max(max(rate[name]) for name in a.formats),
        "ratio_cpu": cpu[cheap] / cpu["lethe"], "cpu_s": cpu, "samples_per_s": rate,
        "search_s": {name: [r["search_s"] for r in results] for name, results in runs.items()},
        "gradient_evaluations": evaluations, "ratio_gradients": evaluations[best] / evaluations["lethe"],
        "same_work": same_work(runs["lethe"][0]["rows"], runs[best][0]["rows"]),
    }


def print_table(r):
    same, best = r["same_work"], r["best_format"]
    print(f"\n{r['model']}, {r['samples']} samples, batch {r['batch']}, {r['threads']} threads, {r['rounds']} rounds")
    print(f"lethe on {r['backend']}; PyTorch {r['torch']}, {best}\n")
    print(f"{'':22s}{'lethe':>10s}{'PyTorch':>10s}{'ratio':>8s}")
    ours, theirs = (statistics.median(r["samples_per_s"][n]) for n in ("lethe", best))
    print(f"{'samples a second':22s}{ours:10.2f}{theirs:10.2f}{r['ratio']:7.2f}x  {r['ratio_min']:.2f} .. {r['ratio_max']:.2f}")
    print(f"{'best of all rounds':22s}{max(r['samples_per_s']['lethe']):10.2f}{max(r['samples_per_s'][best]):10.2f}{r['ratio_best']:7.2f}x")
    print(f"{'processor seconds':22s}{r['cpu_s']['lethe']:10.1f}{min(v for k, v in r['cpu_s'].items() if k != 'lethe'):10.1f}{r['ratio_cpu']:7.2f}x")
    print(f"{'gradients evaluated':22s}{r['gradient_evaluations']['lethe']:10d}{r['gradient_evaluations'][best]:10d}{r['ratio_gradients']:7.2f}x")
    print(f"{'found':22s}{same['found'][0]:10d}{same['found'][1]:10d}")
    print(f"{'steps a sample':22s}{same['mean_steps'][0]:10.2f}{same['mean_steps'][1]:10.2f}")
    print(f"{'mean distance':22s}{same['mean_delta'][0]:10.4f}{same['mean_delta'][1]:10.4f}")
    print(f"same radius {100 * same['same_radius']:.1f} %, same number of steps {100 * same['same_steps']:.1f} %, same "
          f"distance {100 * same['same_distance']:.1f} % of samples")
    print(f"samples by radius: lethe {same['radii'][0]}, PyTorch {same['radii'][1]}")


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--lethe", default=str(ROOT / "build/release/cli/lethe"), help="the command, to train a model")
    p.add_argument("--program", default=str(ROOT / "build/release/bench/attack_search"), help="lethe's search")
    p.add_argument("--model", help="model.safetensors of a CIFAR-10 model; default: one is trained")
    p.add_argument("--width", type=int, default=16, help="of the ResNet-18 that is trained")
    p.add_argument("--samples", type=int, default=1000, help="training images searched")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--device", default="", help="cuda:0,precision=f32 and the like; default: the CPU")
    p.add_argument("--formats", default="nchw,channels_last", help="of PyTorch")
    p.add_argument("--require", type=float, default=0, help="exit with 6 when the ratio is lower")
    p.add_argument("--out", default=str(ROOT / "build/attack.json"), help="results as JSON")
    p.add_argument("--worker", help=argparse.SUPPRESS)
    p.add_argument("--ids", metavar="FILE", help="the training images searched, one index a line: those the model was trained on, say; "
                   "default: --samples of a fixed spread over the training set")
    p.add_argument("--cifar", help="directory of CIFAR-10's binary batches; default: $LETHE_DATA/cifar-10-batches-bin")
    a = p.parse_args()
    a.cifar = a.cifar or str(pathlib.Path(os.environ.get("LETHE_DATA", ".")) / "cifar-10-batches-bin")
    if a.worker:
        return a
    a.formats = a.formats.split(",")
    for name in a.formats:
        if name not in ("nchw", "channels_last"):
            p.error(f"--formats: expected nchw or channels_last, found '{name}'")
    for name, least, most in [("samples", 1, 50000), ("rounds", 1, 1000), ("batch", 1, 65536), ("threads", 1, 4096)]:
        if not least <= getattr(a, name) <= most:
            p.error(f"--{name}: expected {least} to {most}, found {getattr(a, name)}")
    if not (pathlib.Path(a.cifar) / "data_batch_1.bin").is_file():
        p.error(f"no data_batch_1.bin in '{a.cifar}': set LETHE_DATA or --cifar; `lethe data get cifar10` fetches it")
    if a.ids and not pathlib.Path(a.ids).is_file():
        p.error(f"--ids: no file '{a.ids}'")
    if a.model and not pathlib.Path(a.model).is_file():
        p.error(f"--model: no file '{a.model}'")
    return a


def main():
    a = arguments()
    try:
        import torch  # noqa: F401
    except ImportError:
        print(f"attack: skipped, {sys.executable} cannot import torch; name a python that can in LETHE_PYTHON")
        return 77
    if a.worker:
        torch_worker(a)
        return 0
    sys.path.insert(0, str(ROOT / "bench"))
    from outfile import open_place

    out = open_place("attack", a.out)
    load = os.getloadavg()[0]
    if load > 0.5 * a.threads:
        print(f"attack: the machine is busy (load {load:.1f}); wall-clock ratios are not to be relied on", file=sys.stderr)
    a.work = ROOT / "build/attack"
    a.work.mkdir(parents=True, exist_ok=True)
    write_ids(a)
    a.model = a.model or train_model(a)
    result = summary(a, compare(a))
    result["load_before"] = load
    print_table(result)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\nwritten to {out}")
    if result["same_work"]["same_radius"] < SAME_SHARE:
        print(f"attack: the searches differ: only {100 * result['same_work']['same_radius']:.1f} % of samples were found in the same radius")
        return 6
    if result["ratio"] < a.require:
        print(f"attack: expected a ratio of {a.require} or more, found {result['ratio']:.2f}")
        return 6
    return 0


if __name__ == "__main__":
    sys.exit(main())
