"""Which sample is shown at which position of an epoch: functions of (seed, epoch, position) that keep no state.

- `sampling`: which order do a loader's options stand for?
- `order`: SEQUENTIAL, RANDOM, QUASI_RANDOM and orders that users write.
- `nodes`: an order of which each node reads a part of the file.
- `clips`: samples that belong together, as the frames of a video.
- `weighted`: samples drawn by their weights.
- `mix`: several files, each with its share of an epoch.
- `share`: which positions does a rank take?
- `permute`: the random permutation under all of these.
- `pages`: which page of its file does a sample lie in?
"""
