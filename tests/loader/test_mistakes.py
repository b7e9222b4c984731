"""What users get wrong in Python, and what they are told: in one line, what is wrong, where, and what to do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import ffprep
from ffprep import presets, transforms
from ffprep.cli import main
from tests.loader.mistakes import MISTAKES, NAMES


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, demo_data: Path, vocabulary: object) -> Path:
    """A folder with the files that the mistakes are made with."""
    folder = tmp_path_factory.mktemp("mistakes")
    for words in (
        ["imagenet", "--source", demo_data / "imagenet", "--out", folder / "images.beton"],
        ["openwebtext", "--source", demo_data / "text", "--block", 32, "--out", folder / "blocks.beton"],
    ):
        done = CliRunner().invoke(main, ["convert", *map(str, words), "--quiet"])
        assert done.exit_code == 0, done.output
    (folder / "half.beton").write_bytes((folder / "images.beton").read_bytes()[:38588])
    shutil.copy(next((demo_data / "imagenet").rglob("*.JPEG")), folder / "photo.jpg")
    (folder / "empty").mkdir()
    return folder


@pytest.mark.parametrize(("call", "kind", "message"), MISTAKES, ids=[call for call, _, _ in MISTAKES])
def test_a_mistake_is_answered_in_one_line(
    call: str, kind: type[Exception], message: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK"):
        monkeypatch.delenv(name, raising=False)
    with (place / "images.beton").open("rb") as opened, pytest.raises(kind) as caught:
        eval(call, {**NAMES, "opened": opened})
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert isinstance(caught.value, kind)


def test_the_list_is_long_enough() -> None:
    assert len(MISTAKES) >= 90


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_gpu_is_named_when_an_epoch_begins(place: Path) -> None:
    with (
        presets.imagenet_train(place / "images.beton", 2, size=32, device="cuda") as loader,
        pytest.raises(ffprep.errors.OptionError, match="torch sees no CUDA device here; leave the device out, or look"),
    ):
        iter(loader)


class Shouting(transforms.Transform):
    def __init__(self, times: int) -> None:
        self.times = int(times)

    def apply(self, x: Any, batch: Any) -> Any:
        return x


def test_what_the_constructor_of_a_users_own_class_raises_is_left_alone() -> None:
    with pytest.raises(ValueError, match="^invalid literal for int"):
        Shouting("loud")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        transforms.Cutout()  # type: ignore[call-arg]
