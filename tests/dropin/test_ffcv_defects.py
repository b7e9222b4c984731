"""What is wrong with stock ffcv 1.0.2, each with the test that it is not so here.

`DEFECTS` is the one list. Most tests are where the rest of their subject is; those that were missing are below.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tracemalloc
from functools import cache
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ffprep
from ffprep import Loader
from ffprep.beton import Reader, Writer
from ffprep.errors import ConversionError, OptionError
from ffprep.fields import BytesField, Field, IntField, NDArrayField
from ffprep.fields.decoders import BytesDecoder, IntDecoder, NDArrayDecoder
from ffprep.writer import DatasetWriter

TESTS = Path(__file__).parents[1]
HERE = "dropin/test_ffcv_defects.py"
CODE, HOSTILE, TABLES = "loader/engine/test_loader_failures.py", "beton/test_hostile.py", "beton/test_tables.py"
STATE, WRITING = "loader/epoch/test_loader_state.py", "writer/test_dataset_writer.py"
ORDER, BATCHES = "loader/order/test_loader_order.py", "loader/test_loader_batches.py"
IMAGES, ENCODING = "fields/test_images.py", "fields/test_encoding.py"

DEFECTS: dict[str, tuple[str, ...]] = {
    # silent wrong data
    "D1: a value of no bytes shares its pointer with the next, and other fields become wrong": (
        f"{HERE}::test_d1_empty_values_leave_other_fields_alone",
        f"{TABLES}::test_empty_values_have_places_of_their_own",
        "beton/test_stock_interop.py::test_orders_and_caches_with_shared_payloads_and_empty_values",
    ),
    "D2: field names are cut to 16 bytes and then collide": (f"{HERE}::test_d2_long_names_are_refused",),
    "D3: images that fail to decode leave other pixels in the batch": (
        f"{CODE}::test_a_damaged_image_is_named",
        f"{CODE}::test_dimensions_that_do_not_fit_the_stream",
        "interop/test_odd_images.py::test_whole_images_arrive_and_damaged_ones_are_named",
    ),
    "D4: the lists of pipelines are changed": (f"{STATE}::test_pipelines_are_left_alone",),
    "D5: filter forgets indices and other arguments": (
        f"{STATE}::test_filter_respects_indices",
        f"{STATE}::test_filter_keeps_the_other_arguments",
    ),
    "D6: batches are overwritten by later ones": (f"{BATCHES}::test_a_batch_is_never_overwritten",),
    "D7: the writer stores values of other types and samples of other lengths": (
        f"{TABLES}::test_samples_that_do_not_fit_the_fields",
        f"{ENCODING}::test_refused",
        f"{HERE}::test_d7_a_sample_that_is_no_tuple",
    ),
    "D8: bytes of earlier batches behind shorter ones": (f"{HERE}::test_d8_nothing_lies_behind_short_bytes",),
    # hangs
    "H1: a worker that fails hangs the writing": (
        f"{WRITING}::test_a_failing_sample_ends_the_writing_and_is_named",
        f"{WRITING}::test_a_killed_worker_is_an_error",
        f"{WRITING}::test_no_worker_outlives_a_failure",
    ),
    "H1: a sample larger than the page hangs it": (f"{WRITING}::test_a_sample_larger_than_the_page",),
    "H1: values that together are larger than the page hang it": (
        f"{HERE}::test_h1_values_that_together_are_larger_than_the_page",
    ),
    "H1: bytes that are given as bytes hang it": (f"{HERE}::test_h1_bytes",),
    "H1: grey images hang it": (f"{IMAGES}::test_grey_arrays_become_rgb",),
    "H1: images with a side over 65,535 hang it": (f"{IMAGES}::test_a_side_too_long_for_jpeg_only",),
    "H1: long and narrow images that are shrunk hang it": (f"{IMAGES}::test_shrinking",),
    "H2: an exception in a transform hangs the training": (f"{CODE}::test_an_exception_in_a_stage_reaches_the_loop",),
    "H2: so does what numba cannot compile": (f"{CODE}::test_code_that_numba_refuses_is_an_error_not_a_hang",),
    "H3: shards that change between two passes": (f"{WRITING}::test_a_shard_that_changes_is_an_error",),
    # damaged and hostile files
    "files cut anywhere end the process": (f"{HOSTILE}::test_cut_anywhere",),
    "files that were not finished are read": (f"{HOSTILE}::test_unfinished",),
    "sizes in the allocation table overflow the heap": (f"{HOSTILE}::test_wrong_sizes",),
    "pointers behind the file's end": (f"{HOSTILE}::test_wrong_pointers", f"{HOSTILE}::test_wrong_allocations"),
    "files that are no .beton files": (f"{HOSTILE}::test_not_a_beton",),
    "there is no checksum": (
        f"{HOSTILE}::test_verify_notices_every_flip",
        "loader/damage/test_first_touch.py::test_changes_of_one_byte",
    ),
    "an image mode of other programs is taken for raw pixels": (f"{HOSTILE}::test_wrong_images",),
    "an error leaves an empty allocation table": (
        "beton/test_crashes.py::test_a_disk_full_at_every_call_is_one_error",
    ),
    # scale
    "opening a file makes objects of every entry of its table": (f"{HERE}::test_opening_makes_no_objects_of_entries",),
    "scratch memory for the largest image, times all": (
        "loader/engine/test_loader_scheduling.py::test_scratch_does_not_know_the_largest_image",
    ),
    "memory of batches is made again in every epoch": (f"{BATCHES}::test_memory_goes_round_when_batches_are_dropped",),
    "the quasi-random order keeps twice the batch size of pages": (
        f"{ORDER}::test_quasi_random_is_a_permutation_within_bounded_windows",
    ),
    "the writer's tables have to fit into /dev/shm": (f"{HERE}::test_writing_needs_no_shared_memory",),
    "epochs that are broken off leave threads": (f"{CODE}::test_breaking_out_of_epochs_leaks_nothing",),
    # random numbers and orders
    "pixels depend on threads and runs, whatever the seed": (
        "loader/test_loader_function.py::test_a_batch_is_a_function_of_its_numbers",
    ),
    "seed s in epoch 1 is seed s + 1 in epoch 0": (f"{ORDER}::test_seeds_and_epochs_do_not_alias",),
    "mixup seeds the generator of everything else": (
        "transforms/test_ffcv_transforms.py::test_mixup_leaves_other_random_numbers_alone",
    ),
    "ranks miss samples or see some twice": (f"{ORDER}::test_ranks_share_each_step_exactly",),
    "the quasi-random order is not for several ranks": (
        "loader/epoch/test_loader_ranks.py::test_the_union_over_processes_is_the_same_order_and_the_same_pixels",
    ),
    "center crops are not torchvision's": (
        "loader/test_loader_presets.py::test_center_crop_is_torchvisions_usual_evaluation",
    ),
    "an orientation in EXIF cannot be applied": (f"{IMAGES}::test_orientation_is_applied_on_request_only",),
    # use
    "a loader with a batch larger than the data is silently empty": (f"{HERE}::test_no_batch_at_all_is_an_error",),
    "a misspelt output is an assertion without a word": (f"{HERE}::test_a_misspelt_output_is_named",),
    "code is compiled again in every process": (
        "kernels/test_kernel_cache.py::test_second_process_finds_the_code_unless_bounds_are_checked",
    ),
    "more workers than numba has threads": (f"{HERE}::test_more_workers_than_numba_has_threads",),
    "two loaders at once end the process": (f"{STATE}::test_two_loaders_and_two_iterators_side_by_side",),
    "the number of torch's threads is changed": (f"{HERE}::test_torchs_threads_are_left_alone",),
    "numba functions with a signature fail after a loader was used": (f"{HERE}::test_signatures_of_users_still_match",),
    "distutils is imported": (f"{HERE}::test_it_imports_without_distutils",),
    "there are no types": (f"{HERE}::test_types_are_published",),
    "samples cannot be sent to other processes": ("dropin/test_dataset.py::test_a_pickle_holds_options_only",),
    "'smart' encodes what it then stores raw": (f"{IMAGES}::test_smart_compresses_what_is_large",),
    "options of images are not checked": (f"{IMAGES}::test_options_are_checked",),
    # what is missing
    "no conversion goes on": ("beton/test_crashes.py::test_killed_again_and_again",),
    "no epoch goes on": (f"{STATE}::test_resume_at_every_batch",),
    "files cannot be merged": ("beton/test_verify_merge.py::test_merging",),
    "one file at a time": ("loader/test_loader_files.py::test_files_follow_one_another",),
    "values of one length only": (f"{BATCHES}::test_ragged_bytes_and_json",),
    "one caption an image": (
        "interop/test_captions_end_to_end.py::test_every_caption_keeps_its_text_and_every_image_is_stored_once",
    ),
}


@cache
def functions(path: Path) -> frozenset[str]:
    """The tests of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_has_its_test(defect: str) -> None:
    assert DEFECTS[defect]
    for name in DEFECTS[defect]:
        path, _, function = name.partition("::")
        assert function in functions(TESTS / path), name


