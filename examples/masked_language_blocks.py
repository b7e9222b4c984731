"""Predict masked tokens, as BERT does, in blocks of text; stop in the middle of an epoch and go on.

ffprep convert openwebtext --source DIR --block 192 --out owt.beton
python examples/masked_language_blocks.py --data owt.beton
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import demo_data
import torch
from models import TextEncoder
from torch import Tensor, nn

from ffprep.presets import text_blocks


def masked(tokens: Tensor, share: float, mask: int, specials: list[int], generator: torch.Generator) -> Tensor:
    """Replace a share of the tokens, none of them special, by ``<mask>``."""
    chosen = torch.rand(tokens.shape, generator=generator) < share
    chosen &= ~torch.isin(tokens, torch.tensor(specials))
    return torch.where(chosen, mask, tokens)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="made from the demo texts by default")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or demo_data.blocks(Path(folder))
        loader = text_blocks(data, options.batch_size, seed=0)
        words = loader.vocabulary
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)
        [tokens] = loader.batch([0])
        model = nn.Sequential(TextEncoder(words.size, tokens.shape[1]), nn.Linear(64, words.size))
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        step, state = 0, loader.state_dict()
        while step < options.steps:
            for (tokens,) in loader:
                given = masked(tokens, 0.15, words.mask, list(words.specials.values()), generator)
                hidden = given != tokens
                if hidden.any():
                    loss = nn.functional.cross_entropy(model(given)[hidden], tokens[hidden])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                step += 1
                state = loader.state_dict()
                if step % 5 == 0:
                    print(
                        f"step {step}: loss {loss.item():.3f} at sample {state['position']} of epoch {state['epoch']}"
                    )
                if step == options.steps:
                    break
        loader.close()
        # What a restarted job does: the same options, the state, and the next batch is the one that would have come.
        with text_blocks(data, options.batch_size, seed=0) as again:
            again.load_state_dict(state)
            [tokens] = next(iter(again))
            print(f"going on with: {words.decode(tokens[0])!r}")


if __name__ == "__main__":
    main()
