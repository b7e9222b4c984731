"""The demonstration: from six photographs to training batches, in one command."""
