# ffprep with its converters on Debian's Python, for the CPU:
#
#   docker build -t ffprep .
#   docker run --rm -v /data:/data --user "$(id -u):$(id -g)" -e HOME=/tmp ffprep convert imagenet --source /data/imagenet --out /data/train.beton
#
# For a GPU take an image of PyTorch as the base: --build-arg BASE=pytorch/pytorch:2.9.1-cuda12.8-cudnn9-runtime
# --build-arg TORCH_INDEX=https://pypi.org/simple
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM ${BASE}
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python -c "import torch" 2>/dev/null || pip install --no-cache-dir torch --index-url ${TORCH_INDEX}
COPY --from=build /wheels /wheels
RUN wheel="$(echo /wheels/ffprep-*.whl)" \
    && pip install --no-cache-dir "${wheel}[convert,tokenizers,download]" \
    && rm -rf /wheels \
    && useradd --create-home ffprep
USER ffprep
WORKDIR /home/ffprep
ENTRYPOINT ["ffprep"]
CMD ["--help"]
