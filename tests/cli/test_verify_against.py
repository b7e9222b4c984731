"""``ffprep verify --against``: each kind of file with its source, as it was and after each kind of change."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from ffprep.beton import Reader
from ffprep.cli import main
from ffprep.convert import units
from ffprep.convert.against import MEAN_BOUND, WORST_BOUND, comparing

COUNT = 6


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def photograph(number: int, size: tuple[int, int] = (48, 40), quality: int = 90) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(file, "JPEG", quality=quality)
    return file.getvalue()


@dataclass
class Made:
    """A converted data set: where its sources are, and how it is compared with them."""

    out: Path
    places: Sequence[Path]
    more: Sequence[object] = ()
    shown: list[str] = field(default_factory=list)

    def verify(self, *words: object) -> list[str]:
        """The problems that are found."""
        against = [word for place in self.places for word in ("--against", place)]
        done = run("verify", self.out, *against, *self.more, "--json", *words)
        [report] = json.loads(done.stdout)
        assert done.exit_code == (0 if report["ok"] else 1), done.output
        if report["ok"]:
            assert report["checked"]["samples compared"] == report["samples"]
        return list(report["problems"])


def images(root: Path) -> Path:
    """Six images in three class folders."""
    for number in range(COUNT):
        path = root / "train" / "abc"[number // 2] / f"{number}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photograph(number))
    return root


def imagenet(root: Path, *options: object) -> Made:
    source, out = images(root / "images"), root / "x.beton"
    done = run("convert", "imagenet", "--source", source, "--out", out, "--quiet", *options)
    assert done.exit_code == 0, done.output
    return Made(out, [source])


FORMS: dict[str, list[object]] = {
    "seekable": [],
    "keep": ["--jpeg", "keep"],
    "reencode": ["--jpeg", "reencode"],
    "raw": ["--jpeg", "raw"],
    "smaller": ["--max-side", 30],
    "shuffled": ["--shuffle", 3],
    "limited": ["--limit", 5],
}


@pytest.mark.parametrize("form", FORMS)
def test_images(tmp_path: Path, form: str) -> None:
    made = imagenet(tmp_path, *FORMS[form])
    train = made.places[0] / "train"
    assert made.verify() == [] and made.verify("--quick", "--workers", 1) == []

    other = (train / "b" / "2.JPEG").read_bytes()
    (train / "b" / "2.JPEG").write_bytes(photograph(77))
    [problem] = made.verify()
    assert "(b/2.JPEG): field 'image': " in problem and "than the source" in problem

    (train / "b" / "2.JPEG").write_bytes(photograph(2, (40, 48)))
    [problem] = made.verify()
    assert "(b/2.JPEG): field 'image': was " in problem and ", the source has " in problem

    (train / "b" / "2.JPEG").write_bytes(b"no image")
    [problem] = made.verify()
    assert "(b/2.JPEG): the source cannot be read any more: " in problem
    (train / "b" / "2.JPEG").write_bytes(other)
    assert made.verify() == []

    (train / "a" / "1.JPEG").rename(train / "a" / "9.JPEG")
    if form != "limited":
        missing, additional = made.verify()
        assert "(a/1.JPEG): is not in the source" in missing
        assert additional == "the source has a/9.JPEG, which is not in the file"


def test_a_single_pixel_of_a_lossless_image(tmp_path: Path) -> None:
    """Another quantised value somewhere: the sizes are the same, and so is nearly every pixel."""
    made = imagenet(tmp_path)
    path = made.places[0] / "train" / "c" / "5.JPEG"
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        pixels = np.array(image)
        tables, sampling = image.quantization, 0
    pixels[3, 3] += 40
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", qtables=tables, subsampling=sampling)
    path.write_bytes(file.getvalue())
    [problem] = made.verify()
    assert "sample 5 (c/5.JPEG): field 'image': " in problem


def test_the_bound_of_images_that_were_encoded_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = imagenet(tmp_path, "--jpeg", "reencode", "--quality", 95)
    encode = units.encode_sample

    def by_other_libraries(offset: int) -> Callable[..., object]:
        def encoded(fields: object, values: Sequence[object]) -> object:
            with Image.open(io.BytesIO(bytes(values[0]))) as image:  # type: ignore[call-overload]
                pixels = np.asarray(image).astype(np.int16)
            file = io.BytesIO()
            noise = np.random.default_rng(0).integers(-offset, offset + 1, pixels.shape)
            Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(file, "PNG")
            return encode(fields, (file.getvalue(), values[1]))  # type: ignore[arg-type]

        return encoded

    monkeypatch.setattr(comparing, "encode_sample", by_other_libraries(1))
    assert made.verify() == []
    monkeypatch.setattr(comparing, "encode_sample", by_other_libraries(40))
    problems = made.verify()
    assert len(problems) == COUNT and all("of 255 apart on average" in problem for problem in problems)
    assert 0 < MEAN_BOUND < WORST_BOUND < 40


def test_labels_and_classes(tmp_path: Path) -> None:
    made = imagenet(tmp_path)
    extra = made.places[0] / "train" / "aa" / "new.JPEG"
    extra.parent.mkdir()
    extra.write_bytes(photograph(9))
    problems = made.verify()
    assert problems[0].startswith("the source: classes: ")
    assert "the source has aa/new.JPEG, which is not in the file" in problems
    labels = [problem for problem in problems if "field 'label': was" in problem]
    assert len(labels) == 4 and "sample 2 (b/2.JPEG): field 'label': was 1, the source has 2" in labels


def test_refused_samples_are_no_difference(tmp_path: Path) -> None:
    source = images(tmp_path / "images")
    (source / "train" / "a" / "bad.JPEG").write_bytes(b"no image")
    out = tmp_path / "x.beton"
    assert run("convert", "imagenet", "--source", source, "--out", out, "--on-error", "skip").exit_code == 0
    made = Made(out, [source])
    assert made.verify() == []
    (source / "train" / "a" / "bad.JPEG").write_bytes(photograph(8))
    assert made.verify() == ["the source has a/bad.JPEG, which is not in the file"]


def test_tars(tmp_path: Path) -> None:
    train = images(tmp_path / "images") / "train"
    archive = tmp_path / "train.tar"

    def pack() -> None:
        with tarfile.open(archive, "w") as tar:
            tar.add(train, "train")

    pack()
    out = tmp_path / "x.beton"
    assert run("convert", "imagenet", "--source", archive, "--out", out).exit_code == 0
    made = Made(out, [archive])
    assert made.verify() == []
    (train / "a" / "0.JPEG").write_bytes(photograph(70))
    pack()
    [problem] = made.verify()
    assert "sample 0 (a/0.JPEG): field 'image'" in problem


def test_parquet(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = tmp_path / "train-00000-of-00001.parquet"

    def write(last: bytes) -> None:
        rows = [{"bytes": photograph(n), "path": f"{n}.JPEG"} for n in range(COUNT - 1)] + [
            {"bytes": last, "path": "5.JPEG"}
        ]
        parquet.write_table(pyarrow.table({"image": rows, "label": list(range(COUNT))}), table)

    write(photograph(5))
    out = tmp_path / "x.beton"
    done = run("convert", "imagenet", "--source", table, "--out", out)
    assert done.exit_code == 0, done.output
    made = Made(out, [table])
    assert made.verify() == []
    write(photograph(50))
    [problem] = made.verify()
    assert "sample 5 (" in problem and "field 'image'" in problem


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    facts: dict[str, list[dict[str, object]]] = {"images": [], "annotations": []}
    (tmp_path / "coco").mkdir()
    for number in range(COUNT):
        (tmp_path / "coco" / f"{number}.jpg").write_bytes(photograph(number))
        facts["images"].append({"id": 10 + number, "file_name": f"{number}.jpg"})
        for k in range(2):
            facts["annotations"].append({"image_id": 10 + number, "caption": f"Picture {number}, caption {k}."})
    (tmp_path / "captions.json").write_text(json.dumps(facts))
    return tmp_path


@pytest.mark.usefixtures("vocabulary")
@pytest.mark.parametrize("form", ["--pairs", "--grouped"])
@pytest.mark.parametrize("text", [[], ["--keep-text"]])
def test_captions(coco: Path, form: str, text: list[str]) -> None:
    annotations, out = coco / "captions.json", coco / "x.beton"
    done = run("convert", "coco", "--images", coco / "coco", "--annotations", annotations, form, *text, "--out", out)
    assert done.exit_code == 0, done.output
    assert run("verify", out, "--against", coco / "coco").exit_code == 2
    made = Made(out, [coco / "coco"], ["--annotations", annotations])
    assert made.verify() == []
    whole = annotations.read_text()
    annotations.write_text(whole.replace("Picture 3, caption 1.", "Another caption."))
    problems = made.verify()
    sample = "sample 7 (3.jpg#1)" if form == "--pairs" else "sample 3 (3.jpg)"
    assert all(problem.startswith(sample) for problem in problems)
    assert any("field 'tokens': value [" in problem and ", the source has " in problem for problem in problems)
    assert sum("field 'caption': was" in problem for problem in problems) == len(text)
    annotations.write_text(whole)
    (coco / "coco" / "4.jpg").write_bytes(photograph(44))
    problems = made.verify()
    assert len(problems) == (2 if form == "--pairs" else 1) and all("4.jpg" in problem for problem in problems)


@pytest.mark.usefixtures("vocabulary")
def test_shards(tmp_path: Path) -> None:
    shard = tmp_path / "00000.tar"

    def pack(changed: int = -1) -> None:
        with tarfile.open(shard, "w") as tar:
            for number in range(COUNT):
                text = b"something else" if number == changed else b"caption %d" % number
                for suffix, data in (("jpg", photograph(number)), ("txt", text)):
                    info = tarfile.TarInfo(f"{number:09}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))

    pack()
    out = tmp_path / "x.beton"
    assert run("convert", "cc3m", "--shards", shard, "--out", out).exit_code == 0
    made = Made(out, [shard])
    assert made.verify() == []
    pack(changed=2)
    problems = made.verify()
    assert problems and all("sample 2 (" in problem for problem in problems)


@pytest.mark.usefixtures("vocabulary")
def test_rows(tmp_path: Path, demo_data: Path) -> None:
    source = tmp_path / "SST-2"
    shutil.copytree(demo_data / "glue" / "SST-2", source)
    out = tmp_path / "x.beton"
    assert run("convert", "glue", "--source", source, "--task", "sst2", "--out", out).exit_code == 0
    made = Made(out, [source])
    assert made.verify() == []
    lines = (source / "train.tsv").read_text().splitlines()
    text, label = lines[3].split("\t")
    lines[3] = f"{text}\t{1 - int(label)}"
    (source / "train.tsv").write_text("\n".join(lines) + "\n")
    [problem] = made.verify()
    assert "sample 2 (" in problem and f"field 'label': was {label}, the source has {1 - int(label)}" in problem


@pytest.mark.usefixtures("vocabulary")
@pytest.mark.parametrize("layout", ["rows", "blocks"])
def test_tables(tmp_path: Path, layout: str) -> None:
    table = tmp_path / "x.txt"
    lines = [f"a text about {n};{n % 2};and its pair" for n in range(40)]
    table.write_text("\n".join(lines) + "\n")
    columns = [word for name in ("first", "kind", "second") for word in ("--columns", name)]
    form: list[object] = ["--text", "first", "--format", "csv", "--delimiter", ";", *columns, "--layout", layout]
    form += ["--text-pair", "second", "--label", "kind"] if layout == "rows" else ["--block", 8]
    out = tmp_path / "x.beton"
    done = run("convert", "text", "--files", table, *form, "--out", out)
    assert done.exit_code == 0, done.output
    made = Made(out, [table])
    assert made.verify() == []
    lines[7] = lines[7].replace("text", "tale")
    table.write_text("\n".join(lines) + "\n")
    assert any("field 'tokens': value [" in problem for problem in made.verify())


@pytest.mark.usefixtures("vocabulary")
@pytest.mark.parametrize("padded", [[], ["--padded"]])
def test_corpora(tmp_path: Path, padded: list[str]) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for part in range(3):
        rows = [json.dumps({"text": f"Document {n} of part {part}."}) for n in range(30)]
        (corpus / f"{part}.jsonl").write_text("\n".join(rows) + "\n")
    out = tmp_path / "x.beton"
    options: list[object] = ["--block", 16, "--blocks-per-sample", 2, *padded]
    done = run("convert", "openwebtext", "--source", corpus, *options, "--out", out)
    assert done.exit_code == 0, done.output
    made = Made(out, [corpus])
    assert made.verify() == []
    path = corpus / "1.jsonl"
    path.write_text(path.read_text().replace("Document 20 of", "Document 21 of"))
    [problem] = made.verify()
    assert "field 'tokens': value [" in problem and "(in 1.jsonl" in problem


@pytest.mark.usefixtures("vocabulary")
def test_token_files(tmp_path: Path) -> None:
    tokens = np.random.default_rng(0).integers(300, 5000, 600).astype("<u2")
    source, out = tmp_path / "tokens.bin", tmp_path / "x.beton"
    tokens.tofile(source)
    assert run("convert", "tokens", "--source", source, "--block", 16, "--out", out).exit_code == 0
    made = Made(out, [source])
    assert made.verify() == []
    tokens[100] += 1
    tokens.tofile(source)
    [problem] = made.verify()
    assert f"was {tokens[100] - 1}, the source has {tokens[100]}" in problem


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    made = imagenet(tmp_path)
    merged = tmp_path / "merged.beton"
    assert run("merge", made.out, made.out, "--out", merged).exit_code == 0
    place = made.places[0]
    for words, status, message in (
        ([merged, "--against", place], 2, "was merged; compare the files that it was merged from"),
        ([made.out, made.out, "--against", place], 2, "--against is the source of one file"),
        ([made.out, "--against", place, "--against", place], 2, "give --against once"),
        ([made.out, "--against", tmp_path / "none"], 1, "no such file or folder"),
        ([made.out, "--labels", place], 2, "belong to --against"),
    ):
        done = run("verify", *words)
        assert done.exit_code == status and message in done.stderr and done.stderr.count("\n") == 1, done.stderr
    content = made.out.read_bytes()
    made.out.write_bytes(content[: len(content) // 2])
    problems = made.verify()
    assert len(problems) == 2 and "cannot be compared with its source" in problems[1]
    made.out.write_bytes(content)
    with Reader(made.out) as reader:
        offset, size = reader.extents("image")
        at = int(offset[1] + size[1] // 2)
    damaged = bytearray(content)
    damaged[at] ^= 0xFF
    made.out.write_bytes(damaged)
    problems = made.verify()
    assert sum("sample 1 (a/1.JPEG)" in problem for problem in problems) >= 2, problems


def test_parts_and_split_files_are_compared_with_their_share(tmp_path: Path) -> None:
    source = images(tmp_path / "images")
    (tmp_path / "parts").mkdir()
    common = ("convert", "imagenet", "--source", source, "--out", tmp_path / "parts" / "x.beton", "--quiet")
    for number in range(3):
        done = run(*common, "--part", f"{number}/3", "--limit", 5)
        assert done.exit_code == 0, done.output
    whole = tmp_path / "whole.beton"
    parts = str(tmp_path / "parts" / "x-*.beton")
    assert run("merge", parts, "--out", whole).exit_code == 0
    (tmp_path / "split").mkdir()
    assert run("split", whole, "--out", tmp_path / "split" / "y.set.json", "--files", 2).exit_code == 0

    def problems(*paths: object) -> list[list[str]]:
        done = run("verify", *paths, "--against", source, "--json")
        reports = json.loads(done.stdout)
        assert done.exit_code == (0 if all(report["ok"] for report in reports) else 1), done.output
        return [report["problems"] for report in reports]

    assert problems(parts) == [[], [], []]
    assert problems(tmp_path / "split") == [[], []]
    assert problems(tmp_path / "parts" / "x-00001-of-00003.beton") == problems(whole) == [[]]
    changed = source / "train" / "b" / "2.JPEG"
    changed.write_bytes(photograph(99))
    (source / "train" / "a" / "0.JPEG").unlink()
    (source / "train" / "a" / "00.JPEG").write_bytes(photograph(0))
    found = [" ".join(texts) for texts in problems(parts)]
    assert "is not in the source" in found[0] and "00.JPEG, which is not in the file" in found[0]
    assert "other pixels" in found[1] and not found[2]
    done = run("verify", whole, tmp_path / "split", "--against", source)
    assert done.exit_code and "verify others one by one" in " ".join(done.output.split())
