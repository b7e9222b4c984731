#!/usr/bin/env bash
# Makes the virtual environment that `make` works in: Python packages, the JPEG kernel, for tests the other kernels'
# machine code, and (where it can be built) stock ffcv as the partner for interoperability tests and comparisons. Safe
# to run again; does only what is missing.
#
#   scripts/setup.sh [run|dev]     run: what the demo needs; dev: also the test and lint tools
#
# Environment: PYTHON (python3), VENV (.venv), FFPREP_FFCV=0 leaves ffcv out and FFPREP_KERNELS=jit the machine code, TORCH
# (what pip is asked for, e.g. "torch==2.13.0"; by default PyTorch's CPU build where there is no NVIDIA driver).
set -eu
profile="${1:-run}"
python="${PYTHON:-python3}"
venv="${VENV:-.venv}"
cd "$(dirname "$0")/.."

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
am_root() { [ "$(id -u)" = 0 ]; }
apt_install() { # packages; true when they are there afterwards
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return 0
    command -v apt-get >/dev/null && am_root || return 1
    say "apt-get install ${missing[*]}"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

if [ ! -x "$venv/bin/python" ]; then
    say "creating $venv"
    if ! "$python" -m venv "$venv" 2>/dev/null; then
        rm -rf "$venv"
        version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
        apt_install "python$version-venv" || apt_install python3-venv || {
            echo "error: '$python -m venv' fails; install the package python3-venv (as root: apt-get install python3-venv)" >&2
            exit 1
        }
        "$python" -m venv "$venv"
    fi
fi
pip() { "$venv/bin/python" -m pip --disable-pip-version-check -q "$@"; }

command -v cc >/dev/null || command -v gcc >/dev/null || apt_install gcc libc6-dev || {
    echo "error: no C compiler; install one (as root: apt-get install gcc libc6-dev)" >&2
    exit 1
}

if ! "$venv/bin/python" -c 'import torch' 2>/dev/null; then
    say "installing PyTorch"
    if [ -z "${TORCH:-}" ] && ! command -v nvidia-smi >/dev/null; then
        # The CPU build is a tenth of the size of PyPI's; where its index cannot be reached, PyPI's build does as well.
        pip install --no-deps --retries 0 --timeout 20 --index-url https://download.pytorch.org/whl/cpu torch 2>/dev/null || true
    fi
    pip install "${TORCH:-torch}"
fi

extras="convert,download"
[ "$profile" = dev ] && extras="$extras,dev"
stamp="$venv/.ffprep-$profile"
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || [ setup.py -nt "$stamp" ]; then
    say "installing ffprep[$extras]"
    # The torch that is there stays: another package's wish for a newer one would fetch PyPI's build, of several GB.
    "$venv/bin/python" -c 'import torch; print("torch==" + torch.__version__.partition("+")[0])' >"$venv/.ffprep-torch"
    pip install -c "$venv/.ffprep-torch" -e ".[$extras]"
    if [ "$profile" = dev ]; then
        # Plays S3 in the tests. It takes the boto3 of s3fs's botocore, which pip looks for in vain for minutes if it is
        # asked for all at once. Of moto's server, S3 needs no more than flask.
        "$venv/bin/python" -c 'import botocore; print("boto3<=" + botocore.__version__)' >"$venv/.ffprep-boto3"
        pip install -c "$venv/.ffprep-torch" -c "$venv/.ffprep-boto3" 'moto[s3]>=5' flask flask-cors
    fi
    touch "$stamp"
fi
newest="$(find ffprep/jpeg/native -name '*.[ch]' -exec ls -t {} + | head -n 1)"
if [ ! -e ffprep/jpeg/_native.so ] || [ "$newest" -nt ffprep/jpeg/_native.so ]; then
    say "building the JPEG kernel"
    pip install setuptools
    "$venv/bin/python" setup.py -q build_ext --inplace
fi
if [ "$profile" = dev ] && [ "${FFPREP_KERNELS:-}" != jit ] && [ ! -e ffprep/kernels/_kernels.so ] && [ "$(uname -sm)" = "Linux x86_64" ]; then
    say "compiling the kernels' machine code (a few minutes)"
    log="$(mktemp)"
    if ! { pip install setuptools && "$venv/bin/python" scripts/build_kernels.py --if-stale --inplace; } 2>"$log"; then
        echo "note: it is left out; numba compiles the kernels when they are first used" >&2
        tail -n 3 "$log" >&2
    fi
    rm -f "$log"
fi

if [ "$profile" = dev ] && ! command -v chromium chromium-browser google-chrome >/dev/null && ! apt_install chromium; then
    echo "note: there is no browser to look at pages in; tests of ffprep preview's page will be skipped (as root:" \
         "apt-get install chromium)" >&2
fi

if [ "${FFPREP_FFCV:-1}" = 1 ] && ! "$venv/bin/python" -c 'import ffcv' 2>/dev/null; then
    log="$(mktemp)"
    if apt_install g++ pkg-config libopencv-dev libturbojpeg0-dev && say "building stock ffcv 1.0.2" \
        && pip install setuptools wheel && pip install 'ffcv==1.0.2' 2>"$log"; then
        rm -f "$log"
    else
        echo "note: stock ffcv is left out: it needs g++, pkg-config, libopencv-dev and libturbojpeg0-dev (as root:" \
             "apt-get install g++ pkg-config libopencv-dev libturbojpeg0-dev). Comparisons with it will be skipped." >&2
        [ -s "$log" ] && grep -v '^ *$' "$log" | tail -n 3 >&2
        rm -f "$log"
    fi
fi
