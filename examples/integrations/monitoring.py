"""How fast data comes and how long training waits for it, in TensorBoard, Weights & Biases and Prometheus.

python examples/integrations/monitoring.py train.beton tensorboard     # or wandb, prometheus
"""

from __future__ import annotations

import sys

from ffprep.monitoring import Monitor, PrometheusCollector
from ffprep.presets import imagenet_train


def main(path: str, where: str, size: int = 64) -> None:
    loader = imagenet_train(path, 16, seed=0, size=size)
    monitor = Monitor(loader)
    if where == "tensorboard":
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter("runs")
    elif where == "wandb":
        import wandb

        run = wandb.init(project="ffprep", mode="offline")
    else:
        from prometheus_client import REGISTRY, generate_latest, start_http_server

        REGISTRY.register(PrometheusCollector({"train": loader}))
        start_http_server(8000)  # from now on at http://localhost:8000/metrics
    for step, (_images, _labels) in enumerate(loader):
        if step % 2 == 0 and where == "tensorboard":
            monitor.write(writer, step)
        elif step % 2 == 0 and where == "wandb":
            run.log(monitor.scalars(), step=step)
    if where == "prometheus":
        print(*(line for line in generate_latest().decode().splitlines() if line.startswith("ffprep_")), sep="\n")
    else:
        print(monitor.scalars())


if __name__ == "__main__":
    main(*sys.argv[1:3])
