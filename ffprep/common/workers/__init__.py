"""What work is done with: this machine's processors, workers whose results come in order, a Ray cluster."""
