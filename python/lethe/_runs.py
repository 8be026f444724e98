"""Models, and the runs that make them: training and unlearning."""
import json
import os
import sys
import tempfile

import numpy as np

from ._data import Dataset, as_dataset, forget_spec, read_tensors, write_state_dict
from ._library import Session, check, ffi, lib, take_text, text
from ._options import Options


class _Compute:
    """Where a call computes: a backend with its threads. Takes the options `device`, `threads`, `precision`, ..."""

    def __init__(self, options, session):
        self.compute = ffi.new("lt_compute *")
        self.threads = ffi.new("lt_threads *")
        lib.lt_options_defaults(lib.lt_compute_options, self.compute)
        lib.lt_options_defaults(lib.lt_threads_options, self.threads)
        self.options = options
        self.session = session
        options.bind("", lib.lt_compute_options, self.compute).bind("", lib.lt_threads_options, self.threads)

    def open(self):
        """The lt_env; to be called when all options are set."""
        self.env = ffi.new("lt_env *")
        check(lib.lt_compute_open(self.compute, self.threads, self.env))
        self._backend = ffi.gc(self.env.backend, lib.lt_backend_destroy)
        self.env.events = self.session.events
        self.env.stop = self.session.stop
        return self.env


class Model:
    """A trained model: a run directory, a model file (.safetensors, .pth, .pt, .npz), a `Run`, or a state_dict.

    `arch` ("resnet18:width=64"), `normalize` ("0.49,0.48,0.45:0.2,0.2,0.2", or "none") and `input` ("3x32x32") say what
    a file or a state_dict cannot say itself."""

    def __init__(self, source, data=None, arch=None, normalize=None, input=None):
        self._scratch = None
        self.state_dict_like = None
        self.is_torch = False
        if isinstance(source, Run):
            path = source.path
        elif isinstance(source, (str, os.PathLike)):
            path = os.fspath(source)
        elif hasattr(source, "items"):
            self._scratch = tempfile.TemporaryDirectory(prefix="lethe-")
            path = os.path.join(self._scratch.name, "state_dict.npz")
            self.is_torch = any(type(v).__module__.split(".")[0] == "torch" for v in source.values())
            write_state_dict(source, path)
            self.state_dict_like = path
        else:
            raise TypeError("model: expected a run, a file or a state_dict, found " + type(source).__name__)
        fallback = ffi.new("lt_model_fallback *")
        kept = [ffi.new("char[]", value.encode()) if value else ffi.NULL for value in (arch, normalize, input)]
        fallback.model, fallback.normalize, fallback.input = kept
        self.path = path
        self.c = ffi.gc(ffi.new("lt_trained_model *"), self._close)
        check(lib.lt_trained_model_open(path.encode(), fallback, data.c if data else ffi.NULL, self.c))

    @staticmethod
    def _close(model):
        lib.lt_trained_model_close(model)
        ffi.release(model)

    @property
    def arch(self):
        return text(self.c.model.spec)

    @property
    def shape(self):
        s = self.c.model.shape
        return s.c, s.h, s.w

    @property
    def n_classes(self):
        return self.c.model.shape.n_classes

    @property
    def digest(self):
        out = ffi.new("char[65]")
        lib.lt_model_digest(self.c.model, out)
        return text(out)

    def state_dict(self):
        """name -> array, with the names that PyTorch's CIFAR ResNets have."""
        return _export(self, None)


def _export(owner, like):
    model = owner.c.model  # which lives as long as its owner
    with tempfile.TemporaryDirectory(prefix="lethe-") as scratch:
        path = os.path.join(scratch, "tensors.npz").encode()
        check(lib.lt_model_export_like(model, like.encode(), path) if like else lib.lt_model_export(model, path))
        return read_tensors(path.decode())


def as_model(source, data=None, arch=None, normalize=None, input=None):
    return source if isinstance(source, Model) else Model(source, data, arch, normalize, input)


