"""Data sets and models: from names, files and arrays."""
import os
import tempfile

import numpy as np

from ._library import InputError, Session, UsageError, check, ffi, lib, text


def as_array(value, dtype=None):
    """A C-contiguous NumPy array of a NumPy array, a PyTorch tensor or a sequence."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if "bfloat16" in str(value.dtype) else value).numpy()
    return np.asarray(value, dtype=dtype, order="C")


def pointer(array, ctype):
    return ffi.cast(ctype, ffi.from_buffer(array))


def as_pixels(images):
    """(N,C,H,W) bytes of images given as bytes, or as floating point numbers in [0,1]."""
    x = as_array(images)
    if x.ndim != 4:
        raise ValueError(f"images: expected an array (N,C,H,W), found {x.ndim} dimensions")
    if x.dtype == np.uint8:
        return x
    if not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"images: expected bytes, or floating point numbers in [0,1], found {x.dtype}")
    if x.size and not (np.isfinite(x).all() and x.min() >= 0 and x.max() <= 1):
        raise ValueError("images: expected floating point numbers in [0,1]")
    return np.ascontiguousarray(np.rint(x * 255), dtype=np.uint8)


class Dataset:
    """A data set: `Dataset("cifar10:/data/cifar-10")`, or `Dataset((x, y, x_test, y_test))` from arrays (N,C,H,W) of
    bytes or of numbers in [0,1], and labels."""

    def __init__(self, source, n_classes=None):
        opened = ffi.new("lt_dataset **")
        if isinstance(source, (str, os.PathLike)):
            self._session = Session()
            self._session.call(lib.lt_dataset_open, os.fspath(source).encode(), self._session.events, opened)
        else:
            self._open_arrays(source, n_classes, opened)
        self.c = ffi.gc(opened[0], lib.lt_dataset_close)

    @staticmethod
    def _open_arrays(source, n_classes, opened):
        parts = tuple(source)
        if len(parts) not in (2, 4):
            raise ValueError(f"data: expected a name, (x, y) or (x, y, x_test, y_test), found {len(parts)} parts")
        x, y = as_pixels(parts[0]), as_array(parts[1], np.int32)
        if len(parts) == 4:
            x_test, y_test = as_pixels(parts[2]), as_array(parts[3], np.int32)
        else:
            x_test, y_test = np.zeros((0, *x.shape[1:]), np.uint8), np.zeros(0, np.int32)
        if len(x) != len(y) or len(x_test) != len(y_test):
            raise ValueError("data: expected as many labels as images")
        if x_test.shape[1:] != x.shape[1:]:
            raise ValueError("data: expected test images of the shape of the training images")
        labels = np.concatenate([y, y_test])
        if n_classes is None:
            n_classes = int(labels.max()) + 1 if labels.size else 1
        check(lib.lt_dataset_from_arrays(*x.shape[1:], n_classes, len(x), pointer(x, "uint8_t *"),
                                         pointer(y, "int32_t *"), len(x_test), pointer(x_test, "uint8_t *"),
                                         pointer(y_test, "int32_t *"), opened))

    def _split(self, split):
        s = self.c.split[split]
        x = np.frombuffer(ffi.buffer(s.x, s.n * self.c.c * self.c.h * self.c.w), np.uint8) if s.n else np.zeros(0, np.uint8)
        y = np.frombuffer(ffi.buffer(s.y, 4 * s.n), np.int32) if s.n else np.zeros(0, np.int32)
        return x.reshape(s.n, self.c.c, self.c.h, self.c.w).copy(), y.copy()

    @property
    def train(self):
        """(x, y): bytes (N,C,H,W) and labels (N) of the training split; copies."""
        return self._split(lib.LT_TRAIN)

    @property
    def test(self):
        return self._split(lib.LT_TEST)

    @property
    def train_ids(self):
        """The official index of every training sample: what forget sets name. For arrays: 0, 1, 2, ..."""
        s = self.c.split[lib.LT_TRAIN]
        return np.frombuffer(bytes(ffi.buffer(s.id, 8 * s.n)), np.int64).copy()

    @property
    def shape(self):
        return self.c.c, self.c.h, self.c.w

    @property
    def n_classes(self):
        return self.c.n_classes

    @property
    def digest(self):
        return text(self.c.digest)

    @property
    def class_names(self):
        return [text(self.c.class_names[i]) for i in range(self.c.n_classes)]

    def __repr__(self):
        return (f"<lethe.Dataset {text(self.c.spec)}: {self.c.split[0].n} + {self.c.split[1].n} images "
                f"{self.c.c}x{self.c.h}x{self.c.w}, {self.c.n_classes} classes>")


def as_dataset(data):
    return data if isinstance(data, Dataset) else Dataset(data)


def forget_spec(forget, directory):
    """The library's text for a forget set: a text as it is, indices as a list that is written to `directory`."""
    if isinstance(forget, str):
        return forget
    rows = as_array(forget)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError("forget: expected a text such as 'random:10%' or 'class:3', or indices")
    path = os.path.join(directory, "forget.csv")
    with open(path, "w", encoding="ascii") as f:
        f.write("index\n" + "".join(f"{int(i)}\n" for i in rows))
    return "file:" + path


class IndexSet:
    """Rows of the training split that a text such as "random:10%" stands for, and the others."""

    def __init__(self, dataset, forget, seed=1):
        with tempfile.TemporaryDirectory() as scratch:
            self.forget = ffi.gc(ffi.new("lt_index_set *"), self._clear)
            check(lib.lt_forget_parse(dataset.c, forget_spec(forget, scratch).encode(), seed, self.forget))
        self.retain = ffi.gc(ffi.new("lt_index_set *"), self._clear)
        check(lib.lt_index_set_complement(dataset.c.split[lib.LT_TRAIN].n, self.forget, self.retain))

    @staticmethod
    def _clear(index_set):
        lib.lt_index_set_clear(index_set)
        ffi.release(index_set)


def forget_rows(data, forget, seed=1):
    """Rows of the training split (positions, not indices) that `forget` stands for, as an array."""
    sets = IndexSet(as_dataset(data), forget, seed)
    return np.array([sets.forget.row[i] for i in range(sets.forget.n)], np.int64)


_DTYPES = {"LT_F32": np.float32, "LT_F64": np.float64, "LT_I32": np.int32, "LT_I64": np.int64, "LT_U8": np.uint8,
           "LT_I8": np.int8}


def read_tensors(path):
    """name -> array of a tensor file (.safetensors, .pth, .pt, .npz). Nothing in a checkpoint is executed."""
    opened = ffi.new("lt_tensor_file **")
    check(lib.lt_tensor_file_open(os.fspath(path).encode(), opened))
    result = {}
    try:
        for i in range(lib.lt_tensor_file_count(opened[0])):
            t = lib.lt_tensor_file_at(opened[0], i)
            kind = ffi.typeof("lt_dtype").elements[int(t.dtype)]
            if kind not in _DTYPES:
                raise InputError("LT_E_FORMAT", f"{path}: tensor {text(t.name)}: no NumPy type for {kind}", "", 3)
            array = np.frombuffer(bytes(ffi.buffer(t.data, t.n_bytes)), _DTYPES[kind])
            result[text(t.name)] = array.reshape([t.dim[d] for d in range(t.n_dims)]).copy()
    finally:
        lib.lt_tensor_file_close(opened[0])
    return result


def write_state_dict(state_dict, path):
    arrays = {name: as_array(value) for name, value in state_dict.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise UsageError("LT_E_USAGE", f"state_dict: {name}: expected numbers, found {array.dtype}", "", 2)
    np.savez(path, **arrays)
