"""One line that says that the kernels are being compiled, and why: what follows takes a minute on a busy machine."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from ffprep.kernels import jit, shipped
from ffprep.loader.engine.worker import work


def reason() -> str | None:
    """Return why the workers' kernels have to be compiled here, or None if their machine code is shipped."""
    if shipped.address(jit.plain_function(work)) is not None:
        return None
    return shipped.refusal() or "its sources have changed since it was built"


@cache
def tell_when_compiling() -> None:
    """Print the line when numba begins to compile a kernel of ours; what it keeps on disk is not compiled again."""
    why = reason()
    if why is None:
        return
    jit._numba()
    from numba.core import event

    class Listener(event.Listener):  # type: ignore[misc]
        """Hears of everything that numba compiles in this process."""

        said = False

        def on_start(self, happening: Any) -> None:
            if not self.said and str(happening.data["dispatcher"].py_func.__module__).startswith("ffprep."):
                self.said = True
                print(
                    f"ffprep: compiling kernels, once on this machine; their machine code is not used: {why}",
                    file=sys.stderr,
                )

        def on_end(self, happening: Any) -> None:
            """Do nothing."""

    event.register("numba:compile", Listener())
