"""Where a benchmark leaves its results."""
import os
import pathlib
import sys


def open_place(name, path):
    """The path, its folder made, or the end with one line: before minutes of measuring, not after them."""
    out = pathlib.Path(path)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(out if out.exists() else out.parent, os.W_OK) or out.is_dir():
            raise PermissionError(0, "not a file that can be written")
    except OSError as e:
        sys.exit(f"{name}: --out {out}: {e.strerror}")
    return out
