"""``python -m ffprep`` is the ``ffprep`` command."""

from __future__ import annotations

from ffprep.cli import main

if __name__ == "__main__":
    main()
