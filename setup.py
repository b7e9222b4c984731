"""Builds the one native part, the JPEG kernel: plain C, no library and no Python headers."""

from __future__ import annotations

from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

NATIVE = Path("ffprep/jpeg/native")
WARNINGS = ["-Wall", "-Wextra", "-Wmissing-prototypes", "-Wstrict-prototypes"]


class BuildPlainLibrary(build_ext):
    """Names the shared object ``_native.so`` without an interpreter tag: it exports C functions only."""

    def get_ext_filename(self, ext_name: str) -> str:
        return str(Path(*ext_name.split("."))) + ".so"

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return list(ext.export_symbols)


setup(
    ext_modules=[
        Extension(
            "ffprep.jpeg._native",
            sources=sorted(str(p) for p in NATIVE.rglob("*.c")),
            depends=sorted(str(p) for p in NATIVE.rglob("*.h")),
            include_dirs=[str(NATIVE)],
            extra_compile_args=["-std=gnu11", "-O3", "-fvisibility=hidden", *WARNINGS],
        )
    ],
    cmdclass={"build_ext": BuildPlainLibrary},
)
