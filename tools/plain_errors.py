"""For scripts of experiments and benchmarks: a path that is not there, or a file that is no JSON, ends them with one line
and exit status 2.

Importing it does so for every path that cannot be opened. Other exceptions keep their traceback: they are faults of the
script, not of its arguments.
"""
import json
import os
import sys


def fail(text):
    print(f"{os.path.basename(sys.argv[0])}: {text}", file=sys.stderr)
    sys.exit(2)


def need_arguments(n, usage):
    """At least n of them, as `usage` names them."""
    if len(sys.argv) <= n:
        fail(f"expected {usage}, found {len(sys.argv) - 1} argument{'' if len(sys.argv) == 2 else 's'}")


def need_paths(*paths):
    for path in paths:
        if not os.path.exists(path):
            fail(f"{path}: No such file or directory")


def read_json(path):
    with open(path) as f:
        try:
            return json.load(f)
        except ValueError as error:  # of the text or of its encoding
            fail(f"{path}: expected JSON, found otherwise: {error}")


def end_with_a_line(kind, error, trace):
    if issubclass(kind, OSError) and error.filename is not None:
        fail(f"{error.filename}: {error.strerror}")
    sys.__excepthook__(kind, error, trace)


sys.excepthook = end_with_a_line
