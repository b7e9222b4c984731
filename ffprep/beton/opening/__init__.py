"""Opening a file without trusting it: its head and its tables, wherever it lies, and the checks of both."""
