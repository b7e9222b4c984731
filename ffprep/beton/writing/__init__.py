"""How a .beton file comes about: placement, pages, journal, the final rename."""
