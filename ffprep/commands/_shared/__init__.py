"""Options and groups that commands share."""
