"""A loader over S3, as moto plays it on the loopback device."""

from __future__ import annotations

from pathlib import Path

import pytest

from ffprep import Loader, OrderOption
from ffprep.beton.sets import files_of, make_set
from ffprep.errors import FfprepError
from ffprep.remote.staging import stage

s3fs = pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> object:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    fs = s3fs.S3FileSystem()
    fs.mkdir("bucket")
    yield fs
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_epochs_sets_and_staging(bucket: object, local: Path, cache: Path, tmp_path: Path) -> None:
    make_set(tmp_path / "train.set.json", [local])
    for name in (local.name, "train.set.json"):
        bucket.pipe(f"bucket/data/{name}", (tmp_path / name).read_bytes())
    options = {"num_workers": 2, "seed": 1, "order": OrderOption.QUASI_RANDOM}
    with Loader(local, 16, **options) as loader:
        wanted = [numbers.tolist() for _, numbers in loader]
    for place in ("s3://bucket/data/train.beton", "s3://bucket/data/train.set.json", "s3://bucket/data"):
        with Loader(place, 16, **options) as loader:
            assert [numbers.tolist() for _, numbers in loader] == wanted
    [file] = files_of("s3://bucket/data/train.set.json")
    assert stage(file.path).fetched == 0
    with pytest.raises(FfprepError, match="s3://bucket/data/none.beton: .*there is no such object"):
        files_of("s3://bucket/data/none.beton")
