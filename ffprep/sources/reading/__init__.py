"""What sources read from: folders, tar and zip archives, tables, the hub, lists of names."""
