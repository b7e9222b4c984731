"""What runs a plan: worker threads, their program and memory, read-ahead, copies to a device."""
