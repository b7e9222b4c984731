"""What sources read: folders, tars, zips, tables, the hub, lists of names."""
