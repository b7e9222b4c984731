"""``ffprep convert cc12m`` and ``ffprep plan cc12m``."""

from __future__ import annotations

from ffprep.commands.convert.captioned._shared import shard_commands

command, plan_command = shard_commands("cc12m", "Conceptual Captions 12M")
