#!/usr/bin/env python3
"""fault.py - runs every verb while its n-th allocation, or its n-th write, fails.

    LETHE=build/release/cli/lethe PRELOAD=build/release/tests/libfail_nth.so python3 tests/fault/fault.py [--kind alloc]
        [--first 30] [--spread 40] [--seed 1] [CASE...]

Each trial starts from the same files, lets one call fail, and looks at what is left:

- the command ended by itself, with an exit code of the contract, one line `lethe: ...` when it is not 0, and nothing on
  standard output then;
- no temporary file and no file that is only half there under its final name;
- the runs and records that were there before are what they were;
- the same command without the failure then ends as an undisturbed one, with the same model.

Allocations are those of the whole process, except inside the libraries that fail_nth.c names. --kind own fails the
allocations of liblethe alone, by its own hook, for builds with a sanitizer; a report of the sanitizer is a failure.
"""
import argparse
import csv
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import urllib.request
import zipfile

DATA = "synthetic,train=64,test=32"
TINY = ["--data", DATA, "--model", "simple-conv:width=4", "--batch", "32"]
EPOCH = ["--epochs", "1", "--threads", "1"]
STUDY = """study: faulty
data: synthetic,train=48,test=24
model: simple-conv:width=4
train: {epochs: 1, batch: 24, lr: 0.05}
bases: [1]
forget: [{spec: "random:25%", seed: 1}]
oracles: [1]
audit: {bootstrap: 20, attacks: [loss]}
methods: [{method: ft, options: {epochs: 1, lr: 0.01}}]
"""

# What is there before: made once, and put back before every trial.
BEFORE = [
    ["train", *TINY, *EPOCH, "--out", "base"],
    ["unlearn", "base", "--method", "retrain", "--forget", "random:10%", "--threads", "1", "--request-id", "r-1", "--out", "retrain"],
    ["unlearn", "base", "--method", "ft", "--forget", "random:10%", *EPOCH, "--request-id", "r-1", "--out", "ft"],
    ["eval", "ft", "--signals", "ft.npz", "--forget", "random:10%", "--threads", "1"],
    ["convert", "base", "base.pth"],
    ["quantize", "ptq", "base", "--bits", "4", "--threads", "1", "--out", "ptq"],
    ["ensemble", "train", "--members", "simple-conv:width=3,bn=0,simple-conv:width=3,bn=0", "--data", DATA, *EPOCH, "--out", "pair"],
    ["store", "train", *TINY, *EPOCH, "--count", "2", "--seed", "0", "--store", "references"],
    ["ledger", "keygen", "--key", "office.key"],
    ["train", *TINY, *EPOCH, "--seed", "7", "--no-record", "--out", "unrecorded"],
]

