"""The demonstration: from six photographs to training batches with one command."""
