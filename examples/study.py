"""The whole way of a study: from published indexes, archives and texts to balanced batches; docs/study.md walks it.

python examples/study.py                                  # the demo data; a server on this machine stands for the web
python examples/study.py --work DIR --limit 500000 --cc3m Train_GCC-training.tsv --sbu sbu-captions-all.json \
    --coco-images train2014.zip --coco-images val2014.zip --coco-annotations dataset_coco.json \
    --coco-split karpathy:train+restval --text openwebtext/ --glue glue/
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import demo_data
import torch
from models import TextEncoder
from torch import nn

from ffprep.presets import image_text_train, text_blocks, text_rows


@dataclass
class Sources:
    """Where the data come from."""

    cc3m: Path
    sbu: Path
    coco_images: list[Path]
    coco_annotations: Path
    text: Path
    glue: Path
    coco_split: list[str] = field(default_factory=list)
    limit: list[str] = field(default_factory=list)
    private: list[str] = field(default_factory=list)


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def demo_sources(work: Path) -> Iterator[Sources]:
    """The demo data: its photographs on a server of this machine, and indexes that name them and some that are gone."""
    coco = demo_data.DEMO / "coco"
    handler = partial(Quiet, directory=str(coco / "val2014"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            names = [*sorted(path.name for path in (coco / "val2014").glob("*.jpg")), "gone.jpg"]
            urls = [f"http://127.0.0.1:{server.server_address[1]}/{name}" for name in names]
            captions = [f"what photograph {number} shows" for number in range(len(urls))]
            rows = zip(captions, urls, strict=True)
            (work / "cc3m.tsv").write_text("".join(f"{caption}\t{url}\n" for caption, url in rows))
            sbu = {"captions": captions[::2], "image_urls": urls[::2], "user_ids": ["x"] * len(urls[::2])}
            (work / "sbu.json").write_text(json.dumps(sbu))
            annotations = coco / "annotations" / "captions_val2014.json"
            (work / "novels").mkdir(exist_ok=True)
            for number in range(16):  # the beginnings of two novels are short
                for novel in (demo_data.DEMO / "text").glob("*.txt"):
                    (work / "novels" / f"{number:02}-{novel.name}").write_bytes(novel.read_bytes())
            yield Sources(
                work / "cc3m.tsv",
                work / "sbu.json",
                [coco / "val2014"],
                annotations,
                work / "novels",
                demo_data.DEMO / "glue",
                private=["--allow-private"],
            )
        finally:
            server.shutdown()
            thread.join()


def ffprep(*words: str | Path) -> None:
    """Show a command and run it, as in a shell."""
    print("$ ffprep", shlex.join(map(str, words)), flush=True)
    subprocess.run([sys.executable, "-m", "ffprep", *map(str, words)], check=True)


def convert(sources: Sources, work: Path) -> dict[str, Path]:
    """Everything that is done once: download, convert, check, count. A step whose file is there is not repeated."""
    files = {name: work / f"{name}.beton" for name in ("cc3m", "sbu", "coco", "text")}
    for name, index in (("cc3m", sources.cc3m), ("sbu", sources.sbu)):
        if not files[name].exists():
            shards = work / f"{name}-shards"
            ffprep("download", name, "--index", index, "--out", shards, *sources.limit, *sources.private)
            ffprep("convert", name, "--shards", shards, "--grouped", "--out", files[name])
    if not files["coco"].exists():
        images = [word for path in sources.coco_images for word in ("--images", path)]
        annotations = ["--annotations", sources.coco_annotations, *sources.coco_split]
        ffprep("convert", "coco", *images, *annotations, "--grouped", "--out", files["coco"])
    if not files["text"].exists():
        ffprep("convert", "openwebtext", "--source", sources.text, "--block", "192", "--out", files["text"])
    if not (work / "glue").exists():
        ffprep("convert", "glue", "--task", "all", "--source", sources.glue, "--split", "train", "--out", work / "glue")
    ffprep("verify", *files.values(), *sorted((work / "glue").glob("*.beton")))
    ffprep("stats", files["coco"], files["cc3m"], files["sbu"], "--form", "markdown")
    return files


def show_pairs(paths: list[Path], options: argparse.Namespace) -> None:
    """Two epochs of images with captions, each image about once, whatever file it is in."""
    with image_text_train(
        paths,
        options.batch_size,
        seed=0,
        size=options.size,
        weights="balanced",
        captions="random",
        mask=True,
        trim=True,
        file=True,
        vocabulary="fairseq",
    ) as loader:
        for epoch in range(2):
            seen: Counter[str] = Counter()
            for images, tokens, lengths, _image_ids, mask, file in loader:
                assert len(images) == len(tokens) and torch.equal(mask.sum(1), lengths)
                seen.update(paths[number].stem for number in file.tolist())
            print(f"epoch {epoch}: " + ", ".join(f"{count} of {name}" for name, count in sorted(seen.items())))


def show_blocks(path: Path, options: argparse.Namespace) -> None:
    """One batch of a corpus with some of its tokens masked."""
    with text_blocks(path, options.batch_size, seed=0, block=192, vocabulary="fairseq") as loader:
        [tokens] = next(iter(loader))
        words = loader.vocabulary
        hidden = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(0)) < 0.15
        given = torch.where(hidden, words.mask, tokens)
        print(f"text: {tuple(given.shape)}, {int(hidden.sum())} tokens masked; {words.decode(tokens[0])[:40]!r}")


def show_rows(path: Path, options: argparse.Namespace) -> None:
    """Some steps of fine-tuning on a task of GLUE."""
    with text_rows(path, options.batch_size, seed=0, trim=True, vocabulary="fairseq") as loader:
        torch.manual_seed(0)
        body, head = TextEncoder(loader.vocabulary.size, 128), nn.Linear(64, 2)
        optimizer = torch.optim.AdamW([*body.parameters(), *head.parameters()], 1e-3)
        loss = torch.zeros(())
        for tokens, _lengths, labels, mask in loader:
            loss = nn.functional.cross_entropy(head(body(tokens, mask)[:, 0]), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"{path.stem}: loss {loss.item():.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder of the files; a temporary one by default")
    parser.add_argument("--cc3m", type=Path, help="index of Conceptual Captions; without it the demo data are taken")
    parser.add_argument("--sbu", type=Path, help="index of SBU")
    parser.add_argument("--coco-images", type=Path, action="append", help="folder or zip")
    parser.add_argument("--coco-annotations", type=Path)
    parser.add_argument("--coco-split", help="such as karpathy:train+restval")
    parser.add_argument("--text", type=Path, help="OpenWebText's chunks, or any texts")
    parser.add_argument("--glue", type=Path, help="GLUE's folder")
    parser.add_argument("--limit", type=int, help="images of each index")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(parents=True, exist_ok=True)
        if options.cc3m is None:
            sources = stack.enter_context(demo_sources(work))
        else:
            sources = Sources(
                options.cc3m,
                options.sbu,
                options.coco_images,
                options.coco_annotations,
                options.text,
                options.glue,
                ["--split", options.coco_split] if options.coco_split else [],
                ["--limit", str(options.limit)] if options.limit else [],
            )
        files = convert(sources, work)
        show_pairs([files["coco"], files["cc3m"], files["sbu"]], options)
        show_blocks(files["text"], options)
        for path in sorted((work / "glue").glob("cola-*.beton")):
            show_rows(path, options)


if __name__ == "__main__":
    main()
