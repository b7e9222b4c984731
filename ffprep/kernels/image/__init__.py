"""One image from its stored bytes to its place in a batch: crop, decode, render."""
