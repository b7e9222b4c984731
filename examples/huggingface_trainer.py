"""Hugging Face's Trainer with ffprep's loaders: batches as dicts, and checkpoints that hold the place in the epoch.

pip install transformers accelerate
python examples/huggingface_trainer.py --train train.beton --val val.beton --out runs/vit
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import demo_data
from models import ImageEncoder
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from ffprep import Loader
from ffprep.presets import imagenet_train, imagenet_val

STATE = "ffprep_loader.json"


class Classifier(nn.Module):
    """As the Trainer wants models: keyword arguments in, a dict with the loss out."""

    def __init__(self, classes: int = 6) -> None:
        super().__init__()
        self.model = nn.Sequential(ImageEncoder(), nn.Linear(64, classes))

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.model(pixel_values)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Batches:
    """A loader whose batches are the keyword arguments of a model's ``forward``."""

    def __init__(self, loader: Loader, *names: str) -> None:
        self.loader = loader
        self.names = names
        self.dataset = loader.indices  # the Trainer asks for its length
        self.batch_size = loader.batch_size

    def __len__(self) -> int:
        return len(self.loader)

    def set_epoch(self, epoch: int) -> None:
        self.loader.set_epoch(epoch)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for batch in self.loader:
            yield dict(zip(self.names, batch, strict=True))


class KeepPlace(TrainerCallback):
    """Writes the loader's state into every checkpoint."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (folder / STATE).write_text(json.dumps(self.loader.state_dict()))


class ImageTrainer(Trainer):
    """A Trainer that takes its batches from ffprep; the loaders put them on the device themselves."""

    def __init__(self, *args: Any, train_loader: Loader, val_loader: Loader, **options: Any) -> None:
        self.loaders = train_loader, val_loader
        super().__init__(
            *args,
            callbacks=[KeepPlace(train_loader)],
            train_dataset=train_loader.indices,  # asked for its length only
            eval_dataset=val_loader.indices,
            **options,
        )

    def get_train_dataloader(self) -> Any:
        return Batches(self.loaders[0], "pixel_values", "labels")

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        return Batches(self.loaders[1], "pixel_values", "labels")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, help="made from the demo photographs by default")
    parser.add_argument("--val", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        train = options.train or demo_data.images(made, 48)
        val = options.val or demo_data.images(made, 24, seed=1)
        arguments = TrainingArguments(
            output_dir=str(options.out or made / "out"),
            num_train_epochs=options.epochs,
            per_device_train_batch_size=options.batch_size,
            learning_rate=1e-3,
            logging_steps=1,
            save_steps=4,
            eval_strategy="epoch",
            report_to=[],
            disable_tqdm=True,
            ignore_data_skip=True,  # the loader goes on at its place by itself
            seed=0,
        )
        loaders = {
            "train_loader": imagenet_train(
                train, options.batch_size, seed=0, size=options.size, device=arguments.device
            ),
            "val_loader": imagenet_val(val, options.batch_size, size=options.size, device=arguments.device),
        }
        trainer = ImageTrainer(Classifier(), arguments, **loaders)
        trainer.train()
        print({name: round(value, 3) for name, value in trainer.evaluate().items() if name == "eval_loss"})
        checkpoint = Path(arguments.output_dir) / "checkpoint-4"
        if (checkpoint / STATE).exists():
            loaders["train_loader"].load_state_dict(json.loads((checkpoint / STATE).read_text()))
            again = ImageTrainer(Classifier(), arguments, **loaders)
            again.train(resume_from_checkpoint=str(checkpoint))
            print(f"went on from {checkpoint.name} to step {again.state.global_step}")


if __name__ == "__main__":
    main()
