"""The C declarations of lethe's public headers, in the form that cffi reads.

The headers are preprocessed with the system's C compiler. What comes from the system's own headers, attributes and the
bodies of inline functions are left out: cffi knows the integer types and needs no bodies.
"""
import os
import re
import shlex
import subprocess
import sys

_LINE_MARKER = re.compile(r'# \d+ "([^"]*)"')


def _own_lines(preprocessed, include_dir):
    own = False
    for line in preprocessed.splitlines():
        marker = _LINE_MARKER.match(line)
        if marker:
            own = os.path.abspath(marker.group(1)).startswith(include_dir + os.sep)
        elif own and line.strip() and not line.startswith("#"):
            yield line


def _without_inline_functions(text):
    out, at = [], 0
    for start in re.finditer(r"^static inline\b", text, re.M):
        if start.start() < at:
            continue
        out.append(text[at : start.start()])
        at = text.index("{", start.start())
        depth = 0
        while True:
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
            if depth == 0:
                break
    return "".join(out) + text[at:]


def read_declarations(include_dir):
    """Everything that #include "lethe/lethe.h" declares, as one text."""
    include_dir = os.path.abspath(include_dir)
    command = shlex.split(os.environ.get("CC", "cc")) + [
        "-std=c11", "-E", "-I", include_dir, "-D__attribute__(x)=", os.path.join(include_dir, "lethe", "lethe.h"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError("preprocessing lethe's headers failed: " + done.stderr.strip())
    text = _without_inline_functions("\n".join(_own_lines(done.stdout, include_dir)))
    return text.replace("volatile ", "") + "\n"


if __name__ == "__main__":
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        f.write(read_declarations(sys.argv[1]))
