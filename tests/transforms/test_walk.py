"""Every public operation in one loader: its specification, odd shapes, threads, ranks, resuming."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ffprep import Loader, OrderOption
from ffprep import transforms as T
from ffprep.beton.writing.writer import Writer
from ffprep.fields import IntField, RGBImageField, VariableArrayField
from ffprep.fields.decoders import IntDecoder, ResizeRGBImageDecoder
from ffprep.fields.dense import BoxesDecoder, VariableArrayDecoder
from ffprep.pipeline import PipelineSpec
from ffprep.pipeline.form import BatchInfo

COUNT, BATCH = 13, 4
SIZES = [(1, 1), (1, 11), (19, 2), (7, 9)]
"""Of images that are augmented: a pixel, a line, a tall one, and an ordinary one of odd sides."""
STORED = [(1, 1), (1, 17), (23, 1), (2, 40), (31, 3), (12, 12), (9, 14)]
"""Of images in the file."""

MEAN, STD = np.array([120.0, 115.0, 100.0]), np.array([60.0, 58.0, 57.0])
Make = Callable[[int, int], dict[str, Any]]
"""The pipelines of an operation for images of a size, by what tells their outputs apart."""


def after(*steps: Callable[[], Any]) -> Make:
    """An image's pipeline: the decoder and the operations."""
    return lambda h, w: {
        "": PipelineSpec("image", transforms=[ResizeRGBImageDecoder((h, w)), *(step() for step in steps)])
    }


def sized(step: Callable[[int, int], Any]) -> Make:
    return lambda h, w: {"": PipelineSpec("image", transforms=[ResizeRGBImageDecoder((h, w)), step(h, w)])}


def decoded(decoder: Callable[[tuple[int, int]], Any]) -> Make:
    return lambda h, w: {"": PipelineSpec("image", transforms=[decoder((h, w))])}


def nothing(h: int, w: int) -> dict[str, Any]:
    """No pipelines: decoders by ffcv's protocol, which draw nothing, are compiled for each loader anew, in seconds."""
    return {}


def labelled(*steps: Callable[[], Any]) -> Make:
    return lambda h, w: {"": PipelineSpec("label", transforms=[IntDecoder(), *(step() for step in steps)])}


def mixed(mix: Callable[[int, int], Any]) -> Make:
    def make(height: int, width: int) -> dict[str, Any]:
        one = mix(height, width)
        return {
            " images": PipelineSpec("image", transforms=[ResizeRGBImageDecoder((height, width)), one.images]),
            " labels": PipelineSpec("label", transforms=[IntDecoder(), one.labels]),
        }

    return make


def tilt(h: int, w: int) -> T.Perspective:
    corners, moved = [(0, 0), (w, 0), (w, h), (0, h)], [(0.2, 0), (w, 0.1), (w - 0.3, h), (0, h - 0.2)]
    return T.Perspective(corners, moved)


def half_of(h: int, w: int) -> T.Poison:
    return T.Poison(np.full((h, w, 3), 200.0), np.full((h, w), 0.5), [1, 2, 5])


def mosaic(h: int, w: int) -> dict[str, Any]:
    mix = T.Mosaic((h, w))
    boxes = PipelineSpec("boxes", BoxesDecoder(), [T.ToTensor(), mix.boxes], draws=f"Mosaic/{h}x{w} images")
    return {" images": PipelineSpec("image", transforms=[ResizeRGBImageDecoder((h, w)), mix.images]), " boxes": boxes}


def several(h: int, w: int) -> dict[str, Any]:
    return {"": PipelineSpec("several", VariableArrayDecoder(fill=-1), [T.MultiHot(COUNT)])}


def affine() -> T.RandomAffine:
    return T.RandomAffine(40, (0.2, 0.3), (0.7, 1.4), (-20, 20, -10, 15), "bicubic")


FFCV, OPS, PILLOW = "test_ffcv_transforms:", "test_image_ops:", "test_pillow_ops:"
POLICIES, WINDOWS, SHAPES = "test_policies:", "test_windows_and_patches:", "test_shapes:"
MIXES, SSL, BATCHES = "test_mix:", "tests.dropin.test_ffcv_ssl:", "tests.loader.test_loader_batches:"
LEVELS, MOVES, ENHANCED = f"{PILLOW}test_levels", f"{PILLOW}test_shears_and_shifts", f"{PILLOW}test_enhancements"
AS_PILLOW, CANVAS = f"{OPS}test_what_pillow_does", "test_canvas:test_images_masks_boxes_and_keypoints_as_in_torchvision"
FORMS, SAMPLES = f"{BATCHES}test_fused_forms_agree", f"{FFCV}test_poison_replace_label_and_normalize"
COMPOSED = f"{POLICIES}test_compositions"

