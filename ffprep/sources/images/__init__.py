"""Images with whatever belongs to them, from folders, archives and tables of any layout."""
