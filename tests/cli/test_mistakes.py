"""What users get wrong, and what they are told: in one line, what is wrong, where, and what to do."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from ffprep.cli import main

SEE = " (see --help)"
GIVE_WORKERS = "give one from 1 to 1024" + SEE
IMAGENET = "convert imagenet --source DEMO/imagenet --out new.beton"
COLA = "convert glue --source DEMO/glue --task cola --out new.beton"
OWT = "convert openwebtext --source DEMO/text --out new.beton"
KINDS = "give fairseq, gpt2, the path of a fairseq dict.txt, or a tokenizer"
ROWS = "convert images --source rows.csv --out new.beton"
ENCODINGS = "neither a file nor an encoding of tiktoken's (gpt2, "
OVERWRITE = "delete it, give another name, or add --overwrite"
PAGES = "page_size is a power of two from 2097152 to 2147483648, not"

MISTAKES = [
    # commands and options that are none
    ("inof x.beton", 2, "ffprep: no command 'inof'; did you mean info?" + SEE),
    ("frobnicate", 2, "ffprep: no command 'frobnicate'; there are bench, convert, "),
    ("convert imagnet --source x", 2, "ffprep convert: no command 'imagnet'; did you mean imagenet?" + SEE),
    ("plan coc", 2, "ffprep plan: no command 'coc'; did you mean coco?" + SEE),
    ("download cc5m", 2, "ffprep download: no command 'cc5m'; did you mean cc3m or cc12m?" + SEE),
    ("info --jsn x.beton", 2, "ffprep info: No such option '--jsn'. Did you mean '--json'?" + SEE),
    (
        IMAGENET + " --max-sid 300",
        2,
        "No such option '--max-sid'. (Did you mean one of: '--max-pixels', '--max-side', ",
    ),
    ("doctor --all", 2, "ffprep doctor: No such option '--all'."),
    ("doctor x.beton y.beton", 2, "ffprep doctor: Got unexpected extra argument (y.beton)" + SEE),
    ("info", 2, "ffprep info: Missing argument 'PATH'." + SEE),
    ("info x.beton y.beton", 2, "ffprep info: Got unexpected extra argument (y.beton)" + SEE),
    ("convert imagenet --out new.beton", 2, "ffprep convert imagenet: Missing option '--source'." + SEE),
    ("convert imagenet --source DEMO/imagenet", 2, "Missing option '--out'." + SEE),
    ("convert coco --images DEMO/coco --out y.beton", 2, "Missing option '--annotations'." + SEE),
    ("preview x.beton", 2, "nothing to write: give --out FILE.html for a page, --png FILE.png for a picture, or both"),
    ("merge --out m.beton", 2, "Missing argument 'PATHS...'." + SEE),
    ("info ''", 2, "an empty argument: is a variable of the shell not set?" + SEE),
    ("convert imagenet --source '' --out new.beton", 2, "an empty argument after --source: is a variable of the shell"),
    # numbers and choices
    ("verify x.beton --workers 10000", 2, "'--workers': 10000 is not possible; " + GIVE_WORKERS),
    ("verify x.beton --workers -3", 2, "'--workers': -3 is not possible; " + GIVE_WORKERS),
    ("bench x.beton --workers -3", 2, "'--workers': -3 is not possible; " + GIVE_WORKERS),
    (IMAGENET + " --workers zwei", 2, "'--workers': 'zwei' is not a whole number; " + GIVE_WORKERS),
    ("plan imagenet --source DEMO/imagenet --workers 0", 2, "'--workers': 0 is not possible; " + GIVE_WORKERS),
    (IMAGENET + " --quality 0", 2, "'--quality': 0 is not possible; give one from 1 to 100" + SEE),
    (IMAGENET + " --max-side big", 2, "'--max-side': 'big' is not a whole number; give one from 1 to 65535" + SEE),
    (IMAGENET + " --limit 0", 2, "'--limit': 0 is not possible; give at least 1" + SEE),
    (IMAGENET + " --shuffle yes", 2, "'--shuffle': 'yes' is not a whole number; give at least 0" + SEE),
    (IMAGENET + " --jpeg png", 2, "'png' is not one of 'seekable', 'keep', 'reencode', 'raw'." + SEE),
    (IMAGENET + " --engine spark", 2, "'spark' is not one of 'local', 'ray'." + SEE),
    (IMAGENET + " --split test", 2, "'test' is not one of 'train', 'val'." + SEE),
    (IMAGENET + " --page-size 1000", 2, f"{PAGES} 1000"),
    (IMAGENET + " --page-size -5", 2, f"{PAGES} -5"),
    (IMAGENET + " --part 4/4", 2, "part '4/4': give I/N, with I from 0 to N - 1, such as 0/64"),
    (IMAGENET + " --resume --restart", 2, "--resume and --restart: give one of them; without them, "),
    (COLA + " --length 1", 2, "'--length': 1 is not possible; give one from 2 to 65535" + SEE),
    (OWT + " --block 1", 2, "'--block': 1 is not possible; give one from 2 to 65535" + SEE),
    (OWT + " --share 9/3", 2, "--share '9/3': give two fractions from 0 to 1, such as 0-0.2857 or 0-6/21"),
    (OWT + " --chunks a", 2, "DEMO/text: has no chunks (urlsf_subset00 and so on); choose with --files or --share"),
    ("bench x.beton --scale 2 1", 2, "--scale 2 1: give the smallest and the largest share of the area, up to 1"),
    ("bench x.beton --batch-size 0", 2, "'--batch-size': 0 is not possible; give at least 1" + SEE),
    ("split x.beton --out s.set.json --files 0", 2, "'--files': 0 is not possible; give one from 1 to 99999" + SEE),
    ("stats x.beton --form xml", 2, "'xml' is not one of 'text', 'markdown', 'csv', 'json'." + SEE),
    ("stats x.beton --pixels --form csv", 2, "--pixels has no form csv; choose text or json"),
    ("demo --images 3", 2, "'--images': 3 is not possible; give at least 32" + SEE),
    ("preview x.beton --out p.html --sample 99", 2, "x.beton: has no sample 99; there are 6, from 0"),
    (
        "download cc3m --index c.tsv --out d --min-success many",
        2,
        "'many' is neither a number nor a percentage from 0% to 100%" + SEE,
    ),
    (
        "download cc3m --index c.tsv --out d --deadline -1",
        2,
        "'--deadline': -1 is not possible; give one above 0",
    ),
    ("download cc3m --out d", 2, "ffprep download cc3m: give either --index or --only" + SEE),
    # files that are not there, or something else
    ("info none.beton", 2, "ffprep: none.beton: no such file or folder; check the name"),
    ("info trains.beton", 2, "ffprep: trains.beton: no such file or folder; did you mean train.beton"),
    ("info 'none*.beton'", 2, "ffprep: none*.beton: no file fits this pattern"),
    ("info empty", 2, "ffprep: empty: a folder without .beton files"),
    (
        "info photo.jpg",
        1,
        "photo.jpg: byte 0: not a .beton file of version 2 (found 55551); give one that ffprep or ffcv",
    ),
    ("info half.beton", 1, "half.beton: ends at byte 38588, but the allocation table starts at byte "),
    ("info tiny.beton", 1, "tiny.beton: ends at byte 10, inside its header; convert or copy it again"),
    ("info nothing.beton", 1, "nothing.beton: ends at byte 0, inside its header; convert or copy it again"),
    ("info a.json", 1, "a.json: is neither a .beton file nor an index of a set"),
    ("bench half.beton", 1, "half.beton: ends at byte 38588, but the allocation table starts at byte "),
    ("verify x.beton --labels none", 2, "none: no such file or folder; check the name"),
    ("verify x.beton --labels a.json", 2, "--labels, --devkit, --classes and --gpt2-files belong to --against"),
    ("verify x.beton --against none", 1, "none: no such file or folder (a hub data set is written owner/name)"),
    (
        "verify x.beton t.beton --against a",
        2,
        "--against is the source of one file, or of the parts of one: verify others one by one",
    ),
    ("plan imagenet --source none", 1, "none: no such file or folder (a hub data set is written owner/name)"),
    (
        "convert imagenet --source empty --out new.beton",
        1,
        "empty: no class folders with images, ILSVRC2012 archives or",
    ),
    (
        "convert imagenet --source x.beton --out new.beton",
        1,
        "x.beton: a folder, a .tar or a .parquet file is expected",
    ),
    (
        IMAGENET + " --split val",
        1,
        "DEMO/imagenet: has no folder for the split 'val', only train; give another split, ",
    ),
    ("convert imagenet --source broken --out new.beton", 1, "a/x.jpg (sample 0): no image format that ffprep reads; "),
    (
        "convert coco --images DEMO/coco --annotations a.json --out y.beton",
        1,
        "a.json: no COCO annotations: there is no ",
    ),
    ("convert coco --images DEMO/coco --annotations photo.jpg --out y.beton", 1, "photo.jpg: not valid JSON: "),
    ("convert cc3m --shards empty --out y.beton", 1, "empty: no .tar archives there"),
    (
        "convert cc3m --shards photo.jpg --out y.beton",
        1,
        "photo.jpg: the archive is damaged or incomplete: no valid tar",
    ),
    ("convert glue --source empty --task cola --out y.beton", 1, "empty: no file of the split train (train.tsv)"),
    ("convert glue --source DEMO/glue --task colo --out y.beton", 2, "'colo' is not one of 'cola', 'sst2', "),
    (COLA + " --split valid", 2, "cola has the splits train, validation, test, not 'valid'"),
    (COLA + " --vocabulary gpt3", 2, f"vocabulary 'gpt3': {KINDS}"),
    (COLA + " --tokenizer cl100k_bass", 2, f"tokenizer 'cl100k_bass': {ENCODINGS}"),
    (COLA + " --special bos=x", 2, "--special names tokens of another tokenizer than GPT-2's: give --tokenizer too"),
    (
        "convert openwebtext --source empty --out y.beton",
        1,
        "empty: no text files, archives of text, JSON lines, CSV or",
    ),
    ("convert tokens --source none --out y.beton", 2, "none: no such file or folder; check the name"),
    ("convert text", 2, "say where the data is and where the file goes: --files and --out, or a configuration"),
    ("convert text --files none.csv --out y.beton", 1, "none.csv: no such files; check the name"),
    ("convert text --files a.csv --out y.beton", 1, "a.csv: no column 'text'; there are x, y"),
    (
        "convert text --files bad.jsonl --out y.beton",
        1,
        "bad.jsonl, byte 14: no field 'text'; --on-error skip goes on ",
    ),
    ("convert text --files a.csv --text y --label z --out y.beton", 1, "a.csv: no column 'z'; there are x, y"),
    ("stats t.beton --pixels", 2, "t.beton: has 0 fields of images; --pixels needs one"),
    (
        "export x.beton --format flat --out z",
        2,
        "x.beton: has no field of tokens, but image, label; give a file of text",
    ),
    ("download cc3m --index photo.jpg --out d", 1, "photo.jpg: unknown form of index; expected .tsv, .json, .jsonl, "),
    # configurations
    ("convert none.yaml", 2, "none.yaml: cannot be read: No such file or directory"),
    ("convert key.yaml", 2, "key.yaml: unknown option 'sourc'; did you mean source?"),
    ("convert dataset.yaml", 2, "dataset.yaml: unknown dataset 'imagnet'; did you mean imagenet?"),
    ("convert broken.yaml", 2, "broken.yaml, line 2: not valid YAML: "),
    ("convert without.yaml", 2, "without.yaml: says no dataset; write for instance 'dataset: imagenet'"),
    ("convert nothing.yaml", 2, "nothing.yaml: a mapping of options is expected, such as 'dataset: imagenet'"),
    ("convert key.yaml source", 2, "'source': key=value is expected"),
    # places that must not be written to
    ("convert imagenet --source DEMO/imagenet --out none/y.beton", 2, "ffprep: none: no such folder; make it first"),
    (
        "convert imagenet --source DEMO/imagenet --out empty",
        2,
        "Invalid value for '--out': File 'empty' is a directory.",
    ),
    (
        "convert imagenet --source DEMO/imagenet --out /dev/full",
        2,
        "/dev/full: is a device or a pipe; give the name of",
    ),
    ("convert imagenet --source DEMO/imagenet --out x.beton --jpeg keep", 2, OVERWRITE),
    (IMAGENET + " --report photo.jpg", 2, f"ffprep: photo.jpg: exists already; {OVERWRITE}"),
    ("preview x.beton --out a.json", 2, f"ffprep: a.json: exists already; {OVERWRITE}"),
    ("preview x.beton --out x.beton", 2, "x.beton: is read by this command and cannot be written by it; give another"),
    (
        "merge x.beton t.beton --out m.beton",
        2,
        "t.beton has fields tokens; x.beton has image, label; the files of a set",
    ),
    ("set x.beton --out s.txt", 2, "s.txt: the name of an index ends with .set.json"),
    ("index x.beton t.beton --out i.index", 2, "--out names one index; give one file, or leave it out"),
    ("repair x.beton --out x.beton", 2, "x.beton: is read by this command and cannot be written by it; give another"),
    # sets, copies and what reads several files
    ("stage x.beton", 2, "x.beton: is no URL, and what is on local disk needs no copy there; give one such as s3://"),
    ("stage s3://", 2, "s3://: names no bucket or host; give a URL such as s3://bucket/train.beton"),
    ("stage x.beton --limit 5", 2, "ffprep stage: No such option '--limit'. Did you mean '--cache-limit'?" + SEE),
    ("set x.beton x.beton --out s.set.json", 2, "x.beton: is given twice; a set has each file once"),
    ("set x.beton half.beton --out s.set.json", 1, "half.beton: ends at byte 38588, but the allocation table starts"),
    ("set x.beton --out none/s.set.json", 2, "ffprep: none: no such folder; make it first"),
    (
        "merge x.beton --out m.set.json",
        2,
        "m.set.json: .set.json is for the index of a set, and this makes a .beton file",
    ),
    ("merge x.beton half.beton --out m.beton", 1, "half.beton: ends at byte 38588, but the allocation table starts at"),
    ("merge x.beton train.beton", 2, "ffprep merge: Missing option '--out'." + SEE),
    ("split x.beton --out s.set.json --files 99", 2, "99 files for 6 samples; ask for fewer"),
    ("split x.beton --out s.beton --files 2", 2, "s.beton: the name of an index ends with .set.json"),
    (
        "split x.beton --out s.set.json --files two",
        2,
        "'--files': 'two' is not a whole number; give one from 1 to 99999",
    ),
    ("plan x.beton", 2, "ffprep plan: no command 'x.beton'; there are ade20k, cc12m, "),
    ("plan glue --source DEMO/glue", 2, "ffprep plan glue: Missing option '--task'. Choose from: cola, sst2, "),
    ("plan openwebtext --source none", 1, "none: no such file or folder (a hub data set is written owner/name)"),
    ("stats x.beton --duplicates --pixels", 2, "--pixels and --duplicates: give one of them (--by pixels compares "),
    ("stats x.beton --by pixels", 2, "--by says what makes duplicates: give --duplicates too"),
    ("stats x.beton --duplicates --by text", 2, "x.beton: has no texts as tokens; --by bytes or pixels compares its "),
    ("stats x.beton --plot p.pdf", 2, "p.pdf: give a name that ends in .svg or .png, for the image to draw"),
    ("info x.beton --croissant --card", 2, "--json, --croissant and --card: give one of them"),
    ("info x.beton --license MIT", 2, "--name, --url and --license are for --croissant and --card"),
    ("bench t.beton --validation", 2, "t.beton: has no images; --validation and --scale say how images are read"),
    ("bench t.beton --cold", 2, "t.beton: --cold times a single file of images; leave it out, or give such a file"),
    ("preview t.beton --out p.html --show imagenet_train", 2, "t.beton: has no images to show crops or batches of; "),
    ("preview x.beton --png p.gif", 2, "p.gif: give a name that ends in .png or .jpg, for the picture"),
    ("preview x.beton --out p.html --random 1 --sample 3", 2, "--sample names samples, --random draws them: give one"),
    # other sources
    ("convert glue --source none --task cola --out y.beton", 1, "none: no such file or folder (a hub data set is "),
    (
        "convert images --source ./none --out y.beton",
        1,
        "./none: no such file or folder (a hub data set is written own",
    ),
    ("convert openwebtext --source ../none --out y.beton", 1, "../none: no such file or folder (a hub data set is wri"),
    ("convert images --source none --out y.beton", 1, "none: no such file or folder (a hub data set is written owner/"),
    ("convert images --source rows.csv --label kind --out y.beton", 1, "rows.csv: no column 'kind'; there are path, "),
    (
        "convert images --source rows.csv --field a --out y.beton",
        2,
        "--field 'a': NAME=KIND or NAME=KIND:COLUMN is exp",
    ),
    (
        "convert images --source rows.csv --field a=vec --out y.beton",
        2,
        "--field 'a=vec': there is no kind 'vec'; there",
    ),
    (
        "convert images --source rows.csv --filter 'label > )' --out y.beton",
        2,
        "--filter 'label > )': it cannot be read",
    ),
    (
        "convert images --source rows.csv --filter label=7 --out y.beton",
        1,
        "rows.csv: not a single image is left; see ",
    ),
    ("convert images --source rows.csv --streaming --out y.beton", 2, "--streaming: rows.csv is here; it is for data "),
    (
        "convert coco-detection --images DEMO/coco --annotations a.json --out y.beton",
        1,
        "a.json: no COCO instances: there is no list of images in it\n",
    ),
    (
        "convert masks --images DEMO/coco/val2014 --masks empty --mask-suffix _m --out y.beton",
        1,
        "_m.png; --image-suffix and --mask-suffix say how their names differ",
    ),
    (
        "convert voc --source empty --out y.beton",
        1,
        "empty: has no folder JPEGImages; VOCdevkit or VOCdevkit/VOC2012 is",
    ),
    (
        "convert --from-manifest x.beton --out y.beton",
        2,
        "x.beton: does not record where its source lay, since a file ",
    ),
    (
        "convert --from-manifest x.beton --source DEMO/imagenet --out y.beton key.yaml",
        2,
        "ffprep convert imagenet: Got unexpected extra argument (key.yaml)" + SEE,
    ),
    (
        "download cc3m --index c.tsv --out d --min-success 120%",
        2,
        "is neither a number nor a percentage from 0% to 100%",
    ),
    (
        "download cc3m --index c.tsv --out d --only c.tsv",
        2,
        "ffprep download cc3m: give either --index or --only" + SEE,
    ),
    (
        "download laion --index c.tsv --out d",
        2,
        "ffprep download: no command 'laion'; there are cc12m, cc3m, sbu" + SEE,
    ),
    (ROWS + " --val-share nan", 2, "'--val-share': nan is not possible; give one above 0 and below 1" + SEE),
    (ROWS + " --val-share 10%", 2, "'--val-share': '10%' is not a number; give one above 0 and below 1" + SEE),
    (ROWS + " --shuffle -1", 2, "'--shuffle': -1 is not possible; give at least 0" + SEE),
    (ROWS + " --label path", 2, "--label path: is the column of the images; give that of the labels, or none"),
    (ROWS + " --config first", 2, "--config first: rows.csv is here; data sets of the Hugging Face hub have those"),
    ("download cc3m --index c.tsv --out d --deadline nan", 2, "'--deadline': nan is not possible; give one above 0"),
    ("info ~/none.beton", 2, "~/none.beton: no such file or folder; ~ was not replaced by the shell: give /"),
    ("convert images --source rows.csv --out ~/none/y.beton", 2, "~/none: no such folder; ~ was not replaced by the "),
    ("convert empty", 2, "ffprep convert: empty is a path, where the kind of its data is expected, such as: ffprep "),
    ("convert twice.yaml", 2, "twice.yaml, line 3: 'out' stands in line 2, too; keep one of them"),
    (
        "convert --from-manifest x.beton --source DEMO/imagenet --out x.beton --overwrite",
        2,
        "x.beton: is read by this command and cannot be written by it; give another name",
    ),
    ("verify x.beton --against rows.csv", 1, "rows.csv: a folder, a .tar or a .parquet file is expected"),
    ("preview x.beton --out new.html --png new.html2", 2, "new.html2: give a name that ends in .png or .jpg, for the"),
    ("info unknown://bucket/x.beton", 2, "unknown://bucket/x.beton: fsspec knows no unknown://"),
    ("info ftp://localhost:9/x.beton", 1, "ftp://localhost:9/x.beton: cannot be reached: "),
    ("preview x.beton --out /dev/full", 1, "/dev/full: No space left on device; make room, or take another folder"),
    ("repair empty_files --out r", 1, "empty_files/a.beton: ends at byte 0, inside its header; convert or copy it"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, demo_data: Path, vocabulary: object) -> Path:
    """A folder with the files that the mistakes are made with; none of them may be changed."""
    folder = tmp_path_factory.mktemp("mistakes")
    images, texts = demo_data / "imagenet", demo_data / "text"
    for words in (
        ["imagenet", "--source", images, "--out", folder / "x.beton"],
        ["openwebtext", "--source", texts, "--block", 32, "--out", folder / "t.beton"],
    ):
        done = CliRunner().invoke(main, ["convert", *map(str, words), "--quiet"])
        assert done.exit_code == 0, done.output
    whole = (folder / "x.beton").read_bytes()
    (folder / "train.beton").write_bytes(whole)
    (folder / "half.beton").write_bytes(whole[:38588])
    (folder / "tiny.beton").write_bytes(whole[:10])
    (folder / "nothing.beton").write_bytes(b"")
    shutil.copy(next(images.rglob("*.JPEG")), folder / "photo.jpg")
    (folder / "empty").mkdir()
    (folder / "empty_files").mkdir()
    for name in ("a.beton", "b.beton"):
        (folder / "empty_files" / name).touch()
    (folder / "loop").symlink_to("loop")
    (folder / "broken" / "train" / "a").mkdir(parents=True)
    (folder / "broken" / "train" / "a" / "x.jpg").write_bytes(b"no image")
    shutil.copy(demo_data / "cc3m_demo.tsv", folder / "c.tsv")
    for name, text in {
        "a.json": "{}",
        "a.csv": "x,y\n1,2\n",
        "bad.jsonl": '{"text": "a"}\n{"tex": "b"}\n',
        "key.yaml": "dataset: imagenet\nsourc: x\nout: y.beton\n",
        "dataset.yaml": "dataset: imagnet\nsource: x\nout: y.beton\n",
        "broken.yaml": "a: [\n",
        "without.yaml": "source: x\nout: y.beton\n",
        "nothing.yaml": "",
        "twice.yaml": "dataset: images\nout: x.beton\nout: y.beton\n",
        "rows.csv": "path,label\nphoto.jpg,1\n",
    }.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(("line", "status", "message"), MISTAKES, ids=[line for line, _, _ in MISTAKES])
def test_a_mistake_is_answered_in_one_line(
    line: str, status: int, message: str, place: Path, demo_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    there = {path: path.lstat().st_mtime_ns for path in place.rglob("*")}
    words = shlex.split(line.replace("DEMO", str(demo_data)))
    done = CliRunner().invoke(main, words, prog_name="ffprep")
    told = done.stderr.replace(str(demo_data), "DEMO")
    assert done.exit_code == status, done.output
    assert told.startswith("ffprep") and told.count("\n") == 1 and told.endswith("\n"), told
    assert message in told
    assert done.stdout == ""
    assert {path: path.lstat().st_mtime_ns for path in place.rglob("*")} == there


def test_the_list_is_long_enough() -> None:
    assert len(MISTAKES) >= 137


def test_a_truncated_file_is_not_said_to_have_no_samples(place: Path) -> None:
    done = CliRunner().invoke(main, ["verify", str(place / "half.beton")])
    assert done.exit_code == 1
    first, second = done.stdout.splitlines()
    assert first == f"{place / 'half.beton'}: 1 problem; nothing else could be looked at"
    assert second.endswith("convert or copy it again")
