"""Fetches the images that an index of URLs names: politely, and resumably after an interruption."""
