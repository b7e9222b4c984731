"""The structures of ``abi.h`` lie in memory as the numpy dtypes of ``abi.py`` say."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import ffprep.jpeg
from ffprep import abi

NATIVE = Path(ffprep.jpeg.__file__).parent / "native"
STRUCTURES = {
    "ffp_plane_desc": abi.PLANE,
    "ffp_image_desc": abi.IMAGE,
    "ffp_decode_request": abi.DECODE_REQUEST,
    "ffp_rewrite_item": abi.REWRITE,
}


def layout_in_python() -> list[str]:
    lines = []
    for name, dtype in STRUCTURES.items():
        lines.append(f"{name} {dtype.itemsize}")
        for field, (kind, offset) in (dtype.fields or {}).items():  # type: ignore[misc]
            lines.append(f"{name}.{field} {offset} {kind.itemsize}")
    return lines


def layout_in_c(folder: Path) -> list[str]:
    lines = []
    for name, dtype in STRUCTURES.items():
        lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
        for field in dtype.names or ():
            size = f"sizeof((({name} *)0)->{field})"
            lines.append(f'printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), {size});')
    source = folder / "layout.c"
    includes = '#include <stddef.h>\n#include <stdio.h>\n#include "abi.h"\n'
    source.write_text(includes + "int main(void) {\n" + "\n".join(lines) + "\nreturn 0;\n}\n")
    compiler = shutil.which(os.environ.get("CC", "cc"))
    assert compiler, "this test needs a C compiler; set CC"
    program = folder / "layout"
    subprocess.run([compiler, "-std=gnu11", "-Werror", f"-I{NATIVE}", source, "-o", program], check=True)
    return subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()


def test_c_and_numpy_agree(tmp_path: Path) -> None:
    assert layout_in_c(tmp_path) == layout_in_python()


def test_fields_of_several_writers_lie_on_cache_lines_of_their_own() -> None:
    assert abi.CONTROL.fields is not None and abi.SLOT.fields is not None
    lines = [abi.CONTROL.fields[name][1] // abi.CACHE_LINE for name in ("next_ticket", "published", "sleepers", "stop")]
    lines.append(abi.CONTROL.fields["batch_size"][1] // abi.CACHE_LINE)
    assert len(set(lines)) == len(lines)
    assert abi.SLOT.fields["left"][1] // abi.CACHE_LINE != abi.SLOT.fields["count"][1] // abi.CACHE_LINE
    assert abi.CONTROL.itemsize % abi.CACHE_LINE == abi.SLOT.itemsize % abi.CACHE_LINE == 0


@pytest.mark.parametrize(
    "name", ["ITEM", "IMAGE_SPEC", "THREAD", "TASK", "RENDER", "AUGMENTATION", "AUGMENTATION_STEP"]
)
def test_every_number_has_a_multiple_of_its_size_as_offset(name: str) -> None:
    """Kernels and C may then read it with any instruction, wherever its record is aligned to 8 bytes."""
    dtype: np.dtype[np.void] = getattr(abi, name)
    assert dtype.itemsize % 8 == 0 and dtype.fields is not None
    for kind, offset, *_ in dtype.fields.values():
        assert offset % min(kind.itemsize, 8) == 0
