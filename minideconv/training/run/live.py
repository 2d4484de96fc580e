"""``live.js``: how far a run is, for the pages of it that are open in a browser.

A page opened from a file may read no other file, but it may run a script: so this is a script of
one call, ``minideconvLive({...})``. The page (report.html) loads it every few seconds as long as
the run goes on, shows what it says, and reloads itself when the page has been written anew.

It is written in one step, as every file of a run. That it cannot be written ends no run: the page
is then behind, which it says itself.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minideconv.files.atomic import replace_file
from minideconv.training.run.pace import Pace

__all__ = ["Live"]


class Live:
    """Writes live.js, every two seconds at most, and in less than 0.5 % of the time.

    Parameters
    ----------
    path : Path
    now : callable
        Seconds; a test passes its own.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.page = ""
        """What names the page as it was written last."""
        self._pace = Pace(share=0.005, least=2.0, now=now)
        self._said: dict[str, Any] = {"state": "running"}

    def tell(self, values: Callable[[], dict[str, Any]], at_once: bool = False) -> None:
        """Write what ``values()`` returns, plain JSON, if it is time, or `at_once`."""
        self._pace.do(lambda: self._write({**values(), "state": "running"}), at_once)

    def page_written(self, page: str) -> None:
        """Say that there is a new page, if the run has said anything yet."""
        self.page = page
        if len(self._said) > 1:
            self._write(self._said)

    def end(self, state: str) -> None:
        """Say that the run has ended, and how: "done" or "stopped"."""
        self._write({**self._said, "state": state})

    def _write(self, said: dict[str, Any]) -> None:
        self._said = said
        text = json.dumps({**said, "page": self.page, "written": time.time()}, allow_nan=False)
        with contextlib.suppress(OSError):
            replace_file(self.path, f"minideconvLive({text});\n".encode())
