"""The JPEG kernel's bindings, and what becomes of an image file at conversion."""
