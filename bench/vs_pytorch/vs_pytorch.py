#!/usr/bin/env python3
"""lethe against PyTorch doing the same work on the same machine, alternating in one run.

    vs_pytorch.py --lethe build/release/cli/lethe [--rounds 5] [--width 64] [--batch 128] [--workloads train,...]

Each round times, one process after the other, `lethe bench` and PyTorch in each memory format: the SGD training step
(momentum, weight decay, batch norm in training mode), the gradient of the loss with respect to the images in
evaluation mode without weight gradients, and inference. Same architecture (tests/interop/torch_models.py), same batch,
same number of threads. PyTorch's batch lies ready in memory; lethe's training step also loads and augments its own, as
it does in use. A round's ratio compares medians of steps timed within the same minute, so that a busy machine slows
both; the result is the median ratio of the rounds with the smallest and largest. Beside it stands the ratio of the best
steps of all rounds. PyTorch's format is the one with the better median over all rounds. Waiting OpenMP threads of
PyTorch sleep as early as lethe's (GOMP_SPINCOUNT, unless set): on a busy machine spinning ones would slow it.
"""
import argparse
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.append(str(ROOT / "tools"))
import plain_errors  # noqa: E402,F401 - one line for a path that is not there

WORKLOADS = ["train", "input-grad", "infer"]


def time_steps(step, warmup, repeat):
    for _ in range(warmup):
        step()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return times


def torch_worker(a):
    """One workload in one format in this process; prints one JSON object."""
    import torch
    import torch.nn.functional as F

    sys.path.insert(0, str(ROOT / "tests" / "interop"))
    from torch_models import from_spec

    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    net, _ = from_spec(a.model, (3, 32, 32), 10)
    x, y = torch.rand(a.batch, 3, 32, 32), torch.randint(0, 10, (a.batch,))
    words = a.format.split("-")
    if words[0] == "channels_last":
        net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    low = "bf16" in words
    net.train(a.worker == "train")
    if a.worker != "train":
        net.requires_grad_(False)
    if "compile" in words:
        net = torch.compile(net)

    def loss_of(images):
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            return F.cross_entropy(net(images), y)

    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, weight_decay=5e-4) if a.worker == "train" else None

    def train():
        optimizer.zero_grad(set_to_none=True)
        loss_of(x).backward()
        optimizer.step()

    def input_grad():
        images = x.detach().requires_grad_(True)
        torch.autograd.grad(loss_of(images), images)

    def infer():
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=low):
            net(x)

    step = {"train": train, "input-grad": input_grad, "infer": infer}[a.worker]
    times = time_steps(step, a.warmup, a.repeat)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"images_per_s": a.batch / statistics.median(times),
                      "images_per_s_best": a.batch / min(times), "peak_rss_mib": rss, "torch": torch.__version__}))


def call(command, what):
    env = {"GOMP_SPINCOUNT": "5000", **os.environ}
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, env=env)
    except OSError as e:
        sys.exit(f"vs_pytorch: {what}: cannot start {command[0]}: {e.strerror}")
    if done.returncode:
        sys.exit(f"vs_pytorch: {what} failed ({done.returncode}): {done.stderr.strip()[-600:]}")
    return json.loads(done.stdout)


def cpu_name():
    """Model, family and the widest instructions: two machines of one cloud may share a name."""
    try:
        lines = dict(line.split(":", 1) for line in pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0].split("\n"))
    except (OSError, ValueError):
        return platform.processor()
    facts = {k.strip(): v.strip() for k, v in lines.items()}
    widest = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in facts.get("flags", "").split()]
    return f"{facts.get('model name', '?')} family {facts.get('cpu family', '?')} model {facts.get('model', '?')}, {' '.join(widest)}"


def run_torch(a, workload, form):
    return call([sys.executable, __file__, "--worker", workload, "--format", form, "--model", a.model, "--batch", a.batch,
                 "--threads", a.threads, "--warmup", a.warmup, "--repeat", a.repeat], f"PyTorch {form} {workload}")


def run_lethe(a, workload):
    out = call([a.lethe, "bench", "--json", "--quiet", "--model", a.model, "--batch", a.batch, "--threads", a.threads,
                "--workload", workload, "--precision", a.precision, "--conv-algorithm", a.conv_algorithm, "--warmup", a.warmup, "--repeat", a.repeat], f"lethe bench {workload}")
    one = out["workloads"][workload]
    return {"backend": out["backend"], **{k: one[k] for k in ("images_per_s", "images_per_s_best", "peak_rss_mib")}}


def compare(a, workload):
    """Alternates; returns the row of the table."""
    runs = {name: [] for name in ["lethe", *a.formats]}
    for i in range(a.rounds):
        names = list(runs)
        for name in names[i % len(names):] + names[: i % len(names)]:  # nobody always comes first
            result = run_lethe(a, workload) if name == "lethe" else run_torch(a, workload, name)
            runs[name].append(result)
            print(f"  round {i + 1}/{a.rounds} {workload:10s} {name:20s} {result['images_per_s']:8.1f} images/s", file=sys.stderr,
                  flush=True)
    rates = {name: [r["images_per_s"] for r in results] for name, results in runs.items()}
    best = max(a.formats, key=lambda name: statistics.median(rates[name]))
    ratios = [ours / theirs for ours, theirs in zip(rates["lethe"], rates[best])]
    top = {name: max(r["images_per_s_best"] for r in results) for name, results in runs.items()}
    memory = {name: max(r["peak_rss_mib"] for r in results) for name, results in runs.items()}
    return {"workload": workload, "ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios),
            "ratios": ratios, "ratio_best": top["lethe"] / top[best], "images_per_s_best": top, "best_format": best, "images_per_s": {n: statistics.median(r) for n, r in rates.items()},
            "rounds_images_per_s": rates, "peak_rss_mib": memory, "memory_ratio": memory[best] / memory["lethe"],
            "torch": runs[best][0]["torch"], "backend": runs["lethe"][0]["backend"]}


