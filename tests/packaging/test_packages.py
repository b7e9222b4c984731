"""The wheel and the source distribution: what is in them, and a first use of the wheel where there is no compiler.

The C library and the kernels' machine code are those that the tests use: the packages are made of a copy of the
repository in which they count as built. That a compiler builds them is what the tests' own set-up shows.
"""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEPT_OUT = shutil.ignore_patterns(
    "__pycache__", "*.beton", ".venv*", "_kernels.so", "_native.so", "*.egg-info", "corpus"
)
FOLDERS = ["benchmarks", "configs", "docs", "examples", "ffprep", "packaging", "scripts", "tests"]
FILES = ["CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "Dockerfile", "LICENSE", "MANIFEST.in", "Makefile"]
FILES += ["README.md", "SECURITY.md", "layers.toml", "mkdocs.yml", "pyproject.toml", "setup.py"]
LIBRARIES = ["ffprep/jpeg/_native.so", "ffprep/kernels/_kernels.so"]


def copied(folder: Path) -> Path:
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=KEPT_OUT)
    if (ROOT / "machine").is_dir():
        shutil.copytree(ROOT / "machine", folder / "machine")
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    return folder


def without_compiler(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CC", "PYTHONHOME")}
    return {**kept, "PATH": "/nowhere", **more}


def setup(folder: Path, *command: Any, check: bool = True) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "setup.py", "-q", *map(str, command)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=without_compiler())
    assert done.returncode == 0 or not check, done.stderr
    return done


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both packages."""
    folder = copied(tmp_path_factory.mktemp("repository"))
    built = tmp_path_factory.mktemp("built")
    for name in LIBRARIES:
        if (ROOT / name).exists():
            target = built / name
            target.parent.mkdir(parents=True)
            shutil.copyfile(ROOT / name, target)  # newer than its sources now
    out = tmp_path_factory.mktemp("packages")
    setup(folder, "build", "--build-lib", built, "bdist_wheel", "--dist-dir", out, "sdist", "--dist-dir", out)
    return out


@pytest.fixture(scope="module")
def wheel(packages: Path) -> Path:
    (found,) = packages.glob("*.whl")
    return found


def described(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_one_wheel_for_every_python(wheel: Path) -> None:
    assert re.fullmatch(r"ffprep-[\d.]+-py3-none-(linux|macosx)\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"ffprep/py.typed", "ffprep/jpeg/_native.so", "ffprep/cli.py", "ffprep/demo_data/LICENSES.tsv"} <= set(names)
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"ffprep"}


def test_the_description_works_away_from_the_repository(wheel: Path) -> None:
    facts = described(wheel)
    assert facts["Requires-Python"] == ">=3.10" and facts["License-Expression"] == "Apache-2.0"
    assert {line.partition(",")[0] for line in facts.get_all("Project-URL", [])} >= {
        "Documentation",
        "Changes",
        "Issues",
    }
    text = facts.get_payload()
    targets = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", str(text))
    assert len(targets) > 10
    assert [one for pair in targets for one in pair if one and not one.startswith(("https://", "#"))] == []


def test_the_source_distribution_is_whole(packages: Path) -> None:
    (path,) = packages.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"CHANGELOG.md", "tests/conftest.py", "docs/index.md", "examples/study.py", "ffprep/jpeg/native/abi.h"}
    wanted |= {"packaging/backend.py", "scripts/build_kernels.py", "setup.py", "pyproject.toml", "README.md"}
    assert wanted <= names
    assert not [name for name in names if name.endswith((".so", ".pyc", ".beton"))]


def test_a_build_without_a_compiler_says_so_in_one_line(tmp_path: Path) -> None:
    done = setup(copied(tmp_path), "build_ext", check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("ffprep is built with a C compiler, and ") and "apt install gcc libc6-dev" in line


TRAINING = """
import torch
from ffprep.presets import imagenet_train

model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for images, labels in imagenet_train("train.beton", batch_size=2, num_workers=1, size=32):
    loss = torch.nn.functional.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("trained")
"""


def test_a_newcomer_trains_on_own_images(wheel: Path, tmp_path: Path, demo_data: Path) -> None:
    """An environment of its own, the wheel, no compiler: seven commands."""
    classes = sorted(path for path in (demo_data / "imagenet" / "train").iterdir() if path.is_dir())[:2]
    for number, folder in enumerate(classes):
        for copy in range(2):
            target = tmp_path / "photos" / ("cat", "dog")[number] / f"{copy}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(next(folder.glob("*.JPEG")), target)
    (tmp_path / "train.py").write_text(TRAINING)
    # What ffprep needs (PyTorch, numba and so on) is there already, ffprep is not.
    packages = Path(pytest.__file__).resolve().parents[1]
    here = tmp_path / "env"
    site = here / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    programs = here / "bin"

    def run(*words: Any) -> str:
        done = subprocess.run(
            [str(word) for word in words], cwd=tmp_path, capture_output=True, text=True, env=without_compiler()
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    run(sys.executable, "-m", "venv", "--without-pip", here)
    (site / "needed.pth").write_text(f"{packages}\n")
    run(programs / "python", "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--ignore-installed", wheel)
    assert run(programs / "ffprep", "--version").startswith("ffprep, version ")
    assert "samples        4" in run(programs / "ffprep", "plan", "imagenet", "--source", "photos")
    run(programs / "ffprep", "convert", "imagenet", "--source", "photos", "--out", "train.beton")
    assert "4 samples, no problem found" in run(programs / "ffprep", "verify", "train.beton")
    run(programs / "ffprep", "preview", "train.beton", "--out", "train.html")
    assert run(programs / "python", "train.py").endswith("trained\n")
    assert str(site) in run(programs / "python", "-c", "import ffprep; print(ffprep.__file__)")
