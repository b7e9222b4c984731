"""From decoded planes to pixels: weights, the renderers of each CPU level, colour and element type."""
