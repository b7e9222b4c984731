"""The calls that users get wrong in Python, with the errors that answer them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np

import ffprep
from ffprep import (
    Dataset,
    DatasetWriter,
    Loader,
    NodeOrder,
    OrderOption,
    RepeatedOrder,
    WeightedOrder,
    fields,
    presets,
    transforms,
)
from ffprep.fields import decoders
from ffprep.loader import folds
from ffprep.reader import Reader

IMAGE = "pipelines={'image': [decoders.RandomResizedCropRGBImageDecoder(32)]}"
"""Of a loader that would be right but for its mistake."""

MISTAKES = [
    # files
    ("Loader('none.beton', 2)", FileNotFoundError, "no such file or folder; check the name: 'none.beton'"),
    ("Loader('imagse.beton', 2)", FileNotFoundError, "did you mean images.beton?: 'imagse.beton'"),
    ("Reader('imagse.beton')", FileNotFoundError, "did you mean images.beton?: 'imagse.beton'"),
    ("Dataset('imagse.beton')", FileNotFoundError, "did you mean images.beton?: 'imagse.beton'"),
    ("presets.imagenet_train('imagse.beton', 2)", FileNotFoundError, "did you mean images.beton?: 'imagse.beton'"),
    ("WeightedOrder.balanced('imagse.beton')", FileNotFoundError, "did you mean images.beton?: 'imagse.beton'"),
    ("Loader('photo.jpg', 2)", ffprep.errors.NotABetonError, "photo.jpg: byte 0: not a .beton file of version 2"),
    ("Loader('half.beton', 2)", ffprep.errors.TruncatedError, "half.beton: ends at byte 38588, but the allocation "),
    ("Loader('empty', 2)", ffprep.errors.OptionError, "empty: a folder without .beton files"),
    ("Loader('none*.beton', 2)", ffprep.errors.OptionError, "none*.beton: no file fits this pattern"),
    ("Loader([], 2)", ffprep.errors.OptionError, "no file is given"),
    ("Loader('', 2)", ffprep.errors.OptionError, "the path is an empty string; give that of a .beton file"),
    ("Loader(None, 2)", ffprep.errors.OptionError, "None is no path; give that of a .beton file, or a list of them"),
    (
        "Loader(['images.beton', 'blocks.beton'], 2)",
        ffprep.errors.OptionError,
        "images.beton has a field 'image' and blocks.beton has none; leave it out with pipelines={'image': None}",
    ),
    ("Loader(opened, 2)", ffprep.errors.OptionError, "is no path; give that of a .beton file"),
    ("Loader([b'images.beton'], 2)", ffprep.errors.OptionError, "[b'images.beton'] is no path; give that of a .beton"),
    (
        "pickle.dumps(presets.imagenet_train('images.beton', 2))",
        ffprep.errors.OptionError,
        "Loader objects have threads ",
    ),
    ("pickle.dumps(iter(presets.imagenet_val('images.beton', 2)))", ffprep.errors.OptionError, "EpochIterator objects"),
    ("copy.deepcopy(presets.imagenet_train('images.beton', 2))", ffprep.errors.OptionError, "make a loader in each "),
    (
        "iter(Loader('images.beton', 2, pipelines={'image': [decoders.RandomResizedCropRGBImageDecoder(32), "
        "transforms.ToTensor(), transforms.ToTorchImage(), transforms.ToTorchImage()]}))",
        ffprep.errors.OptionError,
        "ToTorchImage stands after another one",
    ),
    # options of a loader
    ("Loader('images.beton')", TypeError, "missing 1 required positional argument: 'batch_size'"),
    (
        "Loader('images.beton', batchsize=2)",
        ffprep.errors.UnknownOptionError,
        "Loader has no option 'batchsize'; did you mean batch_size?",
    ),
    (
        "Loader('images.beton', 2, shuffle=True)",
        TypeError,
        "Loader has no option 'shuffle'; give order=OrderOption.RANDOM instead",
    ),
    ("Loader('images.beton', 0)", ffprep.errors.OptionError, "batch_size is 0; it must be at least 1"),
    ("Loader('images.beton', '2')", ffprep.errors.OptionError, "batch_size is '2'; give a whole number"),
    (
        f"Loader('images.beton', 7, {IMAGE})",
        ffprep.errors.OptionError,
        "images.beton: 6 samples do not fill one batch of 7; use a smaller batch_size, or drop_last=False",
    ),
    ("Loader('images.beton', 2, num_workers='all')", ffprep.errors.OptionError, "num_workers is 'all'; give a whole "),
    ("Loader('images.beton', 2, num_workers=5000)", ffprep.errors.OptionError, "num_workers is 5000; it must be at "),
    (
        f"Loader('images.beton', 2, order='random', {IMAGE})",
        ffprep.errors.OptionError,
        "order is 'random'; use an OrderOption, a WeightedOrder, a NodeOrder, a RepeatedOrder, a ClipOrder or an "
        "object that has",
    ),
    (
        f"Loader('images.beton', 2, order=WeightedOrder([1, 2]), {IMAGE})",
        ffprep.errors.OptionError,
        "there are 2 weights for 6 samples; give one for each",
    ),
    (f"Loader('images.beton', 2, seed='a', {IMAGE})", ffprep.errors.OptionError, "seed is 'a'; give a whole number"),
    (
        "Loader('images.beton', 2, indices=[6])",
        ffprep.errors.OptionError,
        "indices holds 6, but the file has samples 0 to 5",
    ),
    ("Loader('images.beton', 2, on_error='ignore')", ffprep.errors.OptionError, "choose 'raise' or 'skip' or 'replace"),
    (
        "Loader('images.beton', 2, pad=True)",
        ffprep.errors.OptionError,
        "pad is True; choose 'repeat' or 'mask' or None",
    ),
    ("Loader('images.beton', 2, framework='tf')", ffprep.errors.OptionError, "choose 'torch' or 'numpy' or 'jax'"),
    ("Loader('images.beton', 2, cache_limit='9G')", ffprep.errors.OptionError, "'9G'; give a whole number of bytes"),
    ("Loader('images.beton', 2, rank=0)", ffprep.errors.OptionError, "rank and world_size belong together: give both"),
    (
        "Loader('images.beton', 2, distributed=True)",
        ffprep.errors.OptionError,
        "call torch.distributed.init_process_group first or pass rank and world_size",
    ),
    ("Loader('images.beton', 2, index=True)", ffprep.errors.OptionError, "`ffprep index images.beton` makes it"),
    (
        f"Loader('images.beton', 2, weights=[1, 2], {IMAGE})",
        ffprep.errors.OptionError,
        "there are 2 weights for 1 files; give one for each",
    ),
    (
        f"Loader('images.beton', 2, device='gpu', {IMAGE})",
        ffprep.errors.OptionError,
        "device is 'gpu'; give 'cpu', 'cuda', 'cuda:1' or a torch.device",
    ),
    # pipelines
    (
        "Loader('images.beton', 2)",
        ffprep.errors.MixedSizesError,
        "pipeline 'image': field 'image': the images differ in size, from ",
    ),
    (
        "Loader('images.beton', 2, pipelines=[decoders.IntDecoder()])",
        ffprep.errors.OptionError,
        "pipelines is a list; give a dict with a pipeline for each output",
    ),
    (
        "Loader('images.beton', 2, pipelines={'images': [transforms.ToTensor()]})",
        ffprep.errors.OptionError,
        "pipelines has 'images', but images.beton has the fields image, label; for a second output of a field give ",
    ),
    (
        "Loader('images.beton', 2, pipelines={'image': [decoders.IntDecoder()]})",
        ffprep.errors.OptionError,
        "pipeline 'image': IntDecoder cannot read 'image', a RGBImageField",
    ),
    (
        "Loader('images.beton', 2, pipelines={'image': [decoders.ResizeRGBImageDecoder]})",
        ffprep.errors.OptionError,
        "make an object of it: ResizeRGBImageDecoder()",
    ),
    (
        "Loader('images.beton', 2, pipelines={'image': decoders.ResizeRGBImageDecoder(32)})",
        ffprep.errors.OptionError,
        "the pipeline of 'image' must be a list of operations, a PipelineSpec or None, not ResizeRGBImageDecoder(",
    ),
    (
        "Loader('images.beton', 2, pipelines={'label': [decoders.IntDecoder(), 'ToTensor']})",
        ffprep.errors.OptionError,
        "pipeline 'label' holds 'ToTensor', which is no transform, operation, torch module or function",
    ),
    # decoders, transforms, fields, orders
    (
        "decoders.RandomResizedCropRGBImageDecoder('big')",
        ffprep.errors.OptionError,
        "'big'; give (height, width), each",
    ),
    (
        "decoders.RandomResizedCropRGBImageDecoder(32, scale=(1, 0.1))",
        ffprep.errors.OptionError,
        "scale is (1, 0.1); give (low, high) with 0 < low <= high, up to 1",
    ),
    (
        "decoders.RandomResizedCropRGBImageDecoder(32, scale=0.1)",
        ffprep.errors.OptionError,
        "scale is 0.1; give two numbers, (low, high)",
    ),
    (
        "decoders.ResizeRGBImageDecoder(32, 'lanczos')",
        ffprep.errors.OptionError,
        "interpolation 'lanczos'; choose from bilinear, bicubic, area",
    ),
    (
        "decoders.ResizeRGBImageDecoder(size=32)",
        ffprep.errors.UnknownOptionError,
        "ResizeRGBImageDecoder has no option 'size'; there are exact, interpolation, output_size",
    ),
    (
        "transforms.RandomHorizontalFlip(2)",
        ffprep.errors.OptionError,
        "flip_prob is 2; a probability is between 0 and 1",
    ),
    (
        "transforms.RandomHorizontalFlip(prob=0.5)",
        ffprep.errors.UnknownOptionError,
        "RandomHorizontalFlip has no option 'prob'; did you mean flip_prob?",
    ),
    (
        "transforms.NormalizeImage([0, 0], [1, 1], np.float32)",
        ffprep.errors.OptionError,
        "mean must be one finite number for each of 3 channels, got [0, 0]",
    ),
    (
        "transforms.NormalizeImage([0, 0, 0], [1, 1, 1], np.int32)",
        ffprep.errors.OptionError,
        "NormalizeImage cannot write int32; use a floating-point type",
    ),
    ("transforms.Convert('floatt')", ffprep.errors.OptionError, "'floatt' is not a numpy or torch dtype"),
    (
        "fields.RGBImageField(write_mode='png')",
        ffprep.errors.OptionError,
        "write_mode is one of raw, jpg, smart, proportion, not 'png'",
    ),
    (
        "DatasetWriter('new.beton', {'image': 'jpg'})",
        ffprep.errors.OptionError,
        "field 'image' is a str, not one of ffprep.fields",
    ),
    ("WeightedOrder([-1.0])", ffprep.errors.OptionError, "weights[0] is -1.0; weights are finite and not below 0"),
    ("WeightedOrder([1e308, 1e308])", ffprep.errors.OptionError, "the weights add up to more than numbers can hold"),
    ("RepeatedOrder(0)", ffprep.errors.OptionError, "RepeatedOrder(0, None): both must be at least 1"),
    ("NodeOrder(0)", ffprep.errors.OptionError, "both must be at least 1"),
    (
        "folds.k_fold([0, 1] * 4, folds=4, fold=4)",
        ffprep.errors.OptionError,
        "fold is 4; with 4 folds there are 0 to 3",
    ),
    ("Reader('images.beton').column('lable')", ffprep.errors.OptionError, "images.beton has no field 'lable'; it has "),
    # presets
    (
        "presets.imagenet_train('images.beton', 2, flipp=0.5)",
        ffprep.errors.UnknownOptionError,
        "imagenet_train has no option 'flipp'; did you mean flip?",
    ),
    (
        "presets.imagenet_train('images.beton', 2, os_cach=True)",
        ffprep.errors.UnknownOptionError,
        "imagenet_train has no option 'os_cach'; did you mean os_cache?",
    ),
    (
        "presets.imagenet_train('images.beton', 2, transform=None)",
        ffprep.errors.UnknownOptionError,
        "imagenet_train has no option 'transform'; give pipelines to Loader instead",
    ),
    (
        "presets.imagenet_train('images.beton', 2, pipelines={})",
        ffprep.errors.UnknownOptionError,
        "imagenet_train makes the pipelines itself; give pipelines of your own to Loader",
    ),
    (
        "presets.imagenet_val('images.beton', 2, ordr=None)",
        ffprep.errors.UnknownOptionError,
        "imagenet_val has no option 'ordr'; did you mean order?",
    ),
    ("presets.imagenet_val('images.beton', 2, crop='centre')", ffprep.errors.OptionError, "choose 'whole' or 'center'"),
    (
        "presets.imagenet_train('images.beton', 2, dtype='float8')",
        ffprep.errors.OptionError,
        "'float8' is not a numpy or torch dtype",
    ),
    (
        "presets.imagenet_train('images.beton', 2, mean=(0.5, 0.5))",
        ffprep.errors.OptionError,
        "mean must be one finite number for each of 3 channels, got [127.5, 127.5]",
    ),
    (
        "presets.imagenet_train('blocks.beton', 2)",
        ffprep.errors.OptionError,
        "blocks.beton: has the fields tokens and no 'image', so it is not a file of labelled images; load it with "
        "text_blocks",
    ),
    (
        "presets.image_text_train('images.beton', 2)",
        ffprep.errors.OptionError,
        "so it is not a file of images with captions; load it with imagenet_train",
    ),
    (
        "presets.text_blocks('images.beton', 2)",
        ffprep.errors.OptionError,
        "holds images (image); load it with imagenet_",
    ),
    (
        "presets.text_blocks('blocks.beton', 2, block=64)",
        ffprep.errors.OptionError,
        "has blocks of 32 tokens, not of 64",
    ),
    (
        "presets.text_blocks('blocks.beton', 2, vocabulary='gpt3')",
        ffprep.errors.OptionError,
        "vocabulary 'gpt3': give fairseq, gpt2, the path of a fairseq dict.txt, or a tokenizer",
    ),
    (
        "presets.text_rows('blocks.beton', 2)",
        ffprep.errors.OptionError,
        "holds blocks of tokens, not rows; load it with ",
    ),
    # what shows when a loader is used
    (
        f"Loader('images.beton', 2, {IMAGE}).filter('lable', bool)",
        ffprep.errors.OptionError,
        "images.beton has no output 'lable'; it has image, label",
    ),
    (f"Loader('images.beton', 2, {IMAGE}).batch([])", ffprep.errors.OptionError, "a batch needs at least one sample"),
    (
        f"Loader('images.beton', 2, {IMAGE}).load_state_dict({{}})",
        ffprep.errors.OptionError,
        "this is no state of a Loader (KeyError('version')); give what state_dict() returned",
    ),
    # values of the wrong kind, which Python itself would take or fail on somewhere inside
    (
        f"Loader('images.beton', 2, drop_last='no', {IMAGE})",
        ffprep.errors.OptionError,
        "drop_last is 'no'; give True or",
    ),
    (
        f"Loader('images.beton', 2, os_cache='yes', {IMAGE})",
        ffprep.errors.OptionError,
        "os_cache is 'yes'; give True or",
    ),
    (
        f"Loader('images.beton', 2, with_index=3, {IMAGE})",
        ffprep.errors.OptionError,
        "with_index is 3; give True or Fal",
    ),
    (f"Loader('images.beton', True, {IMAGE})", ffprep.errors.OptionError, "batch_size is True; give a whole number"),
    (
        f"Loader('images.beton', 2, rank='0', world_size=2, {IMAGE})",
        ffprep.errors.OptionError,
        "rank is '0'; give a who",
    ),
    (
        f"Loader('images.beton', 2, {IMAGE}).filter('label', 3)",
        ffprep.errors.OptionError,
        "condition is 3; give a funct",
    ),
    (
        "presets.imagenet_train(2, 'images.beton')",
        ffprep.errors.OptionError,
        "2 is no path; give that of a .beton file",
    ),
    (
        "presets.imagenet_val('images.beton', 2, resize='256', crop='center')",
        ffprep.errors.OptionError,
        "ResizeCenterCropRGBImageDecoder(224, '256', ",
    ),
    (
        "presets.text_blocks('blocks.beton', 2, block='32')",
        ffprep.errors.OptionError,
        "block is '32'; give a whole numb",
    ),
    ("Dataset('images.beton', raw=True, indices_=[1])", ffprep.errors.UnknownOptionError, "did you mean indices?"),
    ("Dataset('images.beton', transform=str)", ffprep.errors.UnknownOptionError, "transform'; give pipelines instead"),
    (
        "transforms.Cutout('a')",
        ffprep.errors.OptionError,
        "Cutout('a'): invalid literal for int() with base 10: 'a'; it ",
    ),
    ("transforms.RandAugment('hard')", ffprep.errors.OptionError, "RandAugment('hard'): "),
    (
        "transforms.ColorJitter(brightness='x')",
        ffprep.errors.OptionError,
        "ColorJitter(brightness='x'): could not conve",
    ),
    (
        "transforms.RandomErasing(p='a')",
        ffprep.errors.OptionError,
        "it takes (p: float = 0.5, scale: Sequence[float] = ",
    ),
    ("transforms.RandomResizedCrop(0.5)", ffprep.errors.OptionError, "RandomResizedCropRGBImageDecoder(0.5): "),
    ("transforms.Convert(None)", ffprep.errors.OptionError, "None is not a numpy or torch dtype"),
    (
        "transforms.ModuleWrapper(3)",
        ffprep.errors.OptionError,
        "ModuleWrapper takes a torch module or a function, not 3",
    ),
    (
        "WeightedOrder('a')",
        ffprep.errors.OptionError,
        "WeightedOrder('a'): could not convert string to float: 'a'; it ",
    ),
    (
        "RepeatedOrder('a')",
        ffprep.errors.OptionError,
        "RepeatedOrder('a'): '<' not supported between instances of 'str'",
    ),
    ("RepeatedOrder(repeat=2)", ffprep.errors.UnknownOptionError, "did you mean repeats?"),
]

NAMES: dict[str, Any] = {
    "Dataset": Dataset, "DatasetWriter": DatasetWriter, "Loader": Loader, "NodeOrder": NodeOrder, "copy": copy,
    "OrderOption": OrderOption, "Reader": Reader, "RepeatedOrder": RepeatedOrder, "WeightedOrder": WeightedOrder,
    "decoders": decoders, "fields": fields, "folds": folds, "np": np, "pickle": pickle, "presets": presets,
    "transforms": transforms,
}  # fmt: skip
