"""Images with boxes or masks."""
