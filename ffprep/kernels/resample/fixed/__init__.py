"""The renderers in fixed point: what they share, and one for each CPU level."""
