"""Where the time of loading goes, and what limits it."""
