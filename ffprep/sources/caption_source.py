"""Images with captions as samples: one per caption (pairs, which share images) or one per image (grouped)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError, SourceError
from ffprep.fields import BytesField, IntField, JSONField, NDArrayField
from ffprep.fields.base import Encoded, Shared
from ffprep.sources.reading.file_sets import FileSet
from ffprep.sources.reading.left_out import LeftOut
from ffprep.sources.reading.load_cache import LoadCache
from ffprep.text.tokens.sequences import EncodedRows, encode_rows

if TYPE_CHECKING:
    from ffprep.fields import Field, RGBImageField
    from ffprep.text.tokens.vocabulary import Vocabulary

LENGTH = 64
"""Default number of tokens per caption, including marks: BEiT-3's limit for image-text pairs."""
MEASURED = 2000
"""The most images whose sizes are read for an estimate of all."""
KEPT_IMAGES = 256
"""Images that are kept for the following captions of the same image."""


class Captions(Protocol):
    """Captions by the number of their image."""

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Number of captions of each image, of shape (images,)."""

    def of(self, image: int) -> Sequence[str]:
        """The captions of an image, in the order in which they were published."""


class ListedCaptions:
    """Captions held in memory.

    Parameters
    ----------
    captions : Sequence[Sequence[str]]
        A list for each image. Blanks around captions are stripped; nothing else is changed.
    """

    def __init__(self, captions: Sequence[Sequence[str]]) -> None:
        self._captions = [[caption.strip() for caption in some] for some in captions]
        self.counts: npt.NDArray[np.int64] = np.array([len(some) for some in captions], np.int64)

    def of(self, image: int) -> Sequence[str]:
        return self._captions[image]


class CaptionTokens(NamedTuple):
    """Tokens of one caption or of K captions, and the number of tokens that did not fit."""

    tokens: npt.NDArray[Any]
    cut: int


class _Encoded(NamedTuple):
    """The captions of one sample: rows `start` to `stop` of those that were encoded together."""

    image: int
    texts: list[str]
    rows: EncodedRows
    start: int
    stop: int


class CaptionTokensField(NDArrayField):
    """An array of tokens that reports captions which are too long for it; stored as an ``NDArrayField``."""

    type_id: ClassVar[int] = NDArrayField.type_id

    def encode(self, value: Any) -> Encoded:
        plain = super().encode(value.tokens)
        if not value.cut:
            return plain
        return Encoded(plain.metadata, plain.payload, ("truncated", f"caption longer than {self.shape[-1]} tokens"))


class CaptionSource:
    """A source of images with captions.

    Parameters
    ----------
    name : str
        Name of the data set.
    files : FileSet
        The images.
    image_ids : ndarray of int64, shape (images,)
        The data set's own numbers of the images.
    captions : Captions
    image : RGBImageField
        How images are stored.
    vocabulary : Vocabulary
    form : {"pairs", "grouped"}
        ``pairs``: a sample for each caption, with the fields ``image``, ``tokens`` (length,), ``length`` and
        ``image_id``. The samples of one image follow one another, and share its bytes in the file. ``grouped``: a
        sample for each image, with the fields ``image``, ``tokens`` (K, length), ``length`` (K,), ``captions`` and
        ``image_id``.
    length : int
        Tokens per caption, including ``<s>`` and ``</s>``.
    most : int, optional
        K of the grouped form; by default the largest number of captions of an image. Further captions are left out.
    text : bool
        Whether to store the captions' text as well, in the field ``caption``: as UTF-8 bytes (pairs) or as a JSON list
        (grouped).
    facts : dict
        Further entries of the manifest.
    left_out : LeftOut, optional
        What was left out of the annotations because it is bad.
    notes : Sequence[str]
        What the user should know about the choice.
    """

    def __init__(
        self,
        name: str,
        files: FileSet,
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
        left_out: LeftOut | None = None,
        notes: Sequence[str] = (),
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
        self._images = LoadCache[Shared](KEPT_IMAGES)
        self._announced: dict[int, _Encoded] = {}
        self.fields: Mapping[str, Field] = self._make_fields(image)
        self.facts = dict(facts or {})
        self.left_out = left_out or LeftOut()
        self.notes = list(notes)

    def _make_fields(self, image: RGBImageField) -> dict[str, Field]:
        fields: dict[str, Field] = {"image": image}
        if self.form == "pairs":
            fields["tokens"] = CaptionTokensField(self.vocabulary.dtype, (self.length,))
            fields["length"] = IntField()
            fields["image_id"] = IntField()
            if self._text:
                fields["caption"] = BytesField()
        else:
            fields["tokens"] = CaptionTokensField(self.vocabulary.dtype, (self.most, self.length))
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
            row = CaptionTokens(rows.tokens[start], int(rows.cut[start]))
            shared = self._images.get(image, self._read_shared)
            values: tuple[Any, ...] = (shared, row, int(rows.lengths[start]), number)
            return (*values, texts[0].encode("utf-8", "replace")) if self._text else values
        tokens = np.full((self.most, self.length), self.vocabulary.pad, self.vocabulary.dtype)
        lengths = np.zeros(self.most, np.int32)
        tokens[: len(texts)], lengths[: len(texts)] = rows.tokens[start:stop], rows.lengths[start:stop]
        row = CaptionTokens(tokens, int(rows.cut[start:stop].sum()))
        values = (self._files.read(image), row, lengths, len(texts), number)
        return (*values, texts) if self._text else values

    def _read_shared(self, image: int) -> Shared:
        return Shared(image, self._files.read(image))

    def announce(self, indices: Sequence[int]) -> None:
        """Encode the captions of samples that will be read soon; together they take a fraction of the time."""
        new = [index for index in indices if index not in self._announced]
        # If one cannot be encoded, all are encoded when they are read, and the bad one raises then.
        with contextlib.suppress(Exception):
            self._announced.update(zip(new, self._encode(new) if new else (), strict=True))

    def _encode(self, indices: Sequence[int]) -> list[_Encoded]:
        """Read and encode the captions of some samples."""
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

    def stamp(self, index: int) -> tuple[int, int] | None:
        """Size in bytes and time in nanoseconds of the file of a sample's image; None for members of archives."""
        return self._files.stamp(index if self.form == "grouped" else self._places([index])[0][0])

    def _places(self, indices: Sequence[int]) -> list[tuple[int, int]]:
        """For each of some pairs, the number of its image and which of the image's captions it has."""
        images = np.searchsorted(self._ends, indices, side="right")
        numbers = np.asarray(indices) - self._ends[images] + self._captions.counts[images]
        return list(zip(images.tolist(), numbers.tolist(), strict=True))

    def field_bytes(self) -> dict[str, int]:
        """Estimate the bytes of all images, each counted once, from the sizes of at most `MEASURED` of them."""
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
