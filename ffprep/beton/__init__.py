"""The .beton file: layout, reading, writing, verifying, merging."""
