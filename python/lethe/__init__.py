"""lethe: training, unlearning, membership audits, attacks, spectral norms and quantization of image classifiers.

A thin layer over the C library: NumPy arrays (or PyTorch tensors) in, NumPy arrays out. Options have the names of the
command's, with underscores. Long calls can be interrupted with Ctrl-C; warnings go to the logger "lethe".
"""
from ._audit import Audit, Signals, audit, membership_attacks, signals
from ._data import Dataset, forget_rows, read_tensors
from ._library import DivergedError, Error, InputError, IntegrityError, UsageError
from ._robust import AttackResult, attack, attacks, norms
from ._runs import Model, Quantized, Run, quantize, train, unlearn, unlearning_methods

__all__ = [
    "Audit", "AttackResult", "Dataset", "DivergedError", "Error", "InputError", "IntegrityError", "Model", "Quantized",
    "Run", "Signals", "UsageError", "attack", "attacks", "audit", "forget_rows", "membership_attacks", "norms",
    "quantize", "read_tensors", "signals", "train", "unlearn", "unlearning_methods",
]
__version__ = "0.1.0"
