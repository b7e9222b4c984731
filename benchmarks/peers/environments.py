"""An environment of its own for every peer, made from PyPI with the versions that the manual's figures are of.

``uv`` makes them where it is installed, since it shares equal files between environments (torch alone takes 5 GB with
what PyPI's build needs); pip does otherwise. They are kept, so that only the first run waits for downloads; so is the
reason why one could not be made. To try again, delete its folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TORCH = ("torch==2.14.1", "torchvision==0.29.1")
CPU_TORCH = "https://download.pytorch.org/whl/cpu"
SECONDS = 1200


@dataclass(frozen=True)
class Environment:
    """The packages of one peer.

    Attributes
    ----------
    name : str
    packages : tuple of str
        Requirements with their versions.
    modules : tuple of str
        What must be importable for the peer to run.
    """

    name: str
    packages: tuple[str, ...]
    modules: tuple[str, ...]


ENVIRONMENTS = {
    one.name: one
    for one in (
        Environment("torchvision", ("Pillow==13.0.0", *TORCH), ("torchvision.io",)),
        Environment("torchcodec", ("torchcodec==0.17.0", *TORCH), ("torchcodec.decoders",)),
        Environment("dali", ("nvidia-dali-cuda120==2.4.0", "numpy", TORCH[0]), ("nvidia.dali",)),
        Environment("spdl", ("spdl-core==0.8.0", "spdl-io==0.8.0", "numpy", TORCH[0]), ("spdl.io.lib._libspdl",)),
        Environment("webdataset", ("webdataset==1.0.2", *TORCH), ("webdataset",)),
        Environment("streaming", ("mosaicml-streaming==0.13.0", *TORCH), ("streaming",)),
        Environment("litdata", ("litdata==0.2.76", *TORCH), ("litdata",)),
        Environment("datasets", ("datasets==5.2.0", *TORCH), ("datasets",)),
        Environment(
            "grain",
            ("grain==0.2.18", "array-record==0.8.6", "opencv-python-headless==5.0.0.93"),
            ("grain", "array_record.python.array_record_module", "cv2"),
        ),
        Environment("tensorflow", ("tensorflow-cpu==2.21.0",), ("tensorflow",)),
        Environment("turboloader", ("turboloader==2.39.0", TORCH[0]), ("turboloader",)),
        Environment("datago", ("datago==2026.10.1", *TORCH), ("datago",)),
        Environment("kornia-rs", ("kornia-rs==0.2.0", "numpy", TORCH[0]), ("kornia_rs",)),
        Environment("slipstream", ("slipstream==0.7.0",), ("slipstream",)),
        Environment("img2dataset", ("img2dataset==1.47.0",), ("img2dataset",)),
        Environment("fairseq", ("fairseq==0.12.2", TORCH[0]), ("fairseq.data",)),
        Environment(
            "tokenisers",
            (
                "tiktoken==0.14.0",
                "tokenizers==0.23.3",
                "datasets==5.2.0",
                "datatrove==0.10.1",
                "orjson==3.13.0",
                "numpy",
            ),
            ("tiktoken", "tokenizers", "datasets", "datatrove"),
        ),
        Environment(
            "decoders",
            (
                "simplejpeg==1.9.0",
                "PyTurboJPEG==2.6.1",
                "opencv-python-headless==5.0.0.93",
                "imagecodecs==2026.3.6",
                "kornia-rs==0.2.0",
                "Pillow==13.0.0",
                *TORCH,
            ),
            ("simplejpeg", "cv2", "imagecodecs"),
        ),
    )
}


def home() -> Path:
    """Return the folder of the environments: $FFPREP_PEERS, or one in the user's cache."""
    return Path(os.environ.get("FFPREP_PEERS") or Path.home() / ".cache" / "ffprep-peers")


def set_up(environment: Environment) -> tuple[Path, str]:
    """Make an environment if it is not there.

    Returns
    -------
    (Path, str)
        Its interpreter, and why the peer cannot run; the latter is empty if it can.
    """
    folder = home() / environment.name
    python = folder / "bin" / "python"
    wanted = "\n".join(environment.packages)
    stamp, reason = folder / "packages.txt", folder / "failure.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        print(f"setting up {environment.name}: {' '.join(environment.packages)}", file=sys.stderr)
        failure = _install(folder, python, environment.packages) or _tried(python, environment.modules)
        folder.mkdir(parents=True, exist_ok=True)
        reason.write_text(failure)
        stamp.write_text(wanted)
    return python, reason.read_text() if reason.exists() else ""


def _tried(python: Path, modules: tuple[str, ...]) -> str:
    """Import modules and return why that failed; nothing if it did not."""
    program = "".join(f"import {module}\n" for module in modules)
    try:
        run = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"not imported within {SECONDS} s"
    return _last_line(run.stderr) if run.returncode else ""


def _install(folder: Path, python: Path, packages: tuple[str, ...]) -> str:
    uv = shutil.which("uv") or (str(found) if (found := Path(sys.executable).with_name("uv")).exists() else "")
    if uv:
        make = [uv, "venv", "--quiet", "--python", sys.executable, str(folder)]
        install = [uv, "pip", "install", "--quiet", "--python", str(python)]
    else:
        make = [sys.executable, "-m", "venv", str(folder)]
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        subprocess.run(make, capture_output=True, text=True, check=True)
        torch = [package for package in packages if package.startswith("torch")]
        if torch:  # PyTorch's own index has builds without CUDA, a tenth as large
            subprocess.run(
                [*install, "--index-url", CPU_TORCH, *torch[:2]], capture_output=True, check=False, timeout=SECONDS
            )
        subprocess.run([*install, *packages], capture_output=True, text=True, check=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"not installed within {SECONDS} s"
    except subprocess.CalledProcessError as error:
        return f"not installable: {_last_line(error.stderr)}"
    return ""


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
