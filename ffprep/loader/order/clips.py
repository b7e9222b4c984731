"""Clips: windows of consecutive samples, such as the frames of a video, that are shown and augmented together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ffprep.common.seeds import signed, unsigned
from ffprep.errors import OptionError
from ffprep.kernels.random import uniforms
from ffprep.loader.files import Files, Ids
from ffprep.loader.order.order import Order
from ffprep.loader.order.permute import permute
from ffprep.loader.order.share import Share

OP_CLIP = 0xFFFF0020
"""Random stream of the places of clips."""


class ClipOrder:
    """Clips of several frames: ``Loader(order=ClipOrder(8, video="video_id"))``.

    A clip is `frames` samples that follow one another in a video, every `stride`-th one. All of its frames get the same
    random draws, so that crop, flip and colour agree. `batch_size` counts clips, and each output gains a dimension:
    images are (batch, frames, 3, height, width). Clips are what is shuffled, shared among ranks, and left out or
    replaced if a frame cannot be decoded.

    Frames of a video are samples that follow one another in the loader's ``indices`` and in the file. A video ends
    where its number changes, where a file ends, and where samples are left out. Those that are too short for a clip are
    not shown.

    Parameters
    ----------
    frames : int
        Frames of a clip.
    stride : int
        Distance of two frames of a clip, in samples: 4 takes every fourth.
    video : str, optional
        Field of whole numbers that says which video a sample belongs to. None: each file is one video.
    step : int, optional
        Distance between the first frames of two clips. By default clips follow one another without overlap.
    per_video : int, optional
        Clips of each video in an epoch, at random places that are drawn anew in each epoch, instead of one every
        `step` samples.
    shuffle : bool
        Show the clips in a random order, another in each epoch, rather than in the file's.

    Raises
    ------
    OptionError
        A number is below 1, or both `step` and `per_video` are given.
    """

    def __init__(
        self,
        frames: int,
        stride: int = 1,
        video: str | None = None,
        *,
        step: int | None = None,
        per_video: int | None = None,
        shuffle: bool = True,
    ) -> None:
        numbers = {"frames": frames, "stride": stride, "step": step, "per_video": per_video}
        for name, number in numbers.items():
            if number is not None and (int(number) != number or number < 1):
                raise OptionError(f"ClipOrder: {name} is {number}; give a whole number from 1")
        if step is not None and per_video is not None:
            raise OptionError(
                "ClipOrder takes a clip every `step` samples or `per_video` clips of each video, not both"
            )
        self.frames, self.stride, self.video = int(frames), int(stride), video
        self.step = self.frames * self.stride if step is None else int(step)
        self.per_video, self.shuffle = None if per_video is None else int(per_video), bool(shuffle)

    @property
    def name(self) -> str:
        """What a saved state says of the order."""
        places = f"one every {self.step}" if self.per_video is None else f"{self.per_video} of each video"
        order = "shuffled" if self.shuffle else "in order"
        return f"CLIPS of {self.frames} frames {self.stride} apart, {places}, {order}"

    def bind(self, indices: Ids, files: Files, seed: int) -> Order:
        """Return the order over `indices`.

        Raises
        ------
        OptionError
            The field is none of whole numbers, or no video is long enough for a clip.
        """
        first, length = self._videos(indices, files)
        reach = (self.frames - 1) * self.stride + 1
        long = length >= reach
        if not long.any():
            most = int(length.max(initial=0))
            raise OptionError(
                f"{files}: no clip fits: {self.frames} frames {self.stride} apart reach over {reach} samples, and the "
                f"longest of {len(length)} videos has {most}"
            )
        first, places = first[long], length[long] - reach + 1
        if self.per_video is not None:
            return _DrawnClips(self, first, places, seed)
        counts = -(-places // self.step)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return _Clips(self, np.repeat(first, counts) + self.step * within, seed)

    def _videos(self, indices: Ids, files: Files) -> tuple[Ids, Ids]:
        """Return the first sample and the number of samples of each video."""
        new = np.ones(len(indices), bool)
        new[1:] = (np.diff(indices) != 1) | np.isin(indices[1:], files.starts)
        if self.video is not None:
            if self.video not in files.fields:
                raise OptionError(f"ClipOrder: {files} has no field {self.video!r}; it has {', '.join(files.fields)}")
            numbers = files.column(self.video)
            if numbers.dtype.kind not in "iu":
                raise OptionError(
                    f"ClipOrder: field {self.video!r} does not hold whole numbers, which tell videos apart"
                )
            mine = numbers[indices]
            new[1:] |= mine[1:] != mine[:-1]
        starts = np.flatnonzero(new)
        return indices[starts], np.diff(np.append(starts, len(indices)))

    def __repr__(self) -> str:
        places = f"step={self.step}" if self.per_video is None else f"per_video={self.per_video}"
        return f"ClipOrder({self.frames}, {self.stride}, {self.video!r}, {places}, shuffle={self.shuffle})"


@dataclass(frozen=True)
class ClipShare(Share):
    """What one rank takes of an order of clips: every ``world_size``-th clip, whole.

    `batch_size` counts samples, a multiple of `frames`. Positions where an epoch begins are multiples of `frames`, too.
    """

    def _clips(self) -> Share:
        return replace(self.in_samples(), batch_size=self.batch_size // self.frames)

    def in_samples(self) -> Share:
        """Return a share that does not know of clips."""
        return Share(self.batch_size, self.rank, self.world_size, self.padded)

    def batches(self, total: int, drop_last: bool, first: int = 0) -> int:
        """Return how many batches this rank gets of the positions ``[first, total)``."""
        return self._clips().batches(total // self.frames, drop_last, first // self.frames)

    def positions(self, batch: int, total: int, first: int = 0, count: int = 1) -> Ids:
        """Return the positions of this rank's batch number ``batch``, or of `count` from it on, clip by clip."""
        return self._of_clips(self._clips().positions(batch, total // self.frames, first // self.frames, count))

    def within(self, start: int, stop: int, first: int = 0) -> Ids:
        """Return this rank's positions in ``[start, stop)``."""
        outer = self._of_clips(
            self._clips().within(start // self.frames, -(-stop // self.frames), first // self.frames)
        )
        return outer[(outer >= start) & (outer < stop)]

    def _of_clips(self, clips: Ids) -> Ids:
        return (clips[:, None] * self.frames + np.arange(self.frames)).reshape(-1)


class _Clips(Order):
    """Clips at fixed places; `firsts` are their first samples."""

    def __init__(self, option: ClipOrder, firsts: Ids, seed: int) -> None:
        self._option = option
        self._firsts = firsts
        self._count = len(firsts)
        self._seed = seed

    def __len__(self) -> int:
        return self._count * self._option.frames

    def _first(self, epoch: int, clips: Ids) -> tuple[Ids, Ids]:
        """Return the first samples of clips, and the keys of their random draws."""
        return self._firsts[clips], self._firsts[clips]

    def _of(self, epoch: int, positions: Ids) -> tuple[Ids, Ids]:
        clips = np.ascontiguousarray(positions) // self._option.frames
        if self._option.shuffle and len(clips):
            clips = permute(clips, self._count, unsigned(self._seed), unsigned(epoch), np.uint64(2))
        return self._first(epoch, clips)

    def ids(self, epoch: int, positions: Ids) -> Ids:
        return self._of(epoch, positions)[0] + positions % self._option.frames * self._option.stride

    def keys(self, epoch: int, positions: Ids, ids: Ids) -> Ids:
        return self._of(epoch, positions)[1]

    def share(self, share: Share) -> Share:
        """Let a rank take whole clips, as many as its batch size says."""
        frames = self._option.frames
        return ClipShare(share.batch_size * frames, share.rank, share.world_size, share.padded, frames)


class _DrawnClips(_Clips):
    """Some clips of each video, at random places; `places` says how many there are in each video."""

    def __init__(self, option: ClipOrder, firsts: Ids, places: Ids, seed: int) -> None:
        assert option.per_video is not None
        super().__init__(option, firsts, seed)
        self._places = places
        self._each = option.per_video
        self._count = len(firsts) * option.per_video

    def _first(self, epoch: int, clips: Ids) -> tuple[Ids, Ids]:
        video = clips // self._each
        keys = self._firsts[video] * self._each + clips % self._each
        draws = uniforms(signed(self._seed), epoch, np.ascontiguousarray(keys), OP_CLIP, 0)
        return self._firsts[video] + (draws * self._places[video]).astype(np.int64), keys
