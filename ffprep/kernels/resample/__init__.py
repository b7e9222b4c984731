"""From decoded planes to pixels: axis weights, the renderers of each CPU level, colour and element type."""