class Run:
    """A finished run: `path` (its directory), `result` (what result.json says), and everything in `result` by name:
    run["test_acc"]. A run without a directory of its own choice lives as long as this object."""

    def __init__(self, path, result, scratch=None, like=None, is_torch=False):
        self.path, self.result = path, result
        self._scratch, self._like, self._is_torch = scratch, like, is_torch

    def __getitem__(self, key):
        return self.result[key]

    def state_dict(self):
        """The weights. After unlearning a state_dict: under its names, as PyTorch tensors if it held such."""
        model = Model(self.path)
        arrays = _export(model, self._like.path if self._like else None)
        if self._is_torch:
            torch = sys.modules["torch"]
            return {name: torch.from_numpy(array) for name, array in arrays.items()}
        return arrays

    def __repr__(self):
        shown = ", ".join(f"{k} {self.result[k]:.3f}" for k in ("forget_acc", "retain_acc", "train_acc", "test_acc")
                          if isinstance(self.result.get(k), float))
        return f"<lethe.Run {self.path}: {shown}>"


class _Output:
    """A directory for a run: the given one, or one that is removed with the Run."""

    def __init__(self, out):
        self.scratch = None if out else tempfile.TemporaryDirectory(prefix="lethe-")
        self.path = os.fspath(out) if out else os.path.join(self.scratch.name, "run")
        self.c = ffi.new("char[]", self.path.encode())


def train(data, model="resnet18", *, out=None, seed=1, force=False, on_event=None, **options):
    """Trains `model` on `data` and returns a Run.

    data: a name ("cifar10:PATH", "synthetic") or arrays, see Dataset. options: those of `lethe train`, with underscores:
    epochs, batch, lr, schedule, weight_decay, augment, adversarial, clip_norm, threads, device, ...
    out: the run directory; a finished one with the same options is returned as it is, an interrupted one is continued.
    """
    dataset, session, output = as_dataset(data), Session(on_event), _Output(out)
    order = ffi.new("lt_train_order *")
    lib.lt_train_order_defaults(order)
    chosen = Options()
    compute = _Compute(chosen, session)
    chosen.bind("", lib.lt_train_what_options, ffi.addressof(order[0], "what"))
    chosen.bind("train", lib.lt_train_options, ffi.addressof(order[0], "cfg"))
    chosen.bind("clip", lib.lt_clip_norm_options, ffi.addressof(order[0], "clip"))
    chosen.bind("clip", lib.lt_clip_rule_options, ffi.addressof(order[0], "clip"))
    chosen.update({"data": text(dataset.c.spec), "model": model, **options})
    order.compute = compute.compute[0]
    order.ds, order.env, order.out, order.seed, order.force = dataset.c, compute.open(), output.c, seed, force
    record = ffi.gc(ffi.new("lt_train_record *"), lib.lt_train_record_clear)
    session.call(lib.lt_train_dir, order, record)
    return Run(text(record.dir), json.loads(text(record.json)), output.scratch)


def unlearn(model, data, forget, method="amun", *, arch=None, normalize=None, out=None, seed=1, force=False,
            on_event=None, **options):
    """Makes `model` forget the training samples `forget`, and returns a Run whose state_dict() has the names of the
    model that was given.

    model: a run, a file or a state_dict (see Model; with `arch` and `normalize` where it cannot say them).
    forget: "random:10%", "class:3", "file:LIST.csv", ...; or indices of training samples (Dataset.train_ids; for arrays
    their positions).
    method: "amun", "trw", "salun", "retrain", ...: unlearning_methods(). options: those of
    `lethe unlearn --method METHOD`, with underscores: use_retain_data, lr_area, epochs, batch, threads, ...
    """
    dataset, session, output = as_dataset(data), Session(on_event), _Output(out)
    base = as_model(model, dataset, arch, normalize)
    check(lib.lt_trained_model_check_data(base.c, dataset.c, lib.LT_DATA_TRAINING, session.events))
    found = ffi.new("const lt_unlearn_method **")
    check(lib.lt_unlearn_find(method.encode(), found))
    order, cfg = ffi.new("lt_unlearn_order *"), ffi.new("char[]", found[0].cfg_size + 1)
    lib.lt_unlearn_order_defaults(found[0], cfg, order)
    chosen = Options()
    compute = _Compute(chosen, session)
    chosen.bind("", lib.lt_unlearn_what_options, ffi.addressof(order[0], "what"))
    chosen.bind("unlearn." + method, found[0].opts, cfg)
    with tempfile.TemporaryDirectory(prefix="lethe-") as scratch:
        chosen.update({"method": method, "run": base.path, "forget": forget_spec(forget, scratch), **options})
        order.compute = compute.compute[0]
        order.base, order.ds, order.env, order.out = base.c, dataset.c, compute.open(), output.c
        order.seed, order.force = seed, force
        record = ffi.gc(ffi.new("lt_unlearn_record *"), lib.lt_unlearn_record_clear)
        session.call(lib.lt_unlearn_dir, order, record)
    like = base if base.state_dict_like else None
    return Run(text(record.dir), json.loads(text(record.json)), output.scratch, like, base.is_torch)


