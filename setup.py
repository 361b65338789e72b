"""Compiles the library in realesrgan/engine/kernels and packs samples; everything else is in pyproject.toml."""

import importlib.util
import os
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

FOLDER = Path("realesrgan", "engine", "kernels")
SAMPLES = ("cat.jpg", "comic.jpg", "portrait.jpg", "video/clip.mkv")  # as in realesrgan/web/samples.py
REQUIRED = "REALESRGAN_REQUIRE_KERNELS"  # set it where a package without the library would be a mistake

spec = importlib.util.spec_from_file_location("build_kernels", FOLDER / "build.py")
kernels = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kernels)


def compiler_wheel():
    """What the build needs besides setuptools: a compiler from the package index where the machine has none."""
    try:
        kernels.find_compiler()
    except kernels.NotBuilt:
        return ["ziglang"]
    return []


class BuildWithKernels(build_py):
    """Compiles the library if that is possible; without it, the project computes with torch."""

    def run(self):
        super().run()
        if not self.editable_mode:
            self.pack_samples()
        try:
            kernels.build(FOLDER if self.editable_mode else Path(self.build_lib, FOLDER))
        except kernels.NotBuilt as error:
            if os.environ.get(REQUIRED):
                raise
            print(f"installing without the compiled kernels, so torch will compute: {error}", file=sys.stderr)

    def pack_samples(self):
        """Put pictures of inputs/ into the package, for those who have no checkout."""
        for name in SAMPLES:
            target = Path(self.build_lib, "realesrgan", "web", "samples", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(str(Path("inputs", name)), str(target))


class PlatformWheel(bdist_wheel):
    """A package for one kind of processor and any version of Python: the library is no extension module."""

    def get_tag(self):
        return ("py3", "none", super().get_tag()[2])


class WithLibrary(Distribution):
    def has_ext_modules(self):
        return True


setup(
    cmdclass={"build_py": BuildWithKernels, "bdist_wheel": PlatformWheel},
    distclass=WithLibrary,
    setup_requires=compiler_wheel(),
)
