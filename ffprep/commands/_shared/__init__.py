"""What several commands share: groups and options."""