# name: arguments; what it makes below its name; keys of its JSON that an undisturbed run repeats.
CASES = {
    "train": (["train", *TINY, "--epochs", "2", "--threads", "1", "--out", "new"], ["model_digest", "test_acc"]),
    "train-tensorboard": (["train", *TINY, *EPOCH, "--tensorboard", "--out", "new"], ["model_digest"]),
    "unlearn-amun": (["unlearn", "base", "--method", "amun", "--forget", "random:10%", *EPOCH, "--save-adv", "--out", "new"], ["model_digest", "n_forget"]),
    "unlearn-class": (["unlearn", "base", "--method", "trw", "--forget", "class:3", *EPOCH, "--out", "new"], ["model_digest"]),
    "audit": (["audit", "ft", "--oracle", "retrain", "--allow-lint", "--threads", "1", "--scores", "new.npz"], ["ua", "avg_gap"]),
    "audit-signals": (["audit", "--signals", "ft.npz", "--allow-lint"], ["ua", "ra"]),
    "report": (["report", "base", "retrain", "ft", "--threads", "1", "--out", "new.html"], []),
    "eval": (["eval", "base", "--threads", "1", "--signals", "new.npz"], ["test_acc"]),
    "attack": (["attack", "base", "--attack", "pgd", "--steps", "2", "--limit", "8", "--threads", "1", "--save", "new.npz"], ["robust_acc"]),
    "norms": (["norms", "base", "--clip", "1", "--threads", "1", "--out", "new.safetensors"], ["lipschitz_bound"]),
    "quantize-train": (["quantize", "train", "base", "--bits", "3", "--method", "msqe", *EPOCH, "--out", "new"], ["model_digest", "test_acc_q"]),
    "quantize-population": (["quantize", "population", "ptq", "--chips", "2", "--fault-rate", "0.05", "--threads", "1", "--out", "new"], ["chips"]),
    "quantize-export": (["quantize", "export", "ptq", "--format", "onnx", "--out", "new.onnx"], []),
    "ensemble-train": (["ensemble", "train", "--members", "simple-conv:width=3,bn=0,simple-conv:width=3,bn=0", "--data", DATA, *EPOCH, "--seed", "5", "--method", "lotos", "--out", "new"], ["acc"]),
    "ensemble-eval": (["ensemble", "eval", "pair", "--attack", "fgsm", "--limit", "8", "--threads", "1"], ["robust_acc"]),
    "store-plan": (["store", "plan", *TINY, *EPOCH, "--count", "4", "--seed", "0", "--no-measure", "--store", "references"], ["n_missing"]),
    "store-train": (["store", "train", *TINY, *EPOCH, "--count", "4", "--seed", "0", "--store", "references"], []),
    "store-signals": (["store", "signals", *TINY, *EPOCH, "--count", "2", "--seed", "0", "--store", "references", "--out", "new.npz"], ["n_samples"]),
    "sweep": (["sweep", "study.yaml", "--jobs", "1", "--out", "new"], ["parts.n"]),
    "data-info": (["data", "info", DATA], ["digest"]),
    "data-export": (["data", "export", DATA, "--format", "cifar", "--out", "new"], []),
    "data-export-npz": (["data", "export", DATA, "--out", "new.npz"], []),
    "data-duplicates": (["data", "duplicates", DATA, "--forget", "random:3"], []),
    "convert-pth": (["convert", "base", "new.pth"], ["model_digest"]),
    "convert-npz": (["convert", "base", "new.npz"], []),
    "convert-in": (["convert", "base.pth", "new", "--model", "simple-conv:width=4", "--normalize", "none", "--data", DATA, "--epochs", "1", "--batch", "32", "--lr", "0.05"], ["model_digest"]),
    "inspect": (["inspect", "base", "--plan"], ["model_digest"]),
    "ledger-record": (["ledger", "record", "unrecorded"], []),
    "ledger-list": (["ledger", "list"], ["n_records"]),
    "ledger-show": (["ledger", "show", "1"], []),
    "ledger-sign": (["ledger", "sign", "--key", "office.key"], []),  # signs what a first try has signed, too
    "ledger-export": (["ledger", "export", "--out", "new.json"], []),
    "ledger-receipt": (["ledger", "export", "--request", "r-1", "--out", "new.html"], []),
    "ledger-verify": (["ledger", "verify"], ["n_records"]),
    "ledger-keygen": (["ledger", "keygen", "--key", "new.key"], []),
    "doctor": (["doctor"], []),
    "serve": (["serve", ".", "--port", "0"], ["root"]),  # see VISITS
}
# What a client asks of `lethe serve` before it is interrupted. A request that lacks memory may fail; the server must not.
VISITS = [
    ("/", None),
    ("/api/runs", None),
    ("/api/run?dir=ft", None),
    ("/api/records", None),
    ("/api/methods", None),
    ("/api/queue", None),
    ("/api/queue/check", {"run": "base", "method": "ft", "forget_kind": "class", "forget": "1"}),
    ("/api/queue", {"run": "base", "method": "nothing", "forget_kind": "class", "forget": "1"}),
]
MADE = ["new", "new.npz", "new.html", "new.json", "new.safetensors", "new.pth", "new.onnx", "new.key", "new.key.pub"]
CODES = {"alloc": {0, 1, 7}, "own": {0, 7}, "write": {0, 1, 7}}
OWN_ALLOCATIONS = 3000  # of liblethe in one of these commands, about
COUNTED = struct.Struct("qqq40s")


