"""Installs the package with pip from a copy of the checkout's python folder, without a network, and imports it."""
import os
import subprocess
import sys
import tempfile

source, build = sys.argv[1:]
try:
    import setuptools  # noqa: F401
    import wheel  # noqa: F401
    import pip  # noqa: F401
    import cffi  # noqa: F401
except ImportError as e:
    print("skipped:", e)
    sys.exit(77)
with tempfile.TemporaryDirectory() as scratch:
    target = os.path.join(scratch, "site")
    copy = os.path.join(scratch, "checkout")
    os.makedirs(copy)
    for part in ("python", "include"):
        subprocess.run(["cp", "-r", os.path.join(source, part), copy], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-build-isolation", "--no-deps",
                    "--target", target, os.path.join(copy, "python")],
                   check=True, env={**os.environ, "LETHE_BUILD": build, "PIP_ROOT_USER_ACTION": "ignore"})
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    found = subprocess.run([sys.executable, "-c", "import lethe; print(lethe.__file__, len(lethe.unlearning_methods()))"],
                           check=True, capture_output=True, text=True, cwd=scratch,
                           env={**environment, "PYTHONPATH": target}).stdout
    assert found.startswith(target), found
    assert int(found.split()[1]) > 10, found
