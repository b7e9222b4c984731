"""Builds the native parts: the JPEG kernel, plain C, and the machine code of the kernels, assembled from text.

Neither takes a library or Python headers. The text is in ``machine/``, which ``scripts/build_kernels.py`` makes with
numba and a source distribution carries. Where it is missing, belongs to other sources, or does not suit the machine,
the kernels are left out: numba then compiles them when they are first used.
"""

from __future__ import annotations

import os
import runpy
import shutil
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

NATIVE = Path("ffprep/jpeg/native")
WARNINGS = ["-Wall", "-Wextra", "-Wmissing-prototypes", "-Wstrict-prototypes"]
MACHINE = Path("machine")
BUILDER = Path("scripts/build_kernels.py")
KERNELS = "ffprep.kernels._kernels"


if not os.environ.get("CC", "cc").strip():
    del os.environ["CC"]  # empty, it would stand for a compiler without a name


def text_can_be_used() -> bool:
    """Whether the assembly text is there, of the kernels' sources as they are, and for this machine."""
    if os.environ.get("FFPREP_KERNELS") == "jit" or not BUILDER.exists():
        return False
    builder = runpy.run_path(str(BUILDER))
    return bool(builder["suits_this_machine"]() and builder["up_to_date"]())


class BuildPlainLibraries(build_ext):
    """Names the shared objects without an interpreter tag: they export C functions only."""

    def get_ext_filename(self, ext_name: str) -> str:
        return str(Path(*ext_name.split("."))) + ".so"

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return list(ext.export_symbols)

    def build_extensions(self) -> None:
        compiler: Any = self.compiler
        program = getattr(compiler, "compiler_so", ["cc"])[0]
        if shutil.which(program) is None and not all(self._is_built(extension) for extension in self.extensions):
            raise SystemExit(
                f"ffprep is built with a C compiler, and {program} is not there: install gcc or clang (on Debian and "
                "Ubuntu: apt install gcc libc6-dev), or name another in the variable CC"
            )
        compiler.src_extensions.append(".s")
        super().build_extensions()

    def _is_built(self, extension: Extension) -> bool:
        target = Path(self.get_ext_fullpath(extension.name))
        return target.exists() and not newer_group([*extension.sources, *extension.depends], str(target))


class WheelForEveryPython(bdist_wheel):
    """Names the wheel after the platform alone, since nothing in it is of one Python."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


extensions = [
    Extension(
        "ffprep.jpeg._native",
        sources=sorted(str(p) for p in NATIVE.rglob("*.c")),
        depends=sorted(str(p) for p in NATIVE.rglob("*.h")),
        include_dirs=[str(NATIVE)],
        extra_compile_args=["-std=gnu11", "-O3", "-fvisibility=hidden", *WARNINGS],
    )
]
if text_can_be_used():
    extensions.append(
        Extension(
            KERNELS,
            sources=["ffprep/kernels/native/processor.c", *sorted(str(p) for p in MACHINE.glob("*.[cs]"))],
            extra_link_args=["-Wl,--version-script=ffprep/kernels/native/exports.map", "-Wl,-z,noexecstack"],
            libraries=["m"],
            optional=True,
        )
    )
setup(ext_modules=extensions, cmdclass={"build_ext": BuildPlainLibraries, "bdist_wheel": WheelForEveryPython})
