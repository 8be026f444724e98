"""Where a benchmark leaves its results."""
import pathlib
import sys


def open_place(name, path):
    """The path, its folder made, or the end with one line: before minutes of measuring, not after them."""
    out = pathlib.Path(path)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        new = not out.exists()
        with open(out, "a", encoding="utf-8"):  # rights alone do not tell: think of /proc and of read-only disks
            pass
        if new:
            out.unlink()
    except OSError as e:
        sys.exit(f"{name}: --out {out}: {e.strerror}")
    return out
