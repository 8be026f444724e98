#!/usr/bin/env python3
"""Packed 4-bit integer inference against lethe's float inference and onnxruntime's int8 of the same network.

    integer.py [--runs QUANTIZED FLOAT] [--rounds 7] [--images 512] [--threads 1] [--out FILE]

Every round times, one after the other and in turns of who is first, the same test images through: the integer network of
QUANTIZED, the float network FLOAT on lethe's fastest backend, onnxruntime's int8 of FLOAT (its own static quantization,
per channel, calibrated on test images, batch norm folded before), and the ONNX file that lethe exports from QUANTIZED.
Time is processor time of the process, all threads together, so that a busy machine does not change the ratios; wall time is
recorded too. The batch of onnxruntime and of the float network is the fastest of those named by --batches in a trial
before. The result is the median over rounds of the ratio within a round, with all rounds, and what each model weighs.

Without --runs a ResNet-18 (--width) is trained for one epoch on --data and quantized to 4-bit weights and activations
after training: enough for times, not for accuracy.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.append(str(ROOT / "tools"))
import plain_errors  # noqa: E402,F401 - one line for a path that is not there

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads would count as processor time
os.environ.setdefault("GOMP_SPINCOUNT", "0")
try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime import quantization
except ImportError as e:
    print(f"integer: skipped, {e}", file=sys.stderr)
    sys.exit(77)


def read_safetensors(path):
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    head = json.loads(data[8 : 8 + size])
    tensors = {}
    for name, t in head.items():
        if name != "__metadata__" and t["dtype"] == "F32":
            begin, end = t["data_offsets"]
            tensors[name] = np.frombuffer(data[8 + size + begin : 8 + size + end], np.float32).reshape(t["shape"])
    return tensors


class Graph:
    """A CIFAR ResNet-18 as ONNX with batch norm folded into its convolutions, from the usual PyTorch names."""

    def __init__(self, tensors):
        self.t, self.nodes, self.values = tensors, [], []

    def node(self, op, inputs, **attributes):
        out = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [out], **attributes))
        return out

    def value(self, array):
        name = f"c{len(self.values)}"
        self.values.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        return name

    def conv_bn(self, x, conv, bn, stride):
        w, t = self.t[conv + ".weight"], self.t
        scale = t[bn + ".weight"] / np.sqrt(t[bn + ".running_var"] + np.float32(1e-5))
        bias = t[bn + ".bias"] - t[bn + ".running_mean"] * scale
        pad = w.shape[2] // 2
        return self.node("Conv", [x, self.value(w * scale[:, None, None, None]), self.value(bias)], kernel_shape=list(w.shape[2:]),
                         strides=[stride, stride], pads=[pad] * 4)

    def block(self, x, name, stride):
        y = self.node("Relu", [self.conv_bn(x, name + ".conv1", name + ".bn1", stride)])
        y = self.conv_bn(y, name + ".conv2", name + ".bn2", 1)
        if name + ".shortcut.0.weight" in self.t:
            x = self.conv_bn(x, name + ".shortcut.0", name + ".shortcut.1", stride)
        return self.node("Relu", [self.node("Add", [y, x])])

    def model(self, shape):
        x = self.node("Relu", [self.conv_bn("image", "conv1", "bn1", 1)])
        for stage in range(1, 5):
            for i in range(2):
                x = self.block(x, f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1)
        x = self.node("Flatten", [self.node("GlobalAveragePool", [x])])
        x = self.node("Gemm", [x, self.value(self.t["linear.weight"]), self.value(self.t["linear.bias"])], transB=1)
        graph = helper.make_graph(self.nodes, "resnet18", [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *shape])],
                                  [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["n", len(self.t["linear.bias"])])], self.values)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


class Calibration(quantization.CalibrationDataReader):
    def __init__(self, images):
        self.batches = iter([{"image": images[i : i + 32]} for i in range(0, len(images), 32)])

    def get_next(self):
        return next(self.batches, None)


class Runtime:
    """A model under onnxruntime, with all its graph optimizations."""

    def __init__(self, path, images, labels, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.images, self.labels, self.batch = images, labels, 1

    def measure(self):
        right, name = 0, self.session.get_inputs()[0].name
        cpu, wall = time.process_time(), time.perf_counter()
        for i in range(0, len(self.images), self.batch):
            z = self.session.run(None, {name: self.images[i : i + self.batch]})[0]
            right += int((z.argmax(1) == self.labels[i : i + self.batch]).sum())
        return {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall, "right": right}

    def choose_batch(self, batches):
        trial = {}
        for self.batch in batches:
            self.measure()
            trial[self.batch] = min(self.measure()["cpu_s"] for _ in range(2))
        self.batch = min(trial, key=trial.get)


class Worker:
    def __init__(self, a, batch, dump):
        self.process = subprocess.Popen([a.worker, *a.runs, str(a.images), str(a.threads), str(batch), dump], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit("integer: the worker has ended")
        self.about = json.loads(line)

    def measure(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def make_runs(a, folder):
    def lethe(*args):
        subprocess.run([a.lethe, *args, "--threads", str(a.threads), "--quiet"], check=True, stdout=subprocess.DEVNULL)

    plain, quantized = f"{folder}/float", f"{folder}/q4"
    lethe("train", "--data", a.data, "--model", f"resnet18:width={a.width}", "--epochs", "1", "--out", plain)
    lethe("quantize", "ptq", plain, "--bits", "4", "--act-bits", "4", "--bn-batches", "4", "--out", quantized)
    return [quantized, plain]


def float_worker(a, folder):
    """The worker with the batch at which the float network is fastest."""
    trial = {}
    for batch in a.batches:
        w = Worker(a, batch, f"{folder}/images")
        w.measure("float")
        trial[batch] = min(w.measure("float")["cpu_s"] for _ in range(2))
        w.close()
    return Worker(a, min(trial, key=trial.get), f"{folder}/images"), min(trial, key=trial.get)


def summary(rounds, name, n):
    ratios = [r[name]["cpu_s"] / r["integer"]["cpu_s"] for r in rounds]
    return {"ratio": statistics.median(ratios), "ratios": [round(x, 3) for x in ratios],
            "images_per_cpu_s": n / statistics.median(r[name]["cpu_s"] for r in rounds),
            "images_per_s": n / statistics.median(r[name]["wall_s"] for r in rounds), "accuracy": rounds[0][name]["right"] / n}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--runs", nargs=2, metavar=("QUANTIZED", "FLOAT"))
    p.add_argument("--lethe", default=str(ROOT / "build/release/cli/lethe"))
    p.add_argument("--worker", default=str(ROOT / "build/release/bench/integer_worker"))
    p.add_argument("--data", default="synthetic,train=640,test=512")
    p.add_argument("--width", type=int, default=16)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--images", type=int, default=512)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--batches", default="1,16,64", help="batches to try for the float networks and onnxruntime")
    p.add_argument("--out")
    a = p.parse_args()
    a.batches = [int(b) for b in a.batches.split(",")]
    if a.out:
        sys.path.insert(0, str(HERE.parent))
        from outfile import open_place

        a.out = open_place("integer", a.out)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        if not a.runs:
            a.runs = make_runs(a, folder)
        worker, float_batch = float_worker(a, folder)
        about = worker.about
        shape, n = (about["channels"], about["height"], about["width"]), about["images"]
        raw = pathlib.Path(folder, "images").read_bytes()
        per = shape[0] * shape[1] * shape[2]
        images = np.frombuffer(raw[: n * per], np.uint8).reshape(n, *shape).astype(np.float32) / np.float32(255)
        labels = np.frombuffer(raw[n * per :], np.int32)
        onnx.save(Graph(read_safetensors(pathlib.Path(a.runs[1], "model.safetensors"))).model(shape), f"{folder}/float.onnx")
        quantization.quantize_static(f"{folder}/float.onnx", f"{folder}/int8.onnx", Calibration(images[:128]), per_channel=True,
                                     quant_format=quantization.QuantFormat.QDQ, activation_type=quantization.QuantType.QUInt8,
                                     weight_type=quantization.QuantType.QInt8)
        subprocess.run([a.lethe, "quantize", "export", a.runs[0], "--format", "onnx", "--out", f"{folder}/own.onnx", "--quiet"], check=True,
                       stdout=subprocess.DEVNULL)
        runtimes = {"onnxruntime_int8": Runtime(f"{folder}/int8.onnx", images, labels, a.threads),
                    "onnxruntime_export": Runtime(f"{folder}/own.onnx", images, labels, a.threads)}
        for r in runtimes.values():
            r.choose_batch(a.batches)
        sides = {"integer": lambda: worker.measure("integer"), "float": lambda: worker.measure("float"),
                 **{k: r.measure for k, r in runtimes.items()}}
        for side in sides.values():
            side()
        rounds = []
        for i in range(a.rounds):
            order = list(sides) if i % 2 == 0 else list(sides)[::-1]
            rounds.append({name: sides[name]() for name in order})
        worker.close()
        info = about["integer"]
        result = {"benchmark": "integer inference", "quantized": about["quantized"], "float": about["float"], "backend": about["backend"],
                  "kernel": info["kernel"], "onnxruntime": onnxruntime.__version__, "threads": a.threads, "images": n,
                  "batch": {"float": float_batch, **{k: r.batch for k, r in runtimes.items()}}, "load_before": load,
                  "machine": platform.processor() or platform.machine(),
                  "results": {name: summary(rounds, name, n) for name in sides},
                  "bytes": {"integer_read_only": info["weight_bytes"] + info["table_bytes"], "integer_activations": info["activation_bytes"],
                            "float": info["float_bytes"], "onnxruntime_int8": os.path.getsize(f"{folder}/int8.onnx"),
                            "onnxruntime_export": os.path.getsize(f"{folder}/own.onnx")}}
    text = json.dumps(result, indent=1)
    print(text)
    if a.out:
        a.out.write_text(text + "\n")
    r = result["results"]
    print(f"\n4-bit integers ({info['kernel']}): {r['integer']['images_per_cpu_s']:.0f} images a processor second; "
          f"{r['float']['ratio']:.2f}x lethe's float, {r['onnxruntime_int8']['ratio']:.2f}x onnxruntime's int8", file=sys.stderr)


if __name__ == "__main__":
    main()
