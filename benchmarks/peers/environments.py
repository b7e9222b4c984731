"""An environment of its own for every peer, made from PyPI with the versions that the manual's figures are of.

``uv`` makes them, since it shares equal files between environments (torch alone takes 5 GB with what PyPI's build
needs); it gets an environment of its own where it is not installed, and pip does the work where it cannot be had. They
are kept, so that only the first run waits for downloads; so is the reason why one could not be made, until
``side_by_side.py --set-up`` tries it again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ffprep.inspect.timing.paired import what_failed

TORCH = ("torch==2.14.1", "torchvision==0.29.1")
UV = "uv==0.13.9"
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
    loads : str
        An expression that loads what it imports late, such as libraries of the system.
    system : str
        Debian's package of these, which root installs where they are missing.
    before : (int, int), optional
        The first Python with which it cannot be imported: there nothing is installed.
    """

    name: str
    packages: tuple[str, ...]
    modules: tuple[str, ...]
    loads: str = ""
    system: str = ""
    before: tuple[int, int] | None = None


MANUALS = {
    "torchvision": "https://docs.pytorch.org/vision/stable/transforms.html#performance-considerations",
    "torchcodec": "https://github.com/meta-pytorch/torchcodec/releases/tag/v0.16.0",
    "dali": "https://docs.nvidia.com/deeplearning/dali/user-guide/docs/advanced_topics_performance_tuning.html",
    "spdl": "https://facebookresearch.github.io/spdl/0.8.0/generated/spdl.io.load_image_batch.html",
    "webdataset": "https://webdataset.github.io/webdataset/sharding/",
    "streaming": "https://docs.mosaicml.com/projects/streaming/en/stable/getting_started/quick_start.html",
    "litdata": "https://github.com/Lightning-AI/litData#optimize-jpeg",
    "datasets": "https://huggingface.co/docs/datasets/use_with_pytorch",
    "grain": "https://github.com/google/grain",
    "tensorflow": "https://www.tensorflow.org/guide/data_performance",
    "turboloader": "https://pypi.org/project/turboloader/2.39.0/",
    "datago": "https://pypi.org/project/datago/2026.10.1/",
    "kornia-rs": "https://github.com/kornia/kornia-rs/tree/main/kornia-py",
    "slipstream": "https://github.com/harvard-visionlab/slipstream",
    "img2dataset": "https://github.com/rom1504/img2dataset",
    "fairseq": "https://github.com/facebookresearch/fairseq",
    "tokenisers": "https://huggingface.co/docs/datasets/process#batch-processing",
}
"""Where the settings of a peer come from, by the name of its environment; docs/comparison.md says what they are."""

ENVIRONMENTS = {
    one.name: one
    for one in (
        Environment("torchvision", ("Pillow==13.0.0", *TORCH), ("torchvision.io",)),
        Environment("torchcodec", ("torchcodec==0.17.0", *TORCH), ("torchcodec.decoders",)),
        Environment("dali", ("nvidia-dali-cuda120==2.4.0", "numpy", TORCH[0]), ("nvidia.dali",)),
        Environment(
            "spdl",
            ("spdl-core==0.8.0", "spdl-io==0.8.0", "numpy", TORCH[0]),
            ("spdl.io", "spdl.io.lib"),
            "spdl.io.lib._libspdl.ImagePackets",
            "ffmpeg",
        ),
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
        Environment("fairseq", ("fairseq==0.12.2", TORCH[0]), ("fairseq.data",), before=(3, 11)),
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
        *(
            Environment(
                name,
                (package, "numpy", "opencv-python-headless==5.0.0.93"),
                ("turbojpeg",),
                "turbojpeg.TurboJPEG()",
                "libturbojpeg0",
            )
            for name, package in (("turbojpeg", "PyTurboJPEG==2.6.1"), ("turbojpeg1", "PyTurboJPEG==1.8.3"))
        ),
        Environment(
            "decoders",
            (
                "simplejpeg==1.9.0",
                "opencv-python-headless==5.0.0.93",
                "imagecodecs==2026.3.6",
                "kornia-rs==0.2.0",
                "Pillow==13.0.0",
                *TORCH,
            ),
            ("simplejpeg", "cv2", "imagecodecs", "kornia_rs", "torchvision.io"),
        ),
    )
}


