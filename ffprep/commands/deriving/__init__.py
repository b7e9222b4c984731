"""Commands that make other files of finished ones, or bring them elsewhere."""