def print_table(a, rows):
    print(f"\n{a.model}, {a.precision}, batch {a.batch}, {a.threads} threads, {a.rounds} rounds of {a.repeat} steps")
    print(f"lethe on {rows[0]['backend']}; PyTorch {rows[0]['torch']}, best of {', '.join(a.formats)}\n")
    print(f"{'workload':12s}{'lethe':>9s}{'PyTorch':>9s}  {'format':16s}{'ratio':>7s}  {'spread':13s}{'best':>7s} {'MiB':>7s}{'MiB PyTorch':>13s}")
    for r in rows:
        best = r["best_format"]
        print(f"{r['workload']:12s}{r['images_per_s']['lethe']:9.1f}{r['images_per_s'][best]:9.1f}  {best:16s}"
              f"{r['ratio']:6.2f}x  {r['ratio_min']:.2f} .. {r['ratio_max']:.2f} {r['ratio_best']:6.2f}x{r['peak_rss_mib']['lethe']:7.0f}"
              f"{r['peak_rss_mib'][best]:13.0f}")


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--lethe", default=str(ROOT / "build/release/cli/lethe"), help="the command")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--repeat", type=int, default=5, help="timed steps a round")
    p.add_argument("--warmup", type=int, default=2, help="steps before them")
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--width", type=int, default=64, help="of ResNet-18, when --model is not given")
    p.add_argument("--model", help="lethe model spec")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--workloads", default=",".join(WORKLOADS))
    p.add_argument("--precision", choices=["f32", "bf16"], default="f32", help="of lethe; bf16 also changes the default formats")
    p.add_argument("--conv-algorithm", choices=["auto", "winograd", "direct"], default="auto", help="of lethe")
    p.add_argument("--formats", help="of PyTorch: nchw or channels_last, then -bf16, then -compile (torch.compile); "
                   "default: both of the precision")
    p.add_argument("--require", default="", metavar="train=2.0,...", help="exit with 6 when a ratio is lower")
    p.add_argument("--out", default=str(ROOT / "build/vs_pytorch.json"), help="results as JSON")
    p.add_argument("--worker", choices=WORKLOADS, help=argparse.SUPPRESS)
    p.add_argument("--format", default="nchw", help=argparse.SUPPRESS)
    a = p.parse_args()
    a.model = a.model or f"resnet18:width={a.width}"
    low = "-bf16" if a.precision == "bf16" else ""
    a.formats = a.formats or f"nchw{low},channels_last{low}"
    a.workloads, a.formats = a.workloads.split(","), a.formats.split(",")
    known = {f + low + how for f in ("nchw", "channels_last") for low in ("", "-bf16") for how in ("", "-compile")}
    for name, allowed in [(w, set(WORKLOADS)) for w in a.workloads] + [(f, known) for f in a.formats]:
        if name not in allowed:
            p.error(f"'{name}': expected one of {', '.join(sorted(allowed))}")
    try:
        a.require = {k: float(v) for k, v in (part.split("=") for part in a.require.split(",") if part)}
    except ValueError:
        p.error(f"--require: expected workload=ratio,..., found '{a.require}'")
    return a


def main():
    a = arguments()
    if a.worker:
        torch_worker(a)
        return 0
    try:
        import torch
    except ImportError:
        print(f"vs_pytorch: skipped, {sys.executable} cannot import torch; name a python that can in LETHE_PYTHON")
        return 77
    if any("compile" in f for f in a.formats) and not hasattr(torch, "compile"):
        print(f"vs_pytorch: PyTorch {torch.__version__} has no torch.compile, which --formats asks for", file=sys.stderr)
        return 2
    sys.path.insert(0, str(ROOT / "bench"))
    from outfile import open_place

    out = open_place("vs_pytorch", a.out)
    load = os.getloadavg()[0]
    if load > 0.5 * a.threads:
        print(f"vs_pytorch: the machine is busy (load {load:.1f}); these ratios are not to be relied on", file=sys.stderr)
    rows = [compare(a, workload) for workload in a.workloads]
    print_table(a, rows)
    result = {"model": a.model, "precision": a.precision, "convolution": a.conv_algorithm, "batch": a.batch, "threads": a.threads, "rounds": a.rounds, "repeat": a.repeat,
              "machine": platform.machine(), "cpu": cpu_name(), "load_before": load, "workloads": {r["workload"]: r for r in rows}}
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\nwritten to {out}")
    low = [r for r in rows if r["ratio"] < a.require.get(r["workload"], 0)]
    for r in low:
        print(f"vs_pytorch: {r['workload']}: expected a ratio of {a.require[r['workload']]} or more, found {r['ratio']:.2f}")
    return 6 if low else 0


if __name__ == "__main__":
    sys.exit(main())
