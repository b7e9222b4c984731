"""``ffprep convert sbu`` and ``ffprep plan sbu``."""

from __future__ import annotations

from ffprep.commands.convert.captioned._shared import shard_commands

command, plan_command = shard_commands("sbu", "SBU captions")
