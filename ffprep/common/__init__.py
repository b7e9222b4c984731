"""Small things that every room may use: processors, archives, sizes in words, files that replace others."""
