"""One module a data set: where it lies, how it is read, what its samples are."""
