"""What is a URL, which URLs lie beside it, and how long a store is waited for."""

from __future__ import annotations

from pathlib import Path

import pytest

from ffprep.errors import OptionError
from ffprep.remote.patience import Patience
from ffprep.remote.places import beside, is_url


def test_deadline_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("FFPREP_REMOTE_DEADLINE", "3")
    assert Patience.of_environment().deadline == 3
    for wrong in ("soon", "-1", "nan"):
        monkeypatch.setenv("FFPREP_REMOTE_DEADLINE", wrong)
        with pytest.raises(OptionError, match="a number of seconds"):
            Patience.of_environment()


@pytest.mark.parametrize(
    ("place", "expected"),
    [("s3://b/a.beton", True), ("/data/a.beton", False), ("C:/a", False), ("://", False), ("a b://c", False)],
)
def test_urls(place: str, expected: bool) -> None:
    assert is_url(place) == expected
    assert not is_url(Path("s3://b"))


def test_urls_beside() -> None:
    assert beside("s3://b/x/all.set.json", "a b.beton") == "s3://b/x/a b.beton"
    assert beside("https://h/x/all.set.json?token=1", "a b.beton") == "https://h/x/a%20b.beton?token=1"
