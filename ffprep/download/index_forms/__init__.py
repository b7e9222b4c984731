"""The forms in which indexes of URLs are published: text, JSON and parquet files."""
