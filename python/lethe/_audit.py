"""Audits of arrays: any framework's models, or lethe's own."""
import io
import json
import types

import numpy as np

from ._data import IndexSet, as_array, as_dataset, pointer
from ._library import Session, check, ffi, lib, take_text, text
from ._options import Options
from ._runs import _Compute, as_model

_GROUPS = {"retain": 0, "forget": 1, "test": 2}


class Signals(types.SimpleNamespace):
    """Outputs of one model: logits (N,K), labels (N), ids (N), groups (N; 0 retain, 1 forget, 2 test)."""


def signals(model, data, forget, *, arch=None, normalize=None, forget_seed=1, on_event=None, **options):
    """What `model` answers, in evaluation mode, on retained, forgotten and test samples of `data`."""
    dataset, session = as_dataset(data), Session(on_event)
    opened = as_model(model, dataset, arch, normalize)
    chosen = Options()
    compute = _Compute(chosen, session)
    chosen.update(options)
    sets, made = IndexSet(dataset, forget, forget_seed), ffi.new("lt_signals **")
    session.call(lib.lt_signals_compute, opened.c.model, dataset.c, sets.forget, sets.retain, compute.open(), made)
    s = ffi.gc(made[0], lib.lt_signals_destroy)
    copied = [np.frombuffer(bytes(ffi.buffer(field, s.n * size)), kind)
              for field, size, kind in ((s.logits, 4 * s.k, np.float32), (s.label, 8, np.int64), (s.id, 8, np.int64),
                                        (s.group, 1, np.int8))]
    return Signals(logits=copied[0].reshape(s.n, s.k).copy(), labels=copied[1].copy(), ids=copied[2].copy(),
                   groups=copied[3].copy())


def _npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _group_numbers(groups):
    g = as_array(groups)
    if g.dtype.kind in "US":
        unknown = set(np.unique(g).tolist()) - set(_GROUPS)
        if unknown:
            raise ValueError(f"groups: expected retain, forget or test, found {sorted(unknown)[0]!r}")
        g = np.array([_GROUPS[name] for name in g.tolist()])
    return g.astype(np.int8)


class Audit:
    """What an audit found: audit["ua"], audit["verdict"], audit["rmia"]["ft_auc"], ... as `lethe audit --json` prints
    it; `report` is the whole dictionary; scores[attack] (N): larger = more likely a member."""

    def __init__(self, report, scores):
        self.report, self.scores = report, scores

    def __getitem__(self, key):
        return self.report[key]

    def __contains__(self, key):
        return key in self.report

    def __repr__(self):
        return f"<lethe.Audit: verdict {self.report.get('verdict')}>"


class _Parsed:
    def __init__(self, logits, labels, groups, ids, label):
        self.bytes = _npz(logits=as_array(logits), labels=labels, ids=ids, group=groups)
        made = ffi.new("lt_signals **")
        check(lib.lt_signals_parse(ffi.from_buffer(self.bytes), len(self.bytes), label.encode(), made))
        self.c = made[0]  # lt_audited_measure takes it


def audit(logits, labels, groups, *, ids=None, oracles=(), references=None, attacks=None, seed=1, threads=0, **options):
    """Membership inference audit of outputs alone, against retrained models.

    logits (N,K), labels (N), groups (N; 0 retain, 1 forget, 2 test, or these words): the audited model, in evaluation
    mode and un-augmented. oracles: logits (N,K) of retrained models on the same samples. references: (logits (M,N,K),
    member (M,N)) of reference models; they allow RMIA and LiRA. attacks: names, or None for all that the references
    allow. options: those of `lethe audit`, with underscores: bootstrap, verdict_margin, shadow_cap, ...
    """
    session, chosen = Session(), Options()
    cfg, verdict = ffi.new("lt_audit_cfg *"), ffi.new("lt_verdict_cfg *")
    chosen.bind("audit", lib.lt_audit_options, cfg, filled=False)
    chosen.bind("audit", lib.lt_verdict_options, verdict, filled=False)
    chosen.update(options)
    cfg.seed = seed
    labels, groups = as_array(labels, np.int64), _group_numbers(groups)
    ids = np.arange(len(labels), dtype=np.int64) if ids is None else as_array(ids, np.int64)
    return _run_audit(session, cfg, verdict, _Parsed(logits, labels, groups, ids, "logits"),
                      [_Parsed(o, labels, groups, ids, f"oracles[{i}]") for i, o in enumerate(oracles)],
                      references, attacks, threads)


def _run_audit(session, cfg, verdict, target, oracles, references, attacks, threads):
    kept = []
    mias = ffi.gc(ffi.new("lt_mia_set *"), lambda m: (lib.lt_mia_set_clear(m), ffi.release(m)))
    spec = ffi.new("lt_mia_set_spec *", {"seed": cfg.seed, "n_threads": threads or lib.lt_usable_cores()})
    if attacks is not None:
        kept.append(ffi.new("char[]", (attacks if isinstance(attacks, str) else ",".join(attacks)).encode()))
        spec.which = kept[-1]
    if references is not None:
        import tempfile
        scratch = tempfile.NamedTemporaryFile(suffix=".npz")
        np.savez(scratch, logits=as_array(references[0]), member=as_array(references[1], np.uint8))
        scratch.flush()
        kept += [scratch, ffi.new("char[]", scratch.name.encode())]
        spec.references = kept[-1]
    check(lib.lt_mia_set_open(spec, target.c, mias))
    audited = [ffi.gc(ffi.new("lt_audited *"), lambda a: (lib.lt_audited_clear(a), ffi.release(a)))
               for _ in range(1 + len(oracles))]
    for parsed, a in zip([target, *oracles], audited):
        session.call(lib.lt_audited_measure, mias, cfg, parsed.c, a)
    subjects, names = ffi.new("lt_audit_subject[]", len(oracles) + 1), []
    for i in range(len(oracles) + 1):
        names.append(ffi.new("char[]", (f"oracles[{i - 1}]" if i else "logits").encode()))
        subjects[i].name, subjects[i].audited = names[-1], audited[i]
    given = ffi.new("lt_audit_in *")
    given.unlearned, given.retrained, given.n_retrained = subjects[0], subjects + 1, len(oracles)
    given.attacks, given.verdict, given.seed = mias, verdict, cfg.seed
    return _finish(session, given, mias, audited[0])


def _finish(session, given, mias, target):
    made = ffi.new("lt_audit_report **")
    check(lib.lt_audit_report_create(given, made))
    report = ffi.gc(made[0], lib.lt_audit_report_destroy)
    session.call(lib.lt_audit_kind_run, lib.LT_AUDIT_membership, ffi.NULL, report)
    session.call(lib.lt_audit_judge, report)
    extra = ffi.new("lt_lint_in *")
    check(lib.lt_audit_report_lint(report, extra))
    result = json.loads(take_text(lib.lt_audit_report_json(report)))
    n = target.signals.n
    scores = {text(mias.mia[i].name): np.frombuffer(bytes(ffi.buffer(target.score[i], 8 * n)), np.float64).copy()
              for i in range(target.n_scores)}
    return Audit(result, scores)


def membership_attacks():
    """name -> title of every membership inference attack."""
    result, listed, i = {}, lib.lt_mia_list(), 0
    while listed[i] != ffi.NULL:
        result[text(listed[i].name)] = text(listed[i].title)
        i += 1
    return result
