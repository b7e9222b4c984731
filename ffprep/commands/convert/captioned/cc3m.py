"""``ffprep convert cc3m`` and ``ffprep plan cc3m``."""

from __future__ import annotations

from ffprep.commands.convert.captioned._shared import shard_commands

command, plan_command = shard_commands("cc3m", "Conceptual Captions 3M")
