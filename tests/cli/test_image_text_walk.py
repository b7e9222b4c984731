"""From an index of URLs and a folder of COCO to batches of a mix of both, as docs/image_text.md walks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ffprep.cli import main
from ffprep.presets import image_text_train, image_text_val
from ffprep.text.tokens.vocabulary import Vocabulary


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server(demo_data: Path) -> Iterator[str]:
    handler = partial(Quiet, directory=str(demo_data / "coco" / "val2014"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()
        thread.join()


def ffprep(*arguments: object) -> str:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_from_index_and_folder_to_batches(server: str, demo_data: Path, tmp_path: Path, vocabulary: Vocabulary) -> None:
    pytest.importorskip("aiohttp")
    coco = demo_data / "coco"
    names = sorted(path.name for path in (coco / "val2014").glob("*.jpg"))
    rows = [f"caption number {i}\t{server}/{name}" for i, name in enumerate([*names, "gone.jpg"])]
    (tmp_path / "index.tsv").write_text("\n".join(rows) + "\n")
    ffprep("download", "cc3m", "--index", tmp_path / "index.tsv", "--out", tmp_path / "shards", "--allow-private",
           "--retries", 0, "--quiet")  # fmt: skip
    ffprep(
        "convert", "cc3m", "--shards", tmp_path / "shards", "--out", tmp_path / "cc3m.beton", "--keep-text", "--quiet"
    )
    annotations = next((coco / "annotations").glob("captions_*.json"))
    ffprep("convert", "coco", "--images", coco / "val2014", "--annotations", annotations, "--grouped", "--keep-text",
           "--out", tmp_path / "coco.beton", "--quiet")  # fmt: skip
    paths = [tmp_path / "coco.beton", tmp_path / "cc3m.beton"]
    assert "| total | " in ffprep("stats", *paths, "--form", "markdown")

    texts: set[str] = set()
    with image_text_train(
        paths, 4, 2, 0, size=32, weights="balanced", mask=True, trim=True, text=True, file=True, vocabulary="fairseq"
    ) as loader:
        assert len(loader) == 3
        for _ in range(30):
            files = []
            for images, tokens, lengths, ids, some, mask, file in loader:
                assert images.shape == (4, 3, 32, 32) and tokens.shape == mask.shape == (4, int(lengths.max()))
                assert torch.equal(mask.sum(1), lengths) and ids.shape == (4,)
                for row, length, text in zip(tokens, lengths, some, strict=True):
                    assert vocabulary.decode(row[:length].numpy().astype(np.uint16)) == text
                texts |= set(some)
                files += file.tolist()
            assert sorted(files) == [0] * 6 + [1] * 6
    import json

    captions = [a["caption"].strip() for a in json.loads(annotations.read_text())["annotations"]]
    assert texts == {*captions, *(f"caption number {i}" for i in range(6))}
    with image_text_val(tmp_path / "coco.beton", 6, 1, size=32) as val:
        [(_, tokens, lengths, counts, ids)] = list(val)
    assert tokens.shape[:2] == lengths.shape and torch.equal(lengths.ne(0).sum(1), counts)
    assert len(ids.unique()) == 6
