"""Which sample comes when: a function of (seed, epoch, position)."""
