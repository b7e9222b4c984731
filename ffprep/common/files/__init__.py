"""How files are opened, mapped, locked, written and replaced, and how far what they hold may be trusted."""
