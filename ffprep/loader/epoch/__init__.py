"""An epoch under way.

- `iterator`: what happens at ``next(iterator)``? Where do heavy steps run?
- `setup`: which samples has a batch?
- `scheduler`: which batches do the workers have? What happens when a sample cannot be decoded?
- `pool_cache`: which worker pool does the next epoch use?
- `epoch_state`: which epoch is running, how far has it got, which one comes next?
- `saved_state`: what does `Loader.state_dict` save, and which loader may load it?
"""
