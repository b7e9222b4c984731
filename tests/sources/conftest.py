"""A small ImageNet made of the demo photographs, in every layout the real one is around in."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from tar_files import add_files

from ffprep.fields import RGBImageField
from ffprep.text.tokens.vocabulary import Vocabulary


def mat_element(kind: int, body: bytes) -> bytes:
    """A data element of a MAT-file: tag, body, padding."""
    if len(body) <= 4:
        return struct.pack("<HH", kind, len(body)) + body.ljust(4, b"\0")
    return struct.pack("<II", kind, len(body)) + body + b"\0" * (-len(body) % 8)


def mat_array(array_class: int, name: str, shape: tuple[int, ...], data: bytes) -> bytes:
    """An array element of the given class."""
    head = (
        mat_element(6, struct.pack("<II", array_class, 0))
        + mat_element(5, struct.pack(f"<{len(shape)}i", *shape))
        + mat_element(1, name.encode())
    )
    body = head + data
    return struct.pack("<II", 14, len(body)) + body


def mat_value(value: object) -> bytes:
    """A number, a text or a list of numbers as an array element."""
    if isinstance(value, str):
        return mat_array(4, "", (1, len(value)), mat_element(4, value.encode("utf-16-le")))
    numbers = value if isinstance(value, list) else [value]
    return mat_array(6, "", (1, len(numbers)), mat_element(9, struct.pack(f"<{len(numbers)}d", *numbers)))


def mat_file(name: str, records: list[dict[str, object]], *, compressed: bool = True) -> bytes:
    """A MAT-file of level 5 with one structure array, as MATLAB saves ``meta.mat``."""
    fields = list(records[0]) if records else []
    data = mat_element(5, struct.pack("<i", 32))
    data += mat_element(1, b"".join(field.encode().ljust(32, b"\0") for field in fields))
    data += b"".join(mat_value(record[field]) for record in records for field in fields)
    array = mat_array(2, name, (len(records), 1), data)
    if compressed:
        packed = zlib.compress(array)
        array = struct.pack("<II", 15, len(packed)) + packed
    return b"MATLAB 5.0 MAT-file".ljust(124, b" ") + b"\x00\x01IM" + array


class Layouts:
    """The demo photographs as training and validation data, and writers of the layouts.

    The classes' order in the development kit is the reverse of the sorted one, so that a mix-up shows.
    """

    def __init__(self, root: Path, photographs: Path) -> None:
        self.root = root
        self.images: dict[str, bytes] = {}
        for number, path in enumerate(sorted(photographs.glob("*/*.JPEG"))):
            for copy in (10, 9, 2):  # sorted as text this is 10, 2, 9
                name = f"{path.parent.name}/{path.parent.name}_{copy}{number}.JPEG"
                self.images[name] = path.read_bytes() + bytes([copy])  # a byte after the end tells them apart
        self.classes = sorted({name.split("/")[0] for name in self.images})
        self.kit = list(reversed(self.classes))
        self.val = {
            f"ILSVRC2012_val_{number:08}.JPEG": (self.classes[(number * 5) % 6], data)
            for number, data in enumerate(list(self.images.values())[:12], 1)
        }

    def expected(self) -> list[tuple[str, bytes, int]]:
        """Training samples in torchvision's order: name, bytes, label."""
        return [(name, self.images[name], self.classes.index(name[:9])) for name in sorted(self.images)]

    def expected_val(self) -> list[tuple[str, bytes, int]]:
        """Validation samples in torchvision's order, as if they lay in class folders."""
        rows = [(f"{wnid}/{name}", data, self.classes.index(wnid)) for name, (wnid, data) in self.val.items()]
        return sorted(rows)

    def folder(self, name: str = "folder") -> Path:
        for path, data in self.images.items():
            target = self.root / name / "train" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        return self.root / name

    def train_tar(self, *, backwards: bool = True) -> Path:
        """The archive of archives, its parts in another order than sorted."""
        path = self.root / "ILSVRC2012_img_train.tar"
        with tarfile.open(path, "w") as outer:
            for wnid in sorted(self.classes, reverse=backwards):
                inner = io.BytesIO()
                files = {n.split("/")[1]: d for n, d in self.images.items() if n.startswith(wnid)}
                with tarfile.open(fileobj=inner, mode="w") as tar:
                    add_files(tar, files)
                add_files(outer, {f"{wnid}.tar": inner.getvalue()})
        return path

    def class_tars(self) -> Path:
        folder = self.root / "class_tars"
        folder.mkdir()
        for wnid in self.classes:
            with tarfile.open(folder / f"{wnid}.tar", "w") as tar:
                add_files(tar, {n.split("/")[1]: d for n, d in self.images.items() if n.startswith(wnid)})
        return folder

    def val_tar(self, folder: Path | None = None) -> Path:
        path = (folder or self.root) / "ILSVRC2012_img_val.tar"
        with tarfile.open(path, "w") as tar:
            add_files(tar, {name: data for name, (_, data) in self.val.items()})
        return path

    def val_folder(self, folder: Path) -> Path:
        folder.mkdir(parents=True)
        for name, (_, data) in self.val.items():
            (folder / name).write_bytes(data)
        return folder

    def ground_truth(self) -> str:
        return "".join(f"{self.kit.index(wnid) + 1}\n" for wnid, _ in self.val.values())

    def meta(self) -> bytes:
        records: list[dict[str, object]] = [
            {
                "ILSVRC2012_ID": float(number),
                "WNID": wnid,
                "words": f"thing {number}, chose",
                "num_children": 0.0 if number <= len(self.kit) else 2.0,
                "children": [] if number <= len(self.kit) else [1.0, 2.0],
            }
            for number, wnid in enumerate([*self.kit, "n00000001"], 1)
        ]
        return mat_file("synsets", records)


@pytest.fixture
def layouts(tmp_path: Path, demo_data: Path) -> Layouts:
    """The demo photographs in the layouts of ImageNet, below a fresh folder."""
    return Layouts(tmp_path, demo_data / "imagenet" / "train")


@pytest.fixture(scope="session")
def make_mat() -> object:
    """Writes MAT-files."""
    return mat_file


@pytest.fixture
def options(vocabulary: Vocabulary) -> dict[str, Any]:
    """Options with which a caption source keeps the bytes of its images."""
    return {"image": RGBImageField(jpeg="keep"), "vocabulary": vocabulary, "text": True}
