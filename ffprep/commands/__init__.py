"""The commands: one module for each, found by its file name.

A module ``some_name.py`` of this folder defines ``command``, a ``click.Command``, which becomes ``ffprep some-name``.
So does a folder with a ``command`` in its ``__init__``: ``convert`` is one, and its modules are the data sets. The
modules of `FOLDERS` are commands as well.

``ffprep --help`` imports all of these modules, so at the top they import only click and what is as light. The rooms
that do the work (with numpy, asyncio and so on) are imported inside the functions that call them.
"""

FOLDERS = ("looking", "deriving")
"""Folders of commands on finished files: what only looks at them, and what makes others of them."""
