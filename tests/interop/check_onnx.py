"""Exported networks against each other: ONNX under onnxruntime, C as a shared library. Usage: check_onnx.py MODEL.onnx MODEL.c

Predictions on random images and on smooth ones must be the same but for exact halves, which onnxruntime rounds to even.
Exit code 77 without onnxruntime.
"""
import ctypes
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnxruntime
except ImportError:
    sys.exit(77)

onnx_path, c_path = sys.argv[1:3]
options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # fused kernels round biases
session = onnxruntime.InferenceSession(onnx_path, options, providers=["CPUExecutionProvider"])
_, c, h, w = session.get_inputs()[0].shape
library = tempfile.mktemp(suffix=".so")
subprocess.check_call(["cc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, c_path])
lib = ctypes.CDLL(library)
rng = np.random.default_rng(0)
n = 200
images = rng.integers(0, 256, (n, c, h, w), dtype=np.uint8)
grid = np.linspace(0, 6.28, h)[:, None] * rng.uniform(0.3, 2, (n // 2, 1, 1, 1)) + np.linspace(0, 6.28, w) * rng.uniform(0.3, 2, (n // 2, c, 1, 1))
images[: n // 2] = np.clip(128 + 100 * np.sin(grid) + rng.normal(0, 10, (n // 2, c, h, w)), 0, 255).astype(np.uint8)
logits = session.run(None, {"image": images.astype(np.float32) / np.float32(255)})[0]
own = np.array([lib.lethe_predict(np.ascontiguousarray(x).ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))) for x in images])
differ = int((logits.argmax(1) != own).sum())
print(f"{n} images, {differ} predictions differ, {len(set(own))} classes seen")
assert differ <= n // 100, "onnxruntime and the exported C disagree"
