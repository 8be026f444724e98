"""Runs every Python example. They need PyTorch."""
import os
import subprocess
import sys

try:
    import cffi  # noqa: F401
    import torch  # noqa: F401
except ImportError as e:
    print("skipped:", e)
    sys.exit(77)
for name in sorted(os.listdir(sys.argv[1])):
    if name.endswith(".py"):
        print(name, flush=True)
        subprocess.run([sys.executable, os.path.join(sys.argv[1], name)], check=True)