def unlearning_methods():
    """name -> title of every unlearning method."""
    result, listed, i = {}, lib.lt_unlearn_methods(), 0
    while listed[i] != ffi.NULL:
        result[text(listed[i].name)] = text(listed[i].title)
        i += 1
    return result


def quantize(model, data, *, bits=4, method="msqe", arch=None, normalize=None, seed=1, on_event=None, **options):
    """Quantization-aware training. Returns a Quantized.

    options: those of `lethe quantize train`, with underscores: act_bits, granularity, fault_rate, chip, encoding,
    variability, epochs, lr, ...
    """
    dataset, session = as_dataset(data), Session(on_event)
    base = as_model(model, dataset, arch, normalize)
    cfg, recipe = ffi.new("lt_quant_cfg *"), ffi.new("lt_train_cfg *")
    lib.lt_options_defaults(lib.lt_quant_options, cfg)
    lib.lt_options_defaults(lib.lt_quant_chip_options, ffi.addressof(cfg[0], "device"))
    lib.lt_options_defaults(lib.lt_train_options, recipe)
    chosen = Options()
    compute = _Compute(chosen, session)
    chosen.bind("quant", lib.lt_quant_options, cfg)
    chosen.bind("chip", lib.lt_quant_chip_options, ffi.addressof(cfg[0], "device"))
    chosen.bind("train", lib.lt_train_options, recipe)
    chosen.update({"quant.method": method, "bits": bits, "epochs": 15, "lr": 0.05, "weight_decay": 1e-4, **options})
    env = compute.open()
    inputs = ffi.new("lt_quant_in *")
    copy = ffi.new("lt_model **")
    prepared = ffi.new("lt_quant_in *", {"model": base.c.model, "ds": dataset.c, "env": env, "seed": seed,
                                         "train": recipe})
    session.call(lib.lt_quant_activations, cfg, prepared, copy)
    quantized = ffi.gc(copy[0], lib.lt_model_destroy)
    inputs.model, inputs.float_model, inputs.ds, inputs.env = quantized, base.c.model, dataset.c, env
    inputs.seed, inputs.train = seed, recipe
    handle, result = ffi.new("lt_quant **"), ffi.new("lt_quant_result *")
    session.call(lib.lt_quant_train, cfg, inputs, handle, result)
    return Quantized(ffi.gc(handle[0], lib.lt_quant_destroy), quantized, result)


class Quantized:
    """A quantized model: `test_acc_fp`, `test_acc_q` (fractions, NaN without a test split), `bits`, state_dict() (the
    values it computes with) and codes() (integers, levels and steps of every quantized tensor)."""

    def __init__(self, handle, model, result):
        self._quant, self._model = handle, model
        self.test_acc_fp, self.test_acc_q, self.bits, self.levels_hit = result.acc_fp, result.acc, result.bits, result.levels_hit

    def state_dict(self):
        with tempfile.TemporaryDirectory(prefix="lethe-") as scratch:
            path = os.path.join(scratch, "tensors.npz")
            check(lib.lt_model_export(self._model, path.encode()))
            return read_tensors(path)

    def codes(self):
        with tempfile.TemporaryDirectory(prefix="lethe-") as scratch:
            path = os.path.join(scratch, "codes.safetensors")
            check(lib.lt_quant_save(self._quant, path.encode()))
            return read_tensors(path)

    def __repr__(self):
        return f"<lethe.Quantized {self.bits} bits: test accuracy {self.test_acc_q:.3f}, float {self.test_acc_fp:.3f}>"
