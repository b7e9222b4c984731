"""A Lightning DataModule: ranks from the trainer, and checkpoints that hold the place inside the epoch.

The data module keeps the training loader and hands its state to Lightning, so every checkpoint, of the middle of an
epoch or of its end, goes on with the very next batch.

    pip install lightning
    python examples/lightning_datamodule.py --train train.beton --val val.beton
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import demo_data
import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from models import ImageEncoder
from torch import Tensor, nn

from ffprep import Loader
from ffprep.presets import imagenet_train, imagenet_val


class Images(lightning.LightningDataModule):
    """Training and validation images from two files."""

    def __init__(self, train: Path, val: Path, batch_size: int = 32, size: int = 64, num_workers: int = 2) -> None:
        super().__init__()
        self.files = train, val
        self.options: dict[str, Any] = {"batch_size": batch_size, "size": size, "num_workers": num_workers}
        self.loader: Loader | None = None
        self.place: dict[str, Any] = {}

    def _ranks(self) -> dict[str, int]:
        trainer = self.trainer
        if trainer is None or trainer.world_size == 1:
            return {}
        return {"rank": trainer.global_rank, "world_size": trainer.world_size}

    def train_dataloader(self) -> Loader:
        self.loader = imagenet_train(self.files[0], seed=0, **self.options, **self._ranks())
        if self.place:
            self.loader.load_state_dict(self.place)
        return self.loader

    def val_dataloader(self) -> Loader:
        return imagenet_val(self.files[1], **self.options, **self._ranks())

    def state_dict(self) -> dict[str, Any]:
        return self.place if self.loader is None else self.loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.place = state_dict
        if self.loader is not None:
            self.loader.load_state_dict(state_dict)


class Classifier(lightning.LightningModule):
    def __init__(self, classes: int = 6) -> None:
        super().__init__()
        self.model = nn.Sequential(ImageEncoder(), nn.Linear(64, classes))
        self.seen: list[list[int]] = []

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        self.seen.append(labels.tolist())
        return nn.functional.cross_entropy(self.model(images), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        images, labels = batch
        right = (self.model(images).argmax(1) == labels).float().mean()
        self.log("accuracy", right, batch_size=len(labels), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), 1e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, help="made from the demo photographs by default")
    parser.add_argument("--val", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--stop", type=int, default=4, help="step of the checkpoint to go on from")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        train = options.train or demo_data.images(made, 48)
        val = options.val or demo_data.images(made, 24, seed=1)
        data = Images(train, val, options.batch_size)
        quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        lightning.seed_everything(0)
        model = Classifier()
        stop = options.stop
        keep = ModelCheckpoint(made, "{step}", every_n_train_steps=stop, save_top_k=-1)
        trainer = lightning.Trainer(max_epochs=options.epochs, devices=1, callbacks=[keep], **quiet)
        trainer.fit(model, data)
        print(f"accuracy {trainer.callback_metrics['accuracy']:.2f} after {trainer.global_step} steps")

        again = Classifier()  # as a job does that was killed after the checkpoint
        trainer = lightning.Trainer(max_epochs=options.epochs, devices=1, callbacks=[keep], **quiet)
        data = Images(train, val, options.batch_size)
        trainer.fit(again, data, ckpt_path=made / f"step={stop}.ckpt", weights_only=False)
        same = again.seen == model.seen[stop:]
        print(f"from step {stop} on {len(again.seen)} batches, {'the same' if same else 'others'} as in the first run")


if __name__ == "__main__":
    main()