FIELDS: dict[str, Field] = {
    "text": BytesField(),
    "array": NDArrayField(np.dtype("<i4"), (3,)),
    "label": IntField(),
}
PIPELINES: dict[str, Any] = {"text": [BytesDecoder()], "array": [NDArrayDecoder()], "label": [IntDecoder()]}
COUNT = 12


def value(n: int) -> tuple[bytes, Any, int]:
    """The values of a sample; every second text is empty."""
    return b"text" * (n % 2) * n, np.full(3, n, "<i4"), n


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.beton"
    with Writer(path, FIELDS, COUNT) as writer:
        for n in range(COUNT):
            writer.write([field.encode(one) for field, one in zip(FIELDS.values(), value(n), strict=True)])
    return path


def load(path: Path, batch_size: int = 4, threads: int = 1, **options: Any) -> list[Any]:
    with Loader(path, batch_size, threads, pipelines=PIPELINES, **options) as loader:
        return list(loader)


def test_d1_empty_values_leave_other_fields_alone(path: Path) -> None:
    arrays = [row for batch in load(path) for row in np.asarray(batch[1]).tolist()]
    assert arrays == [[n, n, n] for n in range(COUNT)]


def test_d2_long_names_are_refused(tmp_path: Path) -> None:
    fields = {"caption_tokens_en_0": IntField(), "caption_tokens_en_1": IntField()}
    with pytest.raises(OptionError, match="caption_tokens_en_0"):
        Writer(tmp_path / "x.beton", fields, 1)
    assert not list(tmp_path.iterdir())