class Problem(Exception):
    pass


def digest_of(path):
    with open(path, "rb") as f:
        return hashlib.blake2b(f.read(), digest_size=16).hexdigest()


def files_below(top):
    for folder, _, names in os.walk(top):
        for name in names:
            yield os.path.join(folder, name)


def check_file(path):
    """What a reader of this kind of file would trip over when half of it is missing."""
    name = os.path.basename(path)
    if name.startswith(".") and ".tmp-" in name:
        raise Problem(f"{path}: a temporary file is left")
    if "/logs/" in path:  # what a job of a study said before it ended
        return
    with open(path, "rb") as f:
        data = f.read()
    try:
        if name.endswith(".json"):
            json.loads(data)
        elif name.endswith(".jsonl"):
            for line in data.split(b"\n")[:-1]:
                json.loads(line)
        elif name.endswith(".safetensors"):
            n = struct.unpack("<Q", data[:8])[0]
            head = json.loads(data[8:8 + n])
            ends = [t["data_offsets"][1] for key, t in head.items() if key != "__metadata__"]
            if 8 + n + max(ends, default=0) != len(data):
                raise ValueError("its length is not what its head says")
        elif name.endswith((".npz", ".pth")):
            with zipfile.ZipFile(path) as z:
                if z.testzip():
                    raise ValueError("a damaged member")
        elif name.endswith(".html") and not data.rstrip().endswith(b"</html>"):
            raise ValueError("it does not end")
        elif name == "metrics.csv" and not data:  # it grows line by line
            pass
        elif name.endswith(".csv") and not data.endswith(b"\n"):
            raise ValueError("its last line does not end")
        elif name.endswith(".csv"):
            list(csv.reader(data.decode().splitlines()))
    except Problem:
        raise
    except Exception as e:
        raise Problem(f"{path}: half a file under its final name: {e}")


def pick(value, key):
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


