"""Lists of validation labels, class lists and meta.mat: what is understood and what is refused."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffprep.errors import SourceError
from ffprep.sources.reading.matfile import read_struct_array
from ffprep.sources.reading.synsets import kit_order_of, parse_class_list, parse_labels, read_kit, read_text

KIT = ["n00000003", "n00000001", "n00000002"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        ("ImageId,PredictionString\n", "is empty"),
        ("hello\n", "line 1: 'hello' is neither a WordNet id"),
        ("n01440764\nn0144076\n", "line 2"),
        ("a.JPEG n01440764\nn01440764\n", "with and without a file name"),
        ("a.JPEG n01440764\nb.JPEG 3\n", "mixes WordNet ids and numbers"),
        ("a.JPEG 1000\n", "class numbers lie in 1000-1000"),
        ("1\n0\n", "line 2: 0 is no class number"),
        ("1\n4\n", "line 2: 4 is no class number"),
        ("1\nn01440764\n", "line 2"),
        ("99999999999999999999\n", "neither a WordNet id"),
    ],
)
def test_bad_list_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(SourceError, match=complaint):
        parse_labels(text, "labels.txt", KIT)


def test_byte_order_mark_blank_lines_and_folders_are_tolerated() -> None:
    labels = parse_labels("\ufeffval/x_1.JPEG   n00000001\n\n\n val/x_2.JPEG n00000002\n", "l")
    assert labels.of("other/x_2.JPEG") == "n00000002"
    assert labels.classes() == ["n00000001", "n00000002"]


def test_position_is_the_number_in_the_name() -> None:
    labels = parse_labels("2\n3\n1\n", "truth", KIT)
    assert [labels.of(f"ILSVRC2012_val_{n:08}.JPEG") for n in (3, 1, 2)] == [KIT[0], KIT[1], KIT[2]]
    with pytest.raises(SourceError, match="goes by the image's number, which cat.JPEG lacks"):
        labels.of("cat.JPEG")
    with pytest.raises(SourceError, match="none for ILSVRC2012_val_00000000"):
        labels.of("ILSVRC2012_val_00000000.JPEG")


def test_class_list_takes_the_first_word() -> None:
    assert parse_class_list("n00000002 tench, Tinca\nn00000001\n", "l") == ["n00000002", "n00000001"]
    for text in ("", "tench\n", "n00000001\nn00000001\n"):
        with pytest.raises(SourceError, match="WordNet id"):
            parse_class_list(text, "l")


def test_text_files_are_bounded_and_decoded(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match="not a text file"):
        read_text(tmp_path / "binary")
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        read_text(tmp_path / "absent")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(SourceError, match="too large"):
        read_text(tmp_path / "huge")


def test_kit_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no meta\.mat"):
        read_kit(tmp_path)
    (tmp_path / "kit.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(SourceError, match="cannot be read as the development kit"):
        read_kit(tmp_path / "kit.tar.gz")


MakeMat = Callable[..., bytes]


@pytest.mark.parametrize("compressed", [False, True])
def test_records_come_back_from_a_mat_file(make_mat: MakeMat, compressed: bool) -> None:
    records = [
        {"ILSVRC2012_ID": 1.0, "WNID": "n00000001", "words": "étoile", "children": [1.0, 2.0]},
        {"ILSVRC2012_ID": 2.0, "WNID": "n00000002", "words": "", "children": []},
    ]
    found = read_struct_array(make_mat("synsets", records, compressed=compressed), "synsets", "m")
    assert found == [
        {"ILSVRC2012_ID": 1.0, "WNID": "n00000001", "words": "étoile", "children": (1.0, 2.0)},
        {"ILSVRC2012_ID": 2.0, "WNID": "n00000002", "words": "", "children": ()},
    ]


def test_synsets_must_be_numbered_and_named(make_mat: MakeMat) -> None:
    def kit(*numbered: tuple[float, str]) -> bytes:
        return make_mat("synsets", [{"ILSVRC2012_ID": n, "WNID": w, "num_children": 0.0} for n, w in numbered])

    assert kit_order_of(kit((2.0, "n00000001"), (1.0, "n00000005")), "m") == ["n00000005", "n00000001"]
    with pytest.raises(SourceError, match="not numbered 1 to 2"):
        kit_order_of(kit((1.0, "n00000001"), (3.0, "n00000005")), "m")
    with pytest.raises(SourceError, match="without number or WordNet id"):
        kit_order_of(kit((1.0, "tench")), "m")
    with pytest.raises(SourceError, match="holds no structure array called 'synsets'"):
        kit_order_of(make_mat("other", [{"a": 1.0}]), "m")
    with pytest.raises(SourceError, match="not a MATLAB level 5 file"):
        kit_order_of(b"MATLAB 7.3" * 100, "m")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_mat_file_raises_one_typed_error(data: st.DataObject) -> None:
    from_numbers = struct.pack("<8I", *range(8))
    whole = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, *from_numbers]))
    cut = data.draw(st.integers(0, len(whole)))
    content = bytes(whole[:cut])
    if data.draw(st.booleans()) and len(content) > 128:
        packed = zlib.compress(content[128:])
        content = content[:128] + struct.pack("<II", 15, len(packed)) + packed
    try:
        read_struct_array(content, "synsets", "m.mat")
    except SourceError as error:
        assert str(error).startswith("m.mat: ")


SAMPLE = b""


@pytest.fixture(scope="module", autouse=True)
def _sample(make_mat: MakeMat) -> None:
    global SAMPLE
    record = {"ILSVRC2012_ID": 1.0, "WNID": "n00000001", "children": [1.0, 2.0]}
    SAMPLE = make_mat("synsets", [record, record], compressed=False)
