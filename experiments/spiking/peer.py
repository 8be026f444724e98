#!/usr/bin/env python3
"""peer.py LETHE [ROUNDS] - processor time and memory of training steps, lethe against SpikingJelly, in turns.

The same network on the same shapes with one thread each: spiking-vgg of width 16, depth 6, SpikingJelly's LIF neuron,
layer norm, 5 steps of 2x32x32 frames, batch 32, AdamW. Processor time of an epoch of 512 samples is the difference of
runs of three and of one epoch, halved, so start-up and data cancel; memory is the peak resident size of the process.
SpikingJelly runs in multi-step mode, its fastest on a CPU.
"""
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile

sys.path.append(f"{sys.path[0]}/../../tools")
from plain_errors import need_arguments, need_paths

T, WIDTH, DEPTH, BATCH, N, SIDE = 5, 16, 6, 32, 512, 32
PEER = f"""
import sys, torch, torch.nn as nn
from spikingjelly.activation_based import neuron, surrogate, layer, functional
torch.set_num_threads(1); torch.manual_seed(0)
T, W, D, B, N, S = {T}, {WIDTH}, {DEPTH}, {BATCH}, {N}, {SIDE}
lif = lambda: neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan(), detach_reset=True, step_mode="m")
mult = [1, 1, 2, 2, 4, 4]
mods, c, s = [], 2, S
for i in range(D):
    k = mult[i] * W
    mods.append(layer.Conv2d(c, k, 3, padding=1, step_mode="m"))
    if i % 2:
        mods.append(layer.MaxPool2d(2, 2, step_mode="m")); s //= 2
    mods += [nn.LayerNorm((k, s, s), elementwise_affine=False), lif()]
    c = k
mods += [layer.Flatten(step_mode="m"), layer.Linear(c * s * s, 8 * W, step_mode="m"), lif(), layer.Linear(8 * W, 10, step_mode="m"), lif()]
net = nn.Sequential(*mods)
x = torch.poisson(torch.full((N, T, 2, S, S), 0.15)); y = torch.randint(0, 10, (N,))
opt = torch.optim.AdamW(net.parameters(), 1e-3)
for e in range(int(sys.argv[1])):
    for i in range(0, N, B):
        out = net(x[i:i + B].transpose(0, 1).contiguous()).sum(0)
        loss = nn.functional.cross_entropy(out, y[i:i + B])
        opt.zero_grad(); loss.backward(); opt.step(); functional.reset_net(net)
"""


def measure(args, env=None):
    """Processor seconds and peak MiB of one child."""
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.execvpe(args[0], args, {**os.environ, **(env or {})})
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"{args[0]} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    need_arguments(1, "LETHE [ROUNDS]")
    need_paths(sys.argv[1])
    lethe, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    rows = {"lethe": [], "spikingjelly": []}
    with tempfile.TemporaryDirectory() as tmp:
        script = os.path.join(tmp, "peer.py")
        open(script, "w").write(PEER)
        for r in range(-1, rounds):  # round -1 is not counted: lethe times its kernels there
            for who in rows if r % 2 == 0 else reversed(rows):
                got = []
                for epochs in (1, 3):
                    if who == "lethe":
                        args = [lethe, "train", "--data", f"moving-glyphs,steps={T},train={N},test=10,side={SIDE}", "--model",
                                f"spiking-vgg:steps={T},width={WIDTH},depth={DEPTH},dropout=0,neuron=spikingjelly-lif", "--epochs",
                                str(epochs), "--batch", str(BATCH), "--optimizer", "adamw", "--lr", "0.001", "--no-augment",
                                "--eval-every", "0", "--threads", "1", "--loader-threads", "0", "--quiet", "--out", f"{tmp}/run{r}-{epochs}"]
                        got.append(measure(args, {"OMP_NUM_THREADS": "1"}))
                    else:
                        got.append(measure([sys.executable, script, str(epochs)], {"OMP_NUM_THREADS": "1"}))
                if r < 0:
                    continue
                rows[who].append(((got[1][0] - got[0][0]) / 2, got[1][1]))
                print(r, who, "%.2f s an epoch, %.0f MiB" % rows[who][-1], flush=True)
    best = {who: (statistics.median(s for s, _ in v), statistics.median(m for _, m in v)) for who, v in rows.items()}
    result = {"rounds": rounds, **{f"{w}_s": round(b[0], 3) for w, b in best.items()}, **{f"{w}_mib": round(b[1]) for w, b in best.items()},
              "ratio_time": round(best["spikingjelly"][0] / best["lethe"][0], 2), "ratio_memory": round(best["spikingjelly"][1] / best["lethe"][1], 2)}
    print(json.dumps(result))


main()
