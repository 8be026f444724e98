"""The Python package: every function on small data, and what it refuses."""
import os
import re
import subprocess
import sys
import tempfile
import unittest

try:
    import cffi  # noqa: F401
    import numpy as np
except ImportError as e:
    print("skipped:", e)
    sys.exit(77)
import lethe
from lethe._library import ffi

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
FORGET = np.arange(20)
QUICK = dict(threads=1, deterministic=True)


def small_data():
    dataset = lethe.Dataset("synthetic,train-limit=120,test-limit=60")
    return (*dataset.train, *dataset.test)


class Fixture(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.data = small_data()
        cls.base = lethe.train(cls.data, "simple-conv:width=4", epochs=2, batch=40, augment=False, **QUICK)


class Layout(unittest.TestCase):
    def test_structs_have_the_size_that_the_compiler_gives_them(self):
        with open(os.path.join(os.path.dirname(lethe.__file__), "declarations.h"), encoding="utf-8") as f:
            names = sorted(set(re.findall(r"^\} (lt_\w+);", f.read(), re.M)))
        self.assertGreater(len(names), 100)
        names = [n for n in names if ffi.typeof(n).kind == "struct"]
        program = '#include "lethe/lethe.h"\n#include <stdio.h>\nint main(void) {\n' + "".join(
            f'printf("%zu\\n", sizeof({n}));\n' for n in names) + "}\n"
        with tempfile.TemporaryDirectory() as scratch:
            source, binary = os.path.join(scratch, "sizes.c"), os.path.join(scratch, "sizes")
            with open(source, "w", encoding="ascii") as f:
                f.write(program)
            subprocess.run(["cc", "-I", os.path.join(SOURCE, "include"), source, "-o", binary], check=True)
            found = subprocess.run([binary], capture_output=True, text=True, check=True).stdout.split()
        self.assertEqual({n: ffi.sizeof(n) for n in names}, dict(zip(names, map(int, found))))


class Data(unittest.TestCase):
    def test_arrays_of_bytes_and_of_numbers_are_the_same_set(self):
        x, y, x_test, y_test = small_data()
        bytes_set = lethe.Dataset((x, y, x_test, y_test))
        self.assertEqual(bytes_set.digest, lethe.Dataset((x / np.float32(255), y, x_test / 255.0, y_test)).digest)
        np.testing.assert_array_equal(bytes_set.train[0], x)
        self.assertEqual(bytes_set.shape, x.shape[1:])

    def test_bad_arrays_are_refused(self):
        x, y, _, _ = small_data()
        for bad in ((x[0], y), (x, y[1:]), (x.astype(np.float32) + 2, y), (x.astype(np.int64), y), (x,)):
            with self.assertRaises(ValueError):
                lethe.Dataset(bad)
        with self.assertRaises(lethe.UsageError):
            lethe.Dataset("synthetic,no-such-key=1")

    def test_forget_sets(self):
        data = small_data()
        np.testing.assert_array_equal(lethe.forget_rows(data, [5, 3, 7]), [3, 5, 7])
        cut = lethe.Dataset("synthetic,train-limit=50,test-limit=10")
        np.testing.assert_array_equal(lethe.forget_rows(cut, cut.train_ids[[4, 2]]), [2, 4])
        self.assertEqual(len(lethe.forget_rows(data, "random:10%")), 12)
        with self.assertRaises(lethe.Error):
            lethe.forget_rows(data, [1000])


class Runs(Fixture):
    def test_training_gives_a_run(self):
        self.assertIn("test_acc", self.base.result)
        self.assertTrue(os.path.exists(os.path.join(self.base.path, "model.safetensors")))
        again = lethe.train(self.data, "simple-conv:width=4", epochs=2, batch=40, augment=False, **QUICK)
        self.assertEqual(again["model_digest"], self.base["model_digest"])

    def test_a_run_in_a_directory_of_its_own_is_kept(self):
        with tempfile.TemporaryDirectory() as scratch:
            out = os.path.join(scratch, "base")
            lethe.train(self.data, "simple-conv:width=4", out=out, epochs=1, **QUICK)
            self.assertEqual(lethe.Model(out).n_classes, 10)

    def test_unlearning_a_state_dict_keeps_its_names(self):
        before = {"module." + k: v for k, v in self.base.state_dict().items()}
        run = lethe.unlearn(before, self.data, FORGET, "ft", arch="simple-conv:width=4", normalize="none", epochs=1,
                            **QUICK)
        after = run.state_dict()
        self.assertEqual(list(after), list(before))
        self.assertEqual(run["n_forget"], len(FORGET))
        self.assertTrue(any((after[k] != before[k]).any() for k in before))

    def test_unlearning_is_the_same_from_a_run_and_from_its_weights(self):
        one = lethe.unlearn(self.base, self.data, FORGET, "ga", epochs=1, lr=0.01, **QUICK)
        other = lethe.unlearn(self.base.state_dict(), self.data, FORGET, "ga", arch="simple-conv:width=4",
                              normalize="none", epochs=1, lr=0.01, batch=40, augment=False, **QUICK)
        self.assertEqual(one["model_digest"], other["model_digest"])

    def test_other_data_is_refused(self):
        x, y, x_test, y_test = self.data
        with self.assertRaises(lethe.IntegrityError):
            lethe.unlearn(self.base, (255 - x, y, x_test, y_test), FORGET, "ft")

    def test_unknown_options_and_methods_name_the_nearest(self):
        with self.assertRaisesRegex(lethe.UsageError, "epochs"):
            lethe.train(self.data, "simple-conv:width=4", epoch=1)
        with self.assertRaisesRegex(lethe.UsageError, "amun"):
            lethe.unlearn(self.base, self.data, FORGET, "amum")
        self.assertIn("amun", lethe.unlearning_methods())

    def test_events_arrive(self):
        names = set()
        lethe.train(self.data, "simple-conv:width=4", epochs=1, on_event=lambda e: names.add(e["name"]), **QUICK)
        self.assertIn("train.epoch", names)

    def test_quantized_weights_lie_on_levels(self):
        q = lethe.quantize(self.base, self.data, bits=2, method="ste", epochs=1, bn_batches=1, **QUICK)
        codes = q.codes()
        name = next(k for k in codes if k.endswith("weight"))
        self.assertLessEqual(len(np.unique(codes[name])), 4)
        self.assertLessEqual(len(np.unique(q.state_dict()[name])), 4)


class Audits(Fixture):
    def test_audit_of_arrays(self):
        s = lethe.signals(self.base, self.data, FORGET, **QUICK)
        self.assertEqual(s.logits.shape, (180, 10))
        self.assertEqual(np.bincount(s.groups).tolist(), [100, 20, 60])
        audit = lethe.audit(s.logits, s.labels, s.groups, oracles=[s.logits[:, ::1]], bootstrap=10)
        right = s.logits.argmax(1) == s.labels
        self.assertAlmostEqual(audit["ua"], right[s.groups == 1].mean(), places=6)
        self.assertAlmostEqual(audit["ta"], right[s.groups == 2].mean(), places=6)
        self.assertEqual(audit.scores["loss"].shape, (180,))
        words = np.array(["retain", "forget", "test"])[s.groups]
        self.assertEqual(lethe.audit(s.logits, s.labels, words, bootstrap=0)["ua"], audit["ua"])

    def test_references_allow_rmia(self):
        rng = np.random.default_rng(0)
        s = lethe.signals(self.base, self.data, FORGET, **QUICK)
        logits = s.logits + rng.normal(size=(4, *s.logits.shape)).astype(np.float32)
        member = np.arange(4)[:, None] % 2 != np.arange(180)[None] % 2
        audit = lethe.audit(s.logits, s.labels, s.groups, references=(logits, member), attacks=["rmia"], bootstrap=0)
        self.assertTrue(np.isfinite(audit["rmia"]["ft_auc"]))
        self.assertEqual(list(audit.scores), ["rmia"])

    def test_bad_arrays_are_refused(self):
        s = lethe.signals(self.base, self.data, FORGET, **QUICK)
        with self.assertRaises(lethe.InputError):
            lethe.audit(np.full_like(s.logits, np.nan), s.labels, s.groups)
        with self.assertRaises(lethe.InputError):
            lethe.audit(s.logits, s.labels + 100, s.groups)
        with self.assertRaises(ValueError):
            lethe.audit(s.logits, s.labels, np.array(["train"] * len(s.groups)))
        with self.assertRaises(lethe.UsageError):
            lethe.audit(s.logits, s.labels, s.groups, attacks="rmia")
        self.assertIn("rmia", lethe.membership_attacks())


class Robustness(Fixture):
    def test_attack_stays_within_its_radius(self):
        x, y, _, _ = self.data
        r = lethe.attack(self.base, x[:16], y[:16], attack="fgsm", eps="8/255", **QUICK)
        self.assertEqual(r.x_adv.shape, (16, *x.shape[1:]))
        self.assertLessEqual(np.abs(r.x_adv - x[:16] / np.float32(255)).max(), 8 / 255 + 1e-6)
        self.assertLessEqual(r.robust_acc, r.clean_acc)
        self.assertAlmostEqual(r.robust_acc, (r.status == 2).mean())
        with self.assertRaises(lethe.UsageError):
            lethe.attack(self.base, x[:2], y[:2], attack="no-such-attack")
        self.assertIn("autoattack", lethe.attacks())

    def test_presets_lie_below_what_is_given(self):
        x, y, _, _ = self.data
        images = x[:16] / np.float32(255)
        r = lethe.attack(self.base, images, y[:16], preset="madry", steps=2, **QUICK)
        self.assertLessEqual(np.abs(r.x_adv - images).max(), 8 / 255)
        small = lethe.attack(self.base, images, y[:16], preset="madry", eps="1/255", steps=2, **QUICK)
        self.assertLessEqual(np.abs(small.x_adv - images).max(), 1 / 255)
        self.assertGreaterEqual(small.robust_acc, r.robust_acc)
        with self.assertRaises(lethe.UsageError):
            lethe.attack(self.base, images, y[:16], preset="madry", attack="square")

    def test_the_nearest_examples_have_distances(self):
        x, y, _, _ = self.data
        r = lethe.attack(self.base, x[:32], y[:32], attack="deepfool", norm="l2", **QUICK)
        found = np.sort(r.distance[r.status == 1])
        self.assertGreater(len(found), 0)
        self.assertAlmostEqual(r.median_distance, np.median(found), places=12)
        self.assertAlmostEqual(r.mean_distance, found.mean(), places=12)

    def test_norms_of_a_linear_layer(self):
        found = lethe.norms(self.base, self.data[0].shape[1:], **QUICK)
        last = found["layers"][-1]
        weight = self.base.state_dict()[last["name"] + ".weight"]
        self.assertAlmostEqual(last["sigma"][0] / np.linalg.norm(weight.reshape(weight.shape[0], -1), 2), 1, places=4)
        self.assertGreater(found["lipschitz_bound"], 0)


if __name__ == "__main__":
    unittest.main()
