"""Puts the C library and its declarations into the package. The library comes from the build tree that LETHE_BUILD
names, by default build/release of the checkout; `./run build` makes it when it is missing."""
import os
import shutil
import subprocess
import sys

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.dist import Distribution

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, HERE)
from lethe_declarations import read_declarations  # noqa: E402


def find_library():
    build = os.environ.get("LETHE_BUILD") or os.path.join(ROOT, "build", "release")
    library = os.path.join(build, "cli", "liblethe.so.0")
    if not os.path.exists(library) and "LETHE_BUILD" not in os.environ:
        subprocess.run([os.path.join(ROOT, "run"), "build"], check=True)
    if not os.path.exists(library):
        raise SystemExit(f"lethe: no liblethe.so.0 in {build}/cli")
    return library


def add_library(package_dir):
    os.makedirs(package_dir, exist_ok=True)
    library = find_library()
    shutil.copy(library, os.path.join(package_dir, "liblethe.so.0"))
    plugin = os.path.join(os.path.dirname(library), "liblethe_cuda.so")
    if os.path.exists(plugin):
        shutil.copy(plugin, package_dir)
    with open(os.path.join(package_dir, "declarations.h"), "w", encoding="utf-8") as f:
        f.write(read_declarations(os.path.join(ROOT, "include")))


class BuildWithLibrary(build_py):
    def run(self):
        super().run()
        add_library(os.path.join(self.build_lib, "lethe"))


class PlatformDistribution(Distribution):
    def has_ext_modules(self):  # it holds a shared library, so it is not for every machine
        return True


cmdclass = {"build_py": BuildWithLibrary}
try:
    from wheel.bdist_wheel import bdist_wheel

    class AnyPython(bdist_wheel):
        def get_tag(self):  # nothing in it depends on the version of Python
            return "py3", "none", super().get_tag()[2]

    cmdclass["bdist_wheel"] = AnyPython
except ImportError:
    pass

if __name__ == "__main__":
    setup(cmdclass=cmdclass, distclass=PlatformDistribution)