def test_d7_a_sample_that_is_no_tuple(tmp_path: Path) -> None:
    class Arrays:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            return np.zeros(3, np.uint8)

    writer = DatasetWriter(tmp_path / "x.beton", {"text": BytesField()}, num_workers=1)
    with pytest.raises(ConversionError, match="sample 0"):
        writer.from_indexed_dataset(Arrays())


def test_h1_bytes(tmp_path: Path) -> None:
    class Texts:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            return (b"text" * index,)

    out = tmp_path / "x.beton"
    DatasetWriter(out, {"text": BytesField()}, num_workers=2, processes="fork").from_indexed_dataset(Texts())
    with Reader(out) as reader:
        assert [bytes(reader.value("text", n)) for n in range(3)] == [b"", b"text", b"texttext"]


def test_h1_values_that_together_are_larger_than_the_page(tmp_path: Path) -> None:
    class Pairs:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            return bytes(1_500_000), bytes(1_500_000)

    fields: dict[str, Field] = {"one": BytesField(), "two": BytesField()}
    out = tmp_path / "x.beton"
    DatasetWriter(out, fields, 1 << 21, num_workers=2, processes="fork").from_indexed_dataset(Pairs())
    with Reader(out) as reader:
        assert [len(reader.value(name, n)) for n in range(3) for name in fields] == [1_500_000] * 6


def test_opening_makes_no_objects_of_entries(tmp_path: Path) -> None:
    """Stock ffcv takes some 470 bytes an entry, for its sets and dictionaries, and the time to make them."""
    count = 20_000
    with Writer(tmp_path / "x.beton", {"text": BytesField()}, count) as writer:
        for _ in range(count):
            writer.write([BytesField().encode(b"text")])
    tracemalloc.start()
    try:
        with Loader(tmp_path / "x.beton", 100, 1, pipelines={"text": [BytesDecoder()]}) as loader:
            assert len(loader) == 200
            _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 100 * count


def test_d8_nothing_lies_behind_short_bytes(path: Path) -> None:
    with Loader(path, 2, 1, pipelines=PIPELINES, batches_ahead=0, indices=[11, 9, 1, 3, 5, 0]) as loader:
        for batch in loader:
            for text, label in zip(batch[0], np.asarray(batch[2])[:, 0].tolist(), strict=True):
                wanted = value(label)[0]
                found = np.asarray(text).tobytes()
                assert found[: len(wanted)] == wanted and not found[len(wanted) :].strip(b"\0")
            del batch, text


def test_writing_needs_no_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Numbers:
        def __len__(self) -> int:
            return 9

        def __getitem__(self, index: int) -> Any:
            return (index,)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no shared memory")

    monkeypatch.setattr(shared_memory.SharedMemory, "__init__", refuse)
    out = tmp_path / "x.beton"
    DatasetWriter(out, {"label": IntField()}, num_workers=2, processes="fork").from_indexed_dataset(Numbers())
    with Reader(out) as reader:
        assert reader.column("label").tolist() == list(range(9))


def test_no_batch_at_all_is_an_error(path: Path) -> None:
    with pytest.raises(OptionError, match=r"x\.beton"):
        load(path, batch_size=COUNT + 1)
    [batch] = load(path, batch_size=COUNT + 1, drop_last=False)
    assert len(batch[2]) == COUNT


def test_a_misspelt_output_is_named(path: Path) -> None:
    with pytest.raises(OptionError, match="labels"):
        Loader(path, 4, 1, pipelines={"labels": [IntDecoder()]})


def test_more_workers_than_numba_has_threads(path: Path) -> None:
    numba = pytest.importorskip("numba")
    labels = [np.asarray(batch[2])[:, 0].tolist() for batch in load(path, threads=numba.config.NUMBA_NUM_THREADS + 3)]
    assert labels == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_torchs_threads_are_left_alone(path: Path) -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    load(path, threads=before + 1)
    assert torch.get_num_threads() == before


def test_signatures_of_users_still_match(path: Path) -> None:
    numba = pytest.importorskip("numba")
    load(path)
    first = numba.njit("uint8(uint8[::1])")(lambda values: values[0])
    assert first(np.array([7], np.uint8)) == 7


def test_it_imports_without_distutils() -> None:
    program = "import sys; sys.modules['distutils'] = None; import ffprep, ffprep.loader, ffprep.writer"
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": ""}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_types_are_published() -> None:
    assert (Path(ffprep.__file__).parent / "py.typed").exists()
