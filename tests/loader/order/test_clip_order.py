"""Clips: which samples they are made of, and that their frames stay together and are augmented alike."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ffprep import ClipOrder, Loader
from ffprep.beton.writing.writer import Writer
from ffprep.errors import DecodeError, OptionError
from ffprep.fields import IntField, JSONField, RGBImageField
from ffprep.fields.decoders import IntDecoder, JSONDecoder, RandomResizedCropRGBImageDecoder
from ffprep.loader.order.clips import ClipShare
from ffprep.loader.order.share import Share
from ffprep.transforms import ColorJitter, RandomHorizontalFlip, Squeeze, ToTensor, ToTorchImage

VIDEOS = [7, 2, 5, 9, 1, 8]
"""Frames of each video: one is too short for a clip of three."""


class Tables:
    """As much of ``Files`` as an order needs."""

    def __init__(self, videos: Sequence[int], starts: Sequence[int]) -> None:
        self.starts = np.array(starts)
        self.fields = {"video": IntField()}
        self._videos = np.array(videos)

    def column(self, name: str) -> NDArray[Any]:
        return self._videos

    def __str__(self) -> str:
        return "tables"


def runs(indices: Sequence[int], videos: Sequence[int], starts: Sequence[int]) -> list[list[int]]:
    """Samples that follow one another, video by video: the slow twin."""
    found: list[list[int]] = []
    for i in indices:
        if found and found[-1][-1] == i - 1 and videos[i] == videos[i - 1] and i not in starts:
            found[-1].append(i)
        else:
            found.append([i])
    return found


@st.composite
def cases(draw: Any) -> tuple[list[int], list[int], list[int]]:
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=8))
    videos = [number for number, length in enumerate(lengths) for _ in range(length)]
    kept = [i for i in range(len(videos)) if draw(st.integers(0, 9)) > 0]
    return kept, videos, sorted({0, draw(st.integers(0, len(videos))), len(videos)})


@settings(max_examples=60)
@given(
    case=cases(), frames=st.integers(1, 4), stride=st.integers(1, 3), step=st.integers(1, 5), epoch=st.integers(0, 3)
)
def test_clips_are_windows_of_videos(case: Any, frames: int, stride: int, step: int, epoch: int) -> None:
    kept, videos, starts = case
    wanted = [
        run[at : at + (frames - 1) * stride + 1 : stride]
        for run in runs(kept, videos, starts)
        for at in range(0, len(run) - (frames - 1) * stride, step)
    ]
    tables: Any = Tables(videos, starts)
    bound = {shuffle: ClipOrder(frames, stride, "video", step=step, shuffle=shuffle) for shuffle in (True, False)}
    if not wanted:
        with pytest.raises(OptionError, match="no clip fits"):
            bound[True].bind(np.array(kept, np.int64), tables, 3)
        return
    for shuffle, option in bound.items():
        order = option.bind(np.array(kept, np.int64), tables, 3)
        positions = np.arange(len(order))
        ids = order.ids(epoch, positions)
        clips = ids.reshape(-1, frames).tolist()
        assert clips == wanted if not shuffle else sorted(clips) == wanted
        keys = order.keys(epoch, positions, ids).reshape(-1, frames)
        assert (keys == keys[:, :1]).all() and len(set(keys[:, 0].tolist())) == len(keys)
        some = positions[1::3]
        assert (order.ids(epoch, some) == ids[some]).all()


@settings(max_examples=30)
@given(case=cases(), frames=st.integers(1, 3), each=st.integers(1, 3), epoch=st.integers(0, 3))
def test_drawn_clips_lie_in_their_videos(case: Any, frames: int, each: int, epoch: int) -> None:
    kept, videos, starts = case
    long = [run for run in runs(kept, videos, starts) if len(run) >= 2 * frames - 1]
    if not long:
        return
    tables: Any = Tables(videos, starts)
    order = ClipOrder(frames, 2, "video", per_video=each, shuffle=False).bind(np.array(kept, np.int64), tables, 5)
    positions = np.arange(len(order))
    ids = order.ids(epoch, positions)
    clips = ids.reshape(len(long), each, frames)
    for run, drawn in zip(long, clips.tolist(), strict=True):
        assert all(set(clip) <= set(run) and np.all(np.diff(clip) == 2) for clip in drawn)
    keys = order.keys(epoch, positions, ids).reshape(-1, frames)
    assert (keys == keys[:, :1]).all() and len(set(keys[:, 0].tolist())) == len(keys)


def test_places_of_drawn_clips_are_uniform_and_change_with_the_epoch() -> None:
    tables: Any = Tables(np.repeat(np.arange(100), 12).tolist(), [0, 1200])
    order = ClipOrder(3, video="video", per_video=1, shuffle=False).bind(np.arange(1200), tables, 1)
    places = [order.ids(epoch, np.arange(len(order)))[::3] % 12 for epoch in range(20)]
    assert not np.array_equal(places[0], places[1])
    counts = np.bincount(np.concatenate(places), minlength=10)
    assert len(counts) == 10 and ((counts - 200) ** 2 / 200).sum() < 27.9  # chi-squared, 9 degrees, p = 0.001


@settings(max_examples=60)
@given(
    clips=st.integers(1, 30), frames=st.integers(1, 4), size=st.integers(1, 4), ranks=st.integers(1, 4),
    padded=st.booleans(), drop_last=st.booleans(), done=st.integers(0, 3),
)  # fmt: skip
def test_a_share_of_clips_is_a_share_of_their_numbers(
    clips: int, frames: int, size: int, ranks: int, padded: bool, drop_last: bool, done: int
) -> None:
    first = min(done * size * ranks, clips)
    for rank in range(ranks):
        plain = Share(size, rank, ranks, padded)
        share = ClipShare(size * frames, rank, ranks, padded, frames)
        assert share.step == plain.step * frames
        assert share.batches(clips * frames, drop_last, first * frames) == plain.batches(clips, drop_last, first)
        for batch in range(share.batches(clips * frames, drop_last, first * frames)):
            wanted = plain.positions(batch, clips, first)[:, None] * frames + np.arange(frames)
            assert (share.positions(batch, clips * frames, first * frames) == wanted.reshape(-1)).all()
        mine = share.within(first * frames, clips * frames, first * frames)
        assert (mine.reshape(-1, frames)[:, 0] // frames == np.arange(first + rank, clips, ranks)).all()


@pytest.fixture(scope="module")
def videos_beton(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of a picture that does not move, so that frames that are augmented alike are equal."""
    path = tmp_path_factory.mktemp("clips") / "videos.beton"
    rng = np.random.default_rng(0)
    fields = {"image": RGBImageField("jpg"), "video": IntField(), "text": JSONField()}
    with Writer(path, fields, sum(VIDEOS)) as writer:
        for number, length in enumerate(VIDEOS):
            coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3)).astype(np.uint8))
            buffer = io.BytesIO()
            coarse.resize((40 + number, 30), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
            for frame in range(length):
                values = {"image": buffer.getvalue(), "video": number, "text": [number, frame]}
                writer.write([fields[name].encode(values[name]) for name in fields])
    return path


def options(**more: Any) -> dict[str, Any]:
    image = [
        RandomResizedCropRGBImageDecoder(16),
        RandomHorizontalFlip(),
        ColorJitter(0.4, 0.4, 0.4, 0.1),
        ToTensor(),
        ToTorchImage(),
    ]
    order = ClipOrder(3, video="video")
    return {
        "seed": 4,
        "order": order,
        "pipelines": {"image": image, "text": [JSONDecoder()]},
        "with_index": True,
        "drop_last": False,
        **more,
    }


def epoch(loader: Loader) -> list[tuple[list[int], bytes]]:
    with loader:
        return [
            (index.tolist(), image.numpy().tobytes())
            for images, _, _, indices in loader
            for image, index in zip(images, indices, strict=True)
        ]


def test_outputs_have_a_dimension_for_frames_which_are_augmented_alike(videos_beton: Path) -> None:
    with Loader(videos_beton, 4, 2, **options()) as loader:
        images, videos, texts, indices = next(iter(loader))
        assert images.shape == (4, 3, 3, 16, 16) and videos.shape == (4, 3, 1) and indices.shape == (4, 3)
        assert (videos == videos[:, :1]).all() and (indices.diff(dim=1) == 1).all()
        assert torch.equal(images, images[:, :1].expand_as(images))
        assert len({clip.numpy().tobytes() for clip in images}) == 4
        assert [[text[0] for text in clip] for clip in texts] == videos.squeeze(2).tolist()
        assert len(loader) == 2 and len(loader.batch([0, 1])[0]) == 2


def test_any_number_of_threads_and_ranks_gives_the_same_clips(videos_beton: Path) -> None:
    wanted = epoch(Loader(videos_beton, 2, 1, **options()))
    assert sorted(index for index, _ in wanted) == [
        [start + at + k for k in range(3)]
        for start, length in zip(np.cumsum([0, *VIDEOS]).tolist(), VIDEOS, strict=False)
        for at in range(0, length - 2, 3)
    ]
    assert epoch(Loader(videos_beton, 2, 3, **options())) == wanted
    assert epoch(Loader(videos_beton, 2, 2, **options(os_cache=False))) == wanted
    ranks = [epoch(Loader(videos_beton, 1, 1, rank=rank, world_size=2, **options())) for rank in range(2)]
    assert [ranks[k % 2][k // 2] for k in range(len(wanted))] == wanted


def test_it_resumes_also_with_other_ranks_and_a_state_of_other_clips_is_refused(videos_beton: Path) -> None:
    wanted = epoch(Loader(videos_beton, 2, 1, **options()))
    with Loader(videos_beton, 2, 1, **options()) as loader:
        iterator = iter(loader)
        next(iterator)
        state = loader.state_dict()
    rest = []
    for rank in range(2):
        with Loader(videos_beton, 1, 1, rank=rank, world_size=2, **options()) as loader:
            loader.load_state_dict(state)
            rest.append([index.tolist() for batch in loader for index in batch[3]])
    assert [rest[k % 2][k // 2] for k in range(len(wanted) - 2)] == [index for index, _ in wanted[2:]]
    others = options(order=ClipOrder(2, video="video"))
    with Loader(videos_beton, 2, 1, **others) as loader, pytest.raises(OptionError):
        loader.load_state_dict(state)


def test_padding_is_of_whole_clips(videos_beton: Path) -> None:
    with Loader(videos_beton, 3, 1, pad="mask", rank=1, world_size=2, **options()) as loader:
        batches = list(loader)
    assert [tuple(batch[0].shape[:2]) for batch in batches] == [(3, 3)] * len(batches)
    masks = torch.cat([batch[4] for batch in batches])
    assert masks.shape[1] == 3 and (masks == masks[:, :1]).all() and not masks.all()


def test_a_clip_with_a_bad_frame_is_left_out_or_replaced_whole(videos_beton: Path, tmp_path: Path) -> None:
    wanted = epoch(Loader(videos_beton, 2, 1, **options()))
    bad = wanted[1][0][1]
    with Loader(videos_beton, 1, **options(pipelines={"image": None})) as loader:
        offset = int(loader.files.readers[0].extents("image")[0][bad])
    data = bytearray(videos_beton.read_bytes())
    data[offset : offset + 2] = b"\0\0"
    damaged = tmp_path / "damaged.beton"
    damaged.write_bytes(data)
    with pytest.raises(DecodeError):
        epoch(Loader(damaged, 2, 1, **options()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert epoch(Loader(damaged, 2, 1, on_error="skip", **options())) == wanted[:1] + wanted[2:]
        replaced = epoch(Loader(damaged, 2, 1, on_error="replace", **options()))
    assert replaced[1] in wanted and replaced[1] != wanted[1]
    assert replaced[:1] + replaced[2:] == wanted[:1] + wanted[2:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "frames is 0"),
        ({"frames": 2, "stride": 0}, "stride is 0"),
        ({"frames": 2, "step": 1, "per_video": 1}, "not both"),
        ({"frames": 40, "video": "video"}, "no clip fits"),
        ({"frames": 2, "video": "speed"}, "no field 'speed'"),
        ({"frames": 2, "video": "image"}, "whole numbers"),
    ],
)
def test_what_is_refused(videos_beton: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Loader(videos_beton, 2, 1, **options(order=ClipOrder(**arguments)))


def test_without_a_field_a_file_is_one_video(videos_beton: Path) -> None:
    pipelines: dict[str, Any] = {"image": None, "text": None}
    both = [videos_beton, videos_beton]
    order = ClipOrder(5, shuffle=False)
    with Loader(both, 1, 1, order=order, pipelines=pipelines, with_index=True, drop_last=False) as loader:
        clips = [index[0].tolist() for _, index in loader]
    assert clips == [list(range(at, at + 5)) for start in (0, 32) for at in range(start, start + 30, 5)]


def test_a_transform_of_labels_sees_rows_of_frames(videos_beton: Path) -> None:
    more = options(pipelines={"image": None, "text": None, "video": [IntDecoder(), ToTensor(), Squeeze()]})
    with Loader(videos_beton, 4, 1, **more) as loader:
        videos, _ = next(iter(loader))
    assert videos.shape == (4, 3)
