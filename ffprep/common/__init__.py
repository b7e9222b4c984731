"""What every other part of the package may use: processors, archives, ordered work, replacing files, formatting."""
