"""Documents out of files of all kinds, cleaned."""
