"""Images with captions as samples: one a caption (pairs that share their image), or one an image (grouped)."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ffprep.errors import ConversionError, OptionError, SourceError
from ffprep.fields import BytesField, IntField, JSONField, NDArrayField
from ffprep.fields.base import Encoded, Shared
from ffprep.sources.reading.files import Files
from ffprep.text.tokens.sequences import Rows, encode_rows

if TYPE_CHECKING:
    from ffprep.fields import Field, RGBImageField
    from ffprep.text.tokens.vocabulary import Vocabulary

LENGTH = 64
"""Tokens of a caption by default, marks included; BEiT-3's limit for image-text pairs."""
MEASURED = 2000


class Captions(Protocol):
    """Captions by number of the image they belong to."""

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Captions of each image, shape (images,)."""

    def of(self, image: int) -> Sequence[str]:
        """Captions of an image, in the order they were published."""


class ListedCaptions:
    """Captions held in memory.

    Parameters
    ----------
    captions : Sequence[Sequence[str]]
        One list an image; blanks around a caption are stripped, nothing else is changed.
    """

    def __init__(self, captions: Sequence[Sequence[str]]) -> None:
        self._captions = [[caption.strip() for caption in some] for some in captions]
        self.counts: npt.NDArray[np.int64] = np.array([len(some) for some in captions], np.int64)

    def of(self, image: int) -> Sequence[str]:
        return self._captions[image]


class Row(NamedTuple):
    """Tokens of one caption or of K captions, and how many tokens did not fit."""

    tokens: npt.NDArray[np.uint16]
    cut: int


class _Encoded(NamedTuple):
    """Captions of one sample, as rows `start` to `stop` of what was encoded together."""

    image: int
    texts: list[str]
    rows: Rows
    start: int
    stop: int


class CaptionTokensField(NDArrayField):
    """Token array that reports captions which were too long for it. Stored as an ``NDArrayField``."""

    def encode(self, value: Any) -> Encoded:
        plain = super().encode(value.tokens)
        if not value.cut:
            return plain
        return Encoded(plain.metadata, plain.payload, ("truncated", f"caption longer than {self.shape[-1]} tokens"))


class CaptionSource:
    """Images and captions of one data set.

    Parameters
    ----------
    name : str
        Of the data set.
    files : Files
        The images.
    image_ids : ndarray of int64, shape (images,)
        The data set's numbers of them.
    captions : Captions
    image : RGBImageField
        How images are stored.
    vocabulary : Vocabulary
    form : {"pairs", "grouped"}
        ``pairs``: fields ``image``, ``tokens`` (length,), ``length``, ``image_id``; a sample for each caption, those of
        one image following one another and sharing its bytes in the file. ``grouped``: ``tokens`` (K, length),
        ``length`` (K,), ``captions``, ``image_id``; a sample for each image.
    length : int
        Tokens of a caption, ``<s>`` and ``</s>`` included.
    most : int, optional
        K of the grouped form; by default the largest number of captions an image has. Further captions are left out.
    text : bool
        Store the captions' text as well: field ``caption``, UTF-8 bytes (pairs) or a JSON list (grouped).
    facts : dict
        What the manifest says beside all this.
    """

    def __init__(
        self,
        name: str,
        files: Files,
        image_ids: npt.NDArray[np.int64],
        captions: Captions,
        *,
        image: RGBImageField,
        vocabulary: Vocabulary,
        form: str = "pairs",
        length: int = LENGTH,
        most: int | None = None,
        text: bool = False,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        if form not in ("pairs", "grouped"):
            raise OptionError(f"form is 'pairs' or 'grouped', not {form!r}")
        if length < 2:
            raise OptionError(f"length {length}: <s> and </s> alone take 2 tokens")
        self.name = name
        self.form = form
        self.vocabulary = vocabulary
        self.length = length
        self._files = files
        self._ids = image_ids
        self._captions = captions
        self._text = text
        self._ends = np.cumsum(captions.counts)
        if not len(self._ends) or not self._ends[-1]:
            raise SourceError(f"{name}: no image has a caption")
        self.most = int(captions.counts.max()) if most is None else most
        self._images = _SharedImages(files)
        self._announced: dict[int, _Encoded] = {}
        self.fields: Mapping[str, Field] = self._make_fields(image)
        self.facts = dict(facts or {})

    def _make_fields(self, image: RGBImageField) -> dict[str, Field]:
        fields: dict[str, Field] = {"image": image}
        if self.form == "pairs":
            fields["tokens"] = CaptionTokensField(np.uint16, (self.length,))
            fields["length"] = IntField()
            fields["image_id"] = IntField()
            if self._text:
                fields["caption"] = BytesField()
        else:
            fields["tokens"] = CaptionTokensField(np.uint16, (self.most, self.length))
            fields["length"] = NDArrayField(np.int32, (self.most,))
            fields["captions"] = IntField()
            fields["image_id"] = IntField()
            if self._text:
                fields["caption"] = JSONField()
        return fields

    def __len__(self) -> int:
        return int(self._ends[-1]) if self.form == "pairs" else len(self._ends)

    def sample(self, index: int) -> tuple[Any, ...]:
        found = self._announced.pop(index, None)
        image, texts, rows, start, stop = found if found is not None else self._encode([index])[0]
        number = int(self._ids[image])
        if self.form == "pairs":
            row = Row(rows.tokens[start], int(rows.cut[start]))
            values: tuple[Any, ...] = (self._images.get(image), row, int(rows.lengths[start]), number)
            return (*values, texts[0].encode("utf-8", "replace")) if self._text else values
        tokens = np.full((self.most, self.length), self.vocabulary.pad, np.uint16)
        lengths = np.zeros(self.most, np.int32)
        tokens[: len(texts)], lengths[: len(texts)] = rows.tokens[start:stop], rows.lengths[start:stop]
        row = Row(tokens, int(rows.cut[start:stop].sum()))
        values = (self._files.read(image), row, lengths, len(texts), number)
        return (*values, texts) if self._text else values

    def announce(self, indices: Sequence[int]) -> None:
        """Encode the captions of samples that are asked for soon: together, they take a fraction of the time."""
        new = [index for index in indices if index not in self._announced]
        # One that cannot be encoded leaves all to be encoded when they are asked for, and the bad one raises.
        with contextlib.suppress(Exception):
            self._announced.update(zip(new, self._encode(new) if new else (), strict=True))

    def _encode(self, indices: Sequence[int]) -> list[_Encoded]:
        """Captions and rows of tokens of some samples."""
        places = [(index, 0) for index in indices] if self.form == "grouped" else self._places(indices)
        texts: list[list[str]] = []
        for image, number in places:
            captions = self._captions.of(image)
            texts.append(list(captions)[: self.most] if self.form == "grouped" else [captions[number]])
        rows = encode_rows(self.vocabulary, [text for some in texts for text in some], None, self.length)
        found, start = [], 0
        for (image, _), some in zip(places, texts, strict=True):
            found.append(_Encoded(image, some, rows, start, start + len(some)))
            start += len(some)
        return found

    def sample_name(self, index: int) -> str:
        if self.form == "grouped":
            return self._files.names[index]
        ((image, number),) = self._places([index])
        return f"{self._files.names[image]}#{number}"

    def _places(self, indices: Sequence[int]) -> list[tuple[int, int]]:
        """Images of pairs, and which of their captions."""
        images = np.searchsorted(self._ends, indices, side="right")
        numbers = np.asarray(indices) - self._ends[images] + self._captions.counts[images]
        return list(zip(images.tolist(), numbers.tolist(), strict=True))

    def field_bytes(self) -> dict[str, int]:
        """Bytes of all images, each counted once; from the sizes of `MEASURED` of them at most. For a plan."""
        count = len(self._ends)
        some = np.unique(np.linspace(0, count - 1, min(count, MEASURED)).astype(np.int64))
        return {"image": round(sum(self._files.size(int(i)) for i in some) / len(some) * count)}

    def manifest(self) -> dict[str, Any]:
        counts = self._captions.counts
        return {
            "dataset": self.name,
            "form": self.form,
            "images": len(counts),
            "captions": int(np.minimum(counts, self.most).sum()) if self.form == "grouped" else int(self._ends[-1]),
            "captions_left_out": int(np.maximum(counts - self.most, 0).sum()) if self.form == "grouped" else 0,
            "vocabulary": self.vocabulary.manifest(),
            "length": self.length,
            **self.facts,
        }


class _SharedImages:
    """The image of several consecutive samples, read once while they are converted by several threads."""

    ROOM = 256

    def __init__(self, files: Files) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, tuple[threading.Lock, list[Shared]]] = OrderedDict()

    def get(self, image: int) -> Shared:
        with self._lock:
            entry = self._kept.get(image)
            if entry is None:
                entry = self._kept[image] = (threading.Lock(), [])
                while len(self._kept) > self.ROOM:
                    self._kept.popitem(last=False)
        lock, found = entry
        with lock:
            if not found:
                found.append(Shared(image, self._files.read(image)))
            return found[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return (_SharedImages, (self._files,))


def parse_json(data: bytes, where: str) -> Any:
    """JSON from a file that may be anything.

    Raises
    ------
    SourceError
        When it is not JSON.
    """
    import json

    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where}: not valid JSON: {error}") from None


def as_text(value: Any, where: str) -> str:
    """A caption that must be a string.

    Raises
    ------
    ConversionError
        When it is something else.
    """
    if not isinstance(value, str):
        raise ConversionError(f"{where}: the caption is not text but {type(value).__name__}")
    return value