OPERATIONS: dict[str, tuple[str, Make]] = {
    "Affine": (
        f"{SHAPES}test_affine_is_pillows_map_of_the_given_parameters", after(lambda: T.Affine(10, (1, 2), 1.1, 5))
    ),
    "AugMix": (f"{POLICIES}test_augmix_is_the_sum_of_its_chains", after(T.AugMix)),
    "AutoAugment": (f"{POLICIES}test_auto_augment_is_torchvisions_on_pillow_images", after(T.AutoAugment)),
    "AutoContrast": (LEVELS, after(T.AutoContrast)),
    "Brightness": (ENHANCED, after(lambda: T.Brightness(1.4))),
    "CenterCrop": (f"{WINDOWS}test_center_crop_is_torchvisions", after(lambda: T.CenterCrop((5, 3), (1, 2, 3)))),
    "Color": (ENHANCED, after(lambda: T.Color(1.4))),
    "ColorJitter": (f"{OPS}test_colour_jitter_in_random_order", after(lambda: T.ColorJitter(0.4, 0.4, 0.4, 0.1))),
    "Contrast": (ENHANCED, after(lambda: T.Contrast(0.4))),
    "Convert": (FORMS, after(lambda: T.Convert(np.float16))),
    "CornerCrop": (f"{SSL}test_corners", nothing),
    "CutMix": (f"{MIXES}test_cutmix", mixed(lambda h, w: T.CutMix(1.0, (h, w)))),
    "Cutout": (f"{WINDOWS}test_cutout", after(lambda: T.Cutout(1, (9, 8, 7)))),
    "ElasticTransform": (
        f"{SHAPES}test_elastic_deformation_is_torchvisions_displacement", after(lambda: T.ElasticTransform(30, 0.3))
    ),
    "Equalize": (LEVELS, after(T.Equalize)),
    "GaussianBlur": (f"{OPS}test_blur", after(lambda: T.GaussianBlur(5))),
    "Grayscale": ("test_grayscale:test_a_whole_picture_is_the_stored_luma_resized", after(T.Grayscale)),
    "ImageMixup": (f"{MIXES}test_mixup", after(lambda: T.ImageMixup(0.5, False))),
    "Invert": (LEVELS, after(T.Invert)),
    "LabelMixup": (f"{MIXES}test_mixup", labelled(lambda: T.LabelMixup(0.5, False))),
    "LetterboxRGBImageDecoder": (CANVAS, decoded(T.LetterboxRGBImageDecoder)),
    "Mixup": (f"{MIXES}test_mixup", mixed(lambda h, w: T.Mixup(0.5))),
    "MixupOrCutMix": (
        f"{MIXES}test_probability_and_choice",
        mixed(lambda h, w: T.MixupOrCutMix(T.Mixup(0.5), T.CutMix(1.0, (h, w)))),
    ),
    "MixupToOneHot": (
        f"{MIXES}test_one_hot", labelled(lambda: T.LabelMixup(0.5, True), T.ToTensor, lambda: T.MixupToOneHot(COUNT))
    ),
    "ModuleWrapper": (
        "test_walk:test_modules_are_called_with_whole_batches",
        after(T.ToTensor, lambda: T.ModuleWrapper(torch.bitwise_not)),
    ),
    "Mosaic": (f"{SHAPES}test_mosaic", mosaic),
    "MultiHot": ("test_multi_hot:test_one_for_each_label", several),
    "NormalizeImage": (SAMPLES, after(lambda: T.NormalizeImage(MEAN, STD, np.float32))),
    "PadRGBImageDecoder": (f"{SSL}test_padding", nothing),
    "Perspective": (f"{SHAPES}test_perspective_sends_points_where_they_are_told_to", sized(tilt)),
    "Poison": (SAMPLES, sized(half_of)),
    "Posterize": (LEVELS, after(lambda: T.Posterize(3))),
    "RandAugment": (f"{POLICIES}test_rand_augment_is_torchvisions_on_pillow_images", after(T.RandAugment)),
    "RandomAffine": (f"{PILLOW}test_random_affine_is_pillows_map_of_the_drawn_parameters", after(affine)),
    "RandomApply": (COMPOSED, after(lambda: T.RandomApply([T.Rotate(20), T.Invert()]))),
    "RandomAutocontrast": (AS_PILLOW, after(T.RandomAutocontrast)),
    "RandomBrightness": (f"{OPS}test_magnitudes", after(lambda: T.RandomBrightness(0.4))),
    "RandomChoice": (COMPOSED, after(lambda: T.RandomChoice([T.Invert(), T.Rotate(9)]))),
    "RandomColorJitter": (f"{SSL}test_colour_jitter", after(T.RandomColorJitter)),
    "RandomContrast": (f"{OPS}test_magnitudes", after(lambda: T.RandomContrast(0.4))),
    "RandomCrop": (f"{WINDOWS}test_random_crop", after(lambda: T.RandomCrop((3, 2), 2, pad_if_needed=True))),
    "RandomEqualize": (AS_PILLOW, after(T.RandomEqualize)),
    "RandomErasing": (f"{WINDOWS}test_erasing", after(lambda: T.RandomErasing(0.8, value="random"))),
    "RandomGrayscale": (f"{OPS}test_grayscale_and_its_probability", after(lambda: T.RandomGrayscale(0.5))),
    "RandomHorizontalFlip": (AS_PILLOW, after(T.RandomHorizontalFlip)),
    "RandomInvert": (AS_PILLOW, after(T.RandomInvert)),
    "RandomOrder": (COMPOSED, after(lambda: T.RandomOrder([T.Invert(), T.Rotate(9)]))),
    "RandomPerspective": (
        f"{PILLOW}test_perspective_is_pillows_map_of_the_drawn_corners", after(lambda: T.RandomPerspective(0.5, 0.9))
    ),
    "RandomPosterize": (AS_PILLOW, after(lambda: T.RandomPosterize(3))),
    "RandomResizeRGBImageDecoder": (CANVAS, decoded(lambda size: T.RandomResizeRGBImageDecoder(size, 3, 12))),
    "RandomResizedCrop": (
        f"{OPS}test_random_resized_crop", after(lambda: T.RandomResizedCrop((0.3, 1.0), (0.75, 1.33), (6, 5)))
    ),
    "RandomRotation": (f"{PILLOW}test_rotation_turns_like_rotate", after(lambda: T.RandomRotation(40, "bilinear"))),
    "RandomSaturation": (f"{OPS}test_magnitudes", after(lambda: T.RandomSaturation(0.4))),
    "RandomSolarization": (AS_PILLOW, after(T.RandomSolarization)),
    "RandomSolarize": (AS_PILLOW, after(T.RandomSolarize)),
    "RandomTranslate": (f"{WINDOWS}test_translate", after(lambda: T.RandomTranslate(2, (1, 2, 3)))),
    "RandomVerticalFlip": (AS_PILLOW, after(T.RandomVerticalFlip)),
    "ReplaceLabel": (SAMPLES, labelled(lambda: T.ReplaceLabel([1, 2, 5], 77))),
    "Resize": (f"{OPS}test_resize", after(lambda: T.Resize((6, 5)))),
    "Rotate": (f"{PILLOW}test_rotation", after(lambda: T.Rotate(20.0))),
    "ScaleJitterRGBImageDecoder": (CANVAS, decoded(T.ScaleJitterRGBImageDecoder)),
    "Sharpness": (ENHANCED, after(lambda: T.Sharpness(1.4))),
    "ShearX": (MOVES, after(lambda: T.ShearX(0.2))),
    "ShearY": (MOVES, after(lambda: T.ShearY(0.2))),
    "Solarize": (LEVELS, after(lambda: T.Solarize(90))),
    "SolarizeAdd": (LEVELS, after(lambda: T.SolarizeAdd(20))),
    "Squeeze": (f"{FFCV}test_squeeze_keeps_a_batch_of_one", labelled(T.ToTensor, T.Squeeze)),
    "ThreeAugment": (f"{POLICIES}test_three_augment_does_one_of_three", after(T.ThreeAugment)),
    "ToDevice": (
        "tests.loader.engine.test_loader_device:test_images_cross_as_bytes_and_are_finished_on_the_device",
         after(T.ToTensor, lambda: T.ToDevice("cpu")),
    ),
    "ToTensor": (FORMS, after(T.ToTensor)),
    "ToTorchImage": (FORMS, after(T.ToTensor, T.ToTorchImage)),
    "TranslateX": (MOVES, after(lambda: T.TranslateX(2))),
    "TranslateY": (MOVES, after(lambda: T.TranslateY(2))),
    "TrivialAugmentWide": (
        f"{POLICIES}test_trivial_augment_is_torchvisions_on_pillow_images", after(T.TrivialAugmentWide)
    ),
    "View": ("tests.loader.test_frameworks:test_harmless_entries_stay", labelled(lambda: T.View(np.int32))),
    "timm_policy": (f"{POLICIES}test_timms_strings", after(lambda: T.timm_policy("rand-m9-mstd0.5-inc1"))),
}  # fmt: skip
"""By name, the test that compares an operation with its specification, and its pipelines."""

