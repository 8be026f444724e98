"""Adversarial attacks and spectral norms."""
import types

import numpy as np

from ._data import Dataset, as_array, as_pixels, pointer
from ._library import Session, check, ffi, lib, text
from ._options import Options
from ._runs import _Compute, as_model


class AttackResult(types.SimpleNamespace):
    """x_adv (N,C,H,W) in [0,1], status (N: 0 wrong before, 1 broken, 2 robust, 3 invalid, 4 not found), clean_pred,
    adv_pred, distance (N), and clean_acc, robust_acc, robust_interval, success_rate, mean_l2, median_l2, mean_distance
    and median_distance (of the examples found, in the norm), queries_f, queries_b, flags."""

    def __repr__(self):
        return f"<lethe.AttackResult: clean accuracy {self.clean_acc:.3f}, robust accuracy {self.robust_acc:.3f}>"


def _array(field, shape, kind):
    kind = np.dtype(kind)
    return np.frombuffer(bytes(ffi.buffer(field, int(np.prod(shape)) * kind.itemsize)), kind).reshape(shape).copy()


def attack(model, x, y, *, attack="pgd", preset=None, arch=None, normalize=None, on_event=None, **options):
    """Adversarial examples of the images x (N,C,H,W; bytes, or numbers in [0,1]) with the labels y, and what they say
    about robustness. preset: published settings, "madry", "lotos" or "fastclip"; options win. options: those of `lethe
    attack`, with underscores: norm, eps, steps, restarts, loss, target, batch, threads, seed, ...; options of one attack
    as {"cw.c": 0.1}: **{...}."""
    session, images, labels = Session(on_event), as_array(x), as_array(y, np.int32)
    if images.dtype == np.uint8:
        images = images.astype(np.float32) / 255
    images = np.ascontiguousarray(images, np.float32)
    if images.ndim != 4 or len(labels) != len(images):
        raise ValueError("attack: expected images (N,C,H,W) and as many labels")
    opened = as_model(model, None, arch, normalize, "x".join(map(str, images.shape[1:])))
    # The data set carries shape and ids; the pixels come from `images`, exactly as given.
    dataset = Dataset((np.zeros(images.shape, np.uint8), labels), opened.n_classes)
    view = ffi.new("lt_view *", lib.lt_view_split(dataset.c, lib.LT_TRAIN))
    view.images, view.labels = pointer(images, "float *"), pointer(labels, "int32_t *")
    models = ffi.new("const lt_model *[]", [opened.c.model])
    target = ffi.new("lt_attack_target *", {"model": models, "n_models": 1})
    spec, chosen = ffi.new("lt_attack_spec *"), Options()
    lib.lt_attack_spec_init(spec)
    compute = _Compute(chosen, session)
    chosen.bind("", lib.lt_attack_spec_options, spec)
    configs = _bind_attacks(chosen)
    spec.seed = options.pop("seed", 1)
    chosen.update(options)
    if preset:
        check(lib.lt_attack_preset_apply(preset.encode(), attack.encode(), chosen.set))
    find = ffi.callback("const void *(const lt_attack *, void *)",
                        lambda a, _: configs.get(text(a.name), ffi.NULL))
    made = ffi.new("lt_robust_result **")
    session.call(lib.lt_robust_evaluate, target, view, attack.encode(), spec, find, ffi.NULL, compute.open(), made)
    return _result(ffi.gc(made[0], lib.lt_robust_result_destroy))


def _bind_attacks(chosen):
    configs, listed, i = {}, lib.lt_attacks(), 0
    while listed[i] != ffi.NULL:
        a = listed[i]
        if a.ops != ffi.NULL and a.cfg_size:
            name = text(a.name)
            configs[name] = ffi.new("char[]", a.cfg_size)
            lib.lt_options_defaults(a.opts, configs[name])
            chosen.bind(name, a.opts, configs[name])
        i += 1
    return configs


def _result(r):
    shape = (r.n, r.c, r.h, r.w)
    return AttackResult(
        x_adv=_array(r.x_adv, shape, np.float32), status=_array(r.status, r.n, np.uint8),
        clean_pred=_array(r.clean_pred, r.n, np.int32), adv_pred=_array(r.adv_pred, r.n, np.int32),
        distance=_array(r.distance, r.n, np.float64), clean_acc=r.clean_acc, robust_acc=r.robust_acc,
        robust_interval=(r.robust_interval[0], r.robust_interval[1]), success_rate=r.success_rate, mean_l2=r.mean_l2,
        median_l2=r.median_l2, mean_distance=r.mean_distance, median_distance=r.median_distance, queries_f=r.n_forward,
        queries_b=r.n_backward,
        flags=[text(lib.lt_robust_flag_name(i)) for i in range(lib.LT_N_FLAGS) if r.flags >> i & 1])


def attacks():
    """name -> title of every attack."""
    result, listed, i = {}, lib.lt_attacks(), 0
    while listed[i] != ffi.NULL:
        if listed[i].ops != ffi.NULL:
            result[text(listed[i].name)] = text(listed[i].title)
        i += 1
    return result


def norms(model, input=(3, 32, 32), *, arch=None, normalize="none", on_event=None, **options):
    """Singular values of every linear layer as the map it is, and a Lipschitz bound of the network.

    Returns {"layers": [{"name", "kind", "sigma" (K), "lower", "upper", "kernel_norm"}, ...], "lipschitz_bound": ...}.
    options: those of `lethe norms`, with underscores: top_k, iterations, tolerance, threads, ...
    """
    session, chosen = Session(on_event), Options()
    opened = as_model(model, None, arch, normalize if arch else None, "x".join(map(str, input)))
    cfg, made = ffi.new("lt_spectra_cfg *"), ffi.new("lt_spectra *")
    lib.lt_options_defaults(lib.lt_spectra_options, cfg)
    compute = _Compute(chosen, session)
    chosen.bind("", lib.lt_spectra_options, cfg)
    cfg.seed = options.pop("seed", 1)
    chosen.update(options)
    session.call(lib.lt_spectra_measure, opened.c.model, cfg, compute.open(), made)
    try:
        layers = [{"name": text(s.name), "kind": text(lib.lt_layer_kind_name(s.kind)),
                   "sigma": [s.sigma[i] for i in range(s.k)], "lower": s.lower, "upper": s.upper,
                   "kernel_norm": s.kernel_norm}
                  for s in (made.layer[i] for i in range(made.n_layers))]
        return {"layers": layers, "lipschitz_bound": made.lipschitz_bound}
    finally:
        lib.lt_spectra_clear(made)