def home() -> Path:
    """Return the folder of the environments: $FFPREP_PEERS, or one in the user's cache."""
    return Path(os.environ.get("FFPREP_PEERS") or Path.home() / ".cache" / "ffprep-peers")


def set_up(environment: Environment, again: bool = False) -> tuple[Path, str]:
    """Make an environment if it is not there; with `again` also if it could not be made before.

    Returns
    -------
    (Path, str)
        Its interpreter, and why the peer cannot run; the latter is empty if it can.
    """
    folder = home() / environment.name
    python = folder / "bin" / "python"
    if environment.before is not None and sys.version_info >= environment.before:
        version = ".".join(map(str, environment.before))
        return python, f"{environment.packages[0]} cannot be imported by Python {version} and later"
    wanted = "\n".join(environment.packages)
    stamp, reason = folder / "packages.txt", folder / "failure.txt"
    failed = again and reason.exists() and bool(reason.read_text())
    if failed or not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        print(f"setting up {environment.name}: {' '.join(environment.packages)}", file=sys.stderr)
        failure = _install(folder, python, environment.packages) or _tried(python, environment)
        if failure and environment.system and _system(environment.system):
            failure = _tried(python, environment)
        folder.mkdir(parents=True, exist_ok=True)
        reason.write_text(failure)
        stamp.write_text(wanted)
    return python, reason.read_text() if reason.exists() else ""


def _system(package: str) -> bool:
    """Install a package of Debian's, if this is root's to do."""
    if not shutil.which("apt-get") or not hasattr(os, "geteuid") or os.geteuid():
        return False
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        for command in (["apt-get", "update", "-qq"], install):
            subprocess.run(command, capture_output=True, check=True, timeout=SECONDS, env=quiet)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _tried(python: Path, environment: Environment) -> str:
    """Import what a peer needs and return why that failed; nothing if it did not."""
    program = "".join(f"import {module}\n" for module in environment.modules) + environment.loads
    try:
        run = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"not imported within {SECONDS} s"
    return what_failed(run.stderr) if run.returncode else ""


@cache
def _reachable(url: str) -> bool:
    """Say whether an index answers: where it does not, each environment would wait for it in vain."""
    try:
        with urllib.request.urlopen(f"{url}/", timeout=20):
            return True
    except OSError:
        return False


@cache
def _uv() -> str:
    """Return the path of uv, which is installed if need be; nothing where it cannot be."""
    own = home() / "uv"
    if found := shutil.which("uv"):
        return found
    for path in (Path(sys.executable).with_name("uv"), own / "bin" / "uv"):
        if path.exists():
            return str(path)
    install = [str(own / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV]
    try:
        subprocess.run([sys.executable, "-m", "venv", str(own)], capture_output=True, check=True, timeout=SECONDS)
        subprocess.run(install, capture_output=True, check=True, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError):
        return ""
    return str(own / "bin" / "uv")


def _install(folder: Path, python: Path, packages: tuple[str, ...]) -> str:
    if uv := _uv():
        make = [uv, "venv", "--quiet", "--python", sys.executable, str(folder)]
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
    else:
        make = [sys.executable, "-m", "venv", str(folder)]
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        subprocess.run(make, capture_output=True, text=True, check=True)
        torch = [package for package in packages if package.startswith("torch")]
        if torch and _reachable(CPU_TORCH):  # PyTorch's own index has builds without CUDA, a tenth as large
            subprocess.run(
                [*install, "--index-url", CPU_TORCH, *torch[:2]], capture_output=True, check=False, timeout=SECONDS
            )
        subprocess.run([*install, *packages], capture_output=True, text=True, check=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"not installed within {SECONDS} s"
    except subprocess.CalledProcessError as error:
        return f"not installable: {what_failed(error.stderr)}"
    return ""
