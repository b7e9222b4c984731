"""The commands: one module each, found by its file name, imported when it is asked for.

A module ``ffprep/commands/some_name.py`` defines ``command``, a ``click.Command``; it becomes ``ffprep some-name``. A
folder with a ``command`` in its ``__init__`` does as well; ``convert`` is one, whose modules are the data sets.
Modules import click and nothing slow at the top, so that ``--help`` answers at once.
"""
