"""A NIR file of lethe under the NIR reference package. Usage: check_nir.py MODEL.nir OUT.nir

Reads the file, checks the types of its nodes and that every array is finite, and writes it again with the package, so
that lethe can read that one back. Exit code 77 without the package.
"""
import sys

try:
    import nir
    import numpy as np
except ImportError:
    print(f"skipped: {sys.executable} cannot import nir; name a python that can in LETHE_PYTHON")
    sys.exit(77)

source, target = sys.argv[1:3]
graph = nir.read(source)
kinds = [type(node).__name__ for node in graph.nodes.values()]
if kinds.count("Input") != 1 or kinds.count("Output") != 1 or not any(k in ("LIF", "IF", "CubaLIF") for k in kinds):
    sys.exit(f"check_nir: expected one input, one output and neurons, found {sorted(set(kinds))}")
if not {"Conv2d", "Affine", "Linear"} & set(kinds):
    sys.exit(f"check_nir: expected layers with weights, found {sorted(set(kinds))}")
names = set(graph.nodes)
for a, b in graph.edges:
    if a not in names or b not in names:
        sys.exit(f"check_nir: the edge {a} -> {b} names a node that does not exist")
for name, node in graph.nodes.items():
    for key, value in vars(node).items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
            sys.exit(f"check_nir: {name}.{key} is not finite")
nir.write(target, graph)
print(f"{len(names)} nodes: {', '.join(sorted(set(kinds)))}")
