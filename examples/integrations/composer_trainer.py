"""MosaicML's Composer on ffprep's loaders.

pip install mosaicml
python examples/integrations/composer_trainer.py train.beton val.beton
"""

from __future__ import annotations

import sys

import torchvision
from composer import DataSpec, Trainer
from composer.models import ComposerClassifier

from ffprep import Loader
from ffprep.presets import imagenet_train, imagenet_val


def spec(loader: Loader) -> DataSpec:
    """Say how many samples there are, since Composer asks torch's own loaders only."""
    return DataSpec(loader, num_samples=len(loader.indices), get_num_samples_in_batch=lambda batch: len(batch[0]))


def main(train: str, val: str, size: int = 64, batch_size: int = 16) -> None:
    model = ComposerClassifier(torchvision.models.resnet18(num_classes=6), num_classes=6)
    trainer = Trainer(
        model=model,
        train_dataloader=spec(imagenet_train(train, batch_size, seed=0, size=size)),
        eval_dataloader=spec(imagenet_val(val, batch_size, size=size)),
        max_duration="2ep",
        progress_bar=False,
    )
    trainer.fit()
    print(f"{trainer.state.timestamp.batch} batches, accuracy {trainer.state.eval_metric_values}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