class Bench:
    def __init__(self, options, work):
        self.options, self.work = options, work
        self.shared = os.path.join(work, "counters")
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("LETHE_")}
        home = os.path.join(work, "now", "home")
        self.env.update(LETHE_HOME=home, HOME=home, XDG_DATA_HOME=os.path.join(home, "share"), LETHE_CACHE="", OMP_NUM_THREADS="1",
                        LETHE_THREADS="1", LETHE_QUIET="1", LC_ALL="C.UTF-8")
        self.env["LETHE_CUDA_PLUGIN"] = "none"  # NVIDIA's libraries do not survive a lack of memory
        self.env["ASAN_OPTIONS"] = "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")  # of builds with it
        self.now = os.path.join(work, "now")
        self.before = os.path.join(work, "before")
        os.makedirs(os.path.join(self.now, "home"))

    def lethe(self, args, fault=None, json_too=True, count=False):
        env = dict(self.env)
        if fault or count:
            with open(self.shared, "wb") as f:
                f.write(bytes(64))
            env.update(LD_PRELOAD=self.options.preload, LETHE_FAULT_FILE=self.shared)
            if fault:
                env["LETHE_FAULT"] = fault
        command = [self.options.lethe, *args, *(["--json"] if json_too else [])]
        if args[0] == "serve":
            done = self.visit(command, env)
        else:
            done = subprocess.run(command, cwd=self.now, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
        if fault or count:
            with open(self.shared, "rb") as f:
                self.n_alloc, self.n_write, self.n_failed, what = COUNTED.unpack(f.read(COUNTED.size))
            self.what = what.rstrip(b"\0").decode(errors="replace")
        return done

    def visit(self, command, env):
        server = subprocess.Popen(command, cwd=self.now, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        head = line = server.stdout.readline()
        while line not in (b"}\n", b""):
            line = server.stdout.readline()
            head += line
        if b'"url"' in head and line:
            url = json.loads(head)["url"].split("/#token=")
            for path, body in VISITS:
                request = urllib.request.Request(url[0] + path, json.dumps(body).encode() if body else None,
                                                 {"Authorization": "Bearer " + url[1], "Content-Type": "application/json"})
                try:
                    urllib.request.urlopen(request, timeout=60).read()
                except (OSError, http.client.HTTPException):  # an answer of 4xx or 5xx, or none
                    pass
            server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=300)
        return subprocess.CompletedProcess(command, server.returncode, head + out, err)

    def prepare(self):
        with open(os.path.join(self.now, "study.yaml"), "w") as f:
            f.write(STUDY)
        for args in BEFORE:
            done = self.lethe(args, json_too=False)
            if done.returncode:
                sys.exit(f"lethe {' '.join(args)}: exit code {done.returncode}: {done.stderr.decode()}")
        shutil.copytree(self.now, self.before)
        self.kept = {path: digest_of(path) for path in files_below(self.before)}

    def reset(self):
        """Everything that a trial may have changed is put back."""
        for name in os.listdir(self.now):
            path = os.path.join(self.now, name)
            old = os.path.join(self.before, name)
            if name in ("references", "home") or not os.path.exists(old):
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
                if os.path.exists(old):
                    shutil.copytree(old, path)

    def records(self):
        path = os.path.join(self.now, "home", "lethe.db")
        db = sqlite3.connect(path)
        try:
            if db.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                raise Problem("the ledger is damaged")
            return [row[0] for row in db.execute("SELECT digest FROM record ORDER BY id")]
        finally:
            db.close()

    def answer(self, done, keys):
        try:
            said = json.loads(done.stdout)
        except ValueError:
            raise Problem(f"standard output is not one JSON object: {done.stdout[:80]!r}")
        return {key: pick(said, key) for key in keys}

    def made(self):
        """Digests of models and sizes of nothing else: times differ from run to run."""
        found = {}
        for name in MADE + ["references"]:
            top = os.path.join(self.now, name)
            for path in files_below(top) if os.path.isdir(top) else [top] if os.path.exists(top) else []:
                same = os.path.basename(path) in ("model.safetensors", "codes.safetensors", "forget.csv", "signals.npz")
                name = re.sub(r"events\.out\..*", "events", os.path.relpath(path, self.now))  # has the time in it
                found[name] = digest_of(path) if same or path == top and path.endswith((".npz", ".pth", ".onnx")) else ""
        return found

    def trial(self, case, fault, expected):
        args, keys = CASES[case]
        self.reset()
        done = self.lethe(args, fault)
        err = done.stderr.decode(errors="replace")
        try:
            self.judge(case, done, err)
            for top in ("new", "references", "home"):
                for path in files_below(os.path.join(self.now, top)):
                    check_file(path)
            for name in MADE[1:]:
                if os.path.exists(os.path.join(self.now, name)):
                    check_file(os.path.join(self.now, name))
            for name in os.listdir(self.now):
                if name.startswith(".") and ".tmp-" in name:
                    raise Problem(f"{name}: a temporary file is left")
            for path, digest in self.kept.items():
                mine = os.path.join(self.now, os.path.relpath(path, self.before))
                if os.path.basename(path) not in ("lethe.db",) and (not os.path.exists(mine) or digest_of(mine) != digest):
                    raise Problem(f"{os.path.relpath(mine, self.now)}: a file that was there before is changed")
            kept = self.records()
            if kept[:len(self.recorded)] != self.recorded:
                raise Problem("the ledger has lost records")
            again = self.lethe(args)
            if again.returncode == 2 and re.search(b"it exists already|expected no file, found one", again.stderr) and self.made() == expected[1]:
                return done.returncode  # the file had been finished, and what is finished is not overwritten
            if again.returncode:
                raise Problem(f"without the failure: exit code {again.returncode}: {again.stderr.decode(errors='replace').strip()[:300]}")
            found = (self.answer(again, keys), self.made())
            if found != expected and not (done.returncode == 0 and found[0] == expected[0]):
                raise Problem(f"without the failure another result: {[x for x in zip(found, expected) if x[0] != x[1]]}"[:500])
        except (Problem, sqlite3.Error) as e:
            where = f" ({self.what})" if self.what else ""
            raise Problem(f"{case} {fault}{where}: {e}\n    exit code {done.returncode}: {err.strip()[-600:]}")
        return done.returncode

    def judge(self, case, done, err):
        if "Sanitizer" in err:
            raise Problem("a report of the sanitizer")
        if done.returncode < 0 or done.returncode > 128:
            raise Problem(f"ended by a signal ({signal.Signals(abs(done.returncode) % 128).name})")
        jobs_may_fail = {1} if case == "sweep" else set()  # its own failure is 1, whatever stopped the job
        if done.returncode not in CODES[self.options.kind] | jobs_may_fail:
            raise Problem("an exit code that this failure does not have")
        lines = [line for line in err.splitlines() if line.startswith("lethe: ")]
        if done.returncode and len(lines) != 1:
            raise Problem(f"{len(lines)} error lines")
        if done.returncode == 0 and lines:
            raise Problem("an error line and exit code 0")
        if done.returncode and done.stdout and b'"error"' not in done.stdout:
            raise Problem("something on standard output although it failed")

    def run_case(self, case):
        args, keys = CASES[case]
        kind = "write" if self.options.kind == "write" else "alloc"
        self.reset()
        self.recorded = self.records()
        done = self.lethe(args, count=True)
        if done.returncode:
            sys.exit(f"lethe {' '.join(args)}: exit code {done.returncode}: {done.stderr.decode()}")
        total = self.n_write if kind == "write" else self.n_alloc
        expected = (self.answer(done, keys), self.made())
        if self.options.kind == "own":  # which nobody counts: a failure after the last one is none
            total = OWN_ALLOCATIONS
        if case == "train" and not total:
            sys.exit("fault.py: nothing is counted: is the library of --preload loaded?")
        numbers = list(range(1, min(self.options.first, total) + 1))
        rest = range(self.options.first + 1, total + 1)
        numbers += sorted(self.random.sample(rest, min(self.options.spread, len(rest))))
        codes, found = {}, 0
        for i, n in enumerate(numbers):
            how = ("ENOSPC", "EIO", "full")[(n + self.options.seed) % 3] if kind == "write" else "once"
            try:
                code = self.trial(case, f"{self.options.kind}:{n}:{how}", expected)
                codes[code] = codes.get(code, 0) + 1
            except Problem as e:
                found += 1
                print("FAILED:", e, flush=True)
        print(f"{case}: {len(numbers)} of {total} {'writes' if kind == 'write' else 'allocations'} made to fail, exit codes "
              f"{', '.join(f'{code}: {n}' for code, n in sorted(codes.items()))}; {found} problems", flush=True)
        return len(numbers), found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lethe", default=os.environ.get("LETHE"))
    parser.add_argument("--preload", default=os.environ.get("PRELOAD"))
    parser.add_argument("--kind", choices=list(CODES), default="alloc")
    parser.add_argument("--first", type=int, default=30, help="the first calls, each")
    parser.add_argument("--spread", type=int, default=40, help="of the others, drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    options.lethe, options.preload = os.path.abspath(options.lethe), os.path.abspath(options.preload)
    work = tempfile.mkdtemp(prefix="lethe-fault.")
    trials = found = 0
    try:
        bench = Bench(options, work)
        bench.random = random.Random(options.seed)
        bench.prepare()
        for case in options.cases or CASES:
            n, problems = bench.run_case(case)
            trials += n
            found += problems
    finally:
        shutil.rmtree(work)
    print(f"{trials} trials, {found} problems")
    sys.exit(found != 0)


main()