BY_BATCHES = {"CutMix", "ImageMixup", "LabelMixup", "Mixup", "MixupOrCutMix", "MixupToOneHot", "Mosaic"}
"""Operations whose results depend on which samples are in the same batch, which ranks divide otherwise."""

NO_OPERATIONS = {"AutoAugmentPolicy", "Transform"}
"""The names of policies, and what operations are derived from."""


def every_pipeline() -> dict[str, Any]:
    """An output of each operation for each size, and the samples' numbers."""
    found: dict[str, Any] = {"image": None, "label": [IntDecoder()], "boxes": None, "several": None}
    for name, (_, make) in OPERATIONS.items():
        for h, w in SIZES:
            found |= {f"{name}/{h}x{w}{part}": pipeline for part, pipeline in make(h, w).items()}
    return found


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of odd shapes, their numbers, some boxes and some labels."""
    rng, out = np.random.default_rng(4), tmp_path_factory.mktemp("walk") / "odd.beton"
    fields = {
        "image": RGBImageField("raw"),
        "label": IntField(),
        "boxes": VariableArrayField("float32", (4,)),
        "several": VariableArrayField("int64"),
    }
    with Writer(out, fields, COUNT) as writer:
        for i in range(COUNT):
            h, w = STORED[i % len(STORED)]
            boxes = np.array([(0, 0, w, h), (w / 3, 0, w, h)][: i % 3], np.float32).reshape(-1, 4)
            values = rng.integers(0, 256, (h, w, 3)).astype(np.uint8), i, boxes, np.arange(i % 4)
            writer.write([field.encode(value) for field, value in zip(fields.values(), values, strict=True)])
    return out


Results = dict[int, dict[str, bytes]]
"""By the number of a sample, what each output has of it."""


def results(loader: Loader, names: list[str]) -> Results:
    found: Results = {}
    for batch in loader:
        numbers = np.asarray(batch[0])[:, 0].tolist()
        for name, output in zip(names, batch, strict=True):
            parts = [np.asarray(part) for part in (output if isinstance(output, tuple) else (output,))]
            assert {len(part) for part in parts} == {len(numbers)}, name
            for k, number in enumerate(numbers):
                found.setdefault(number, {})[name] = b"".join(part[k].tobytes() for part in parts)
    return found


def different(one: Results, other: Results) -> set[str]:
    assert one.keys() == other.keys()
    return {name for i in one for name in one[i] if one[i][name] != other[i][name]}


def test_the_same_bits_for_any_threads_and_ranks_and_after_resuming(path: Path) -> None:
    pipelines = every_pipeline()
    names = [name for name, pipeline in pipelines.items() if pipeline is not None]

    def loader(threads: int, **more: Any) -> Loader:
        options: dict[str, Any] = {"order": OrderOption.RANDOM, "seed": 7, "drop_last": False, **more}
        return Loader(path, BATCH, threads, pipelines=pipelines, **options)

    with loader(1) as one:
        wanted = results(one, names)
    assert sorted(wanted) == list(range(COUNT))
    with loader(4) as other:
        assert not different(wanted, results(other, names))
    with loader(3) as begun:
        epoch = iter(begun)
        next(epoch), next(epoch)
        state = begun.state_dict()
        del epoch
    with loader(2) as resumed:
        resumed.load_state_dict(state)
        rest = results(resumed, names)
    assert len(rest) == COUNT - 2 * BATCH
    assert not different({i: wanted[i] for i in rest}, rest)
    shares: Results = {}
    for rank in range(2):
        with loader(2, rank=rank, world_size=2) as share:
            shares |= results(share, names)
    assert {"Mixup", "CutMix"} <= {name.partition("/")[0] for name in different(wanted, shares)} <= BY_BATCHES


def test_modules_are_called_with_whole_batches() -> None:
    seen = []

    def turn(batch: torch.Tensor) -> torch.Tensor:
        seen.append(batch.shape)
        return batch.flip(1)

    x = torch.arange(4 * 5 * 6 * 3).view(4, 5, 6, 3)
    out = T.ModuleWrapper(turn).apply(x, BatchInfo(np.arange(4), 0, 0, 0))
    assert torch.equal(out, x.flip(1)) and seen == [x.shape]


def test_every_operation_is_here_with_a_specification() -> None:
    assert set(OPERATIONS) | NO_OPERATIONS == set(T.__all__), "a new operation is entered here, with its specification"
    for name, (where, _) in OPERATIONS.items():
        module, _, function = where.partition(":")
        module = module if module.startswith("tests.") else f"tests.transforms.{module}"
        found = importlib.import_module(module)
        assert callable(getattr(found, function)), where
        assert name in Path(str(found.__file__)).read_text("utf-8"), f"{where} does not know {name}"
