"""What log.txt says about the sessions of a run: when, on which machine, by which command."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minideconv.files.reading import read_text
from minideconv.visualize.html import Html, HtmlTemplate, joined

__all__ = ["Session", "read_sessions", "session_table"]

_MOST_LOG = 16 << 20  # bytes
_WHEN = r"(?P<when>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S*): "
_LINE = {
    "began": re.compile(_WHEN + r"began: (?P<command>.*)"),
    "versions": re.compile(_WHEN + r"process \d+ on (?P<machine>.*?), (?P<versions>Python .*)"),
    "ended": re.compile(_WHEN + r"ended(?P<ending>.*)"),
    "computes": re.compile(r"minideconv \S+: .* on (?P<device>(?:cpu|gpu|auto|cuda).*)"),
}


@dataclass
class Session:
    """One call of the program that trained; "" is what the log does not say."""

    when: str = ""
    command: str = ""
    machine: str = ""
    versions: str = ""
    device: str = ""
    ending: str = ""


def read_sessions(log: Path) -> list[Session]:
    """Return the sessions that a log tells of: none if it cannot be read, or is an older one."""
    try:
        lines = read_text(log, _MOST_LOG).splitlines()
    except (OSError, ValueError):
        return []
    sessions: list[Session] = []
    for line in lines:
        for kind, pattern in _LINE.items():
            if found := pattern.match(line):
                if kind == "began":
                    sessions.append(Session(found["when"], found["command"]))
                elif sessions:
                    _add(sessions[-1], found.groupdict())
    return sessions


def _add(session: Session, found: dict[str, str]) -> None:
    for name, value in found.items():
        if name == "ending":
            session.ending = value.strip(": ") or "done"
        elif name != "when":
            setattr(session, name, value)


def session_table(sessions: Sequence[Session], most: int = 6) -> Html:
    """Lay out the last sessions; what is the same as in the one before is said all the same."""
    if not sessions:
        return Html('<p class="empty">log.txt tells of no session.</p>')
    rows = joined(_SESSION.fill(_row(session)) for session in sessions[-most:])
    left = len(sessions) - most
    note = f"The last {most} of {len(sessions)} sessions." if left > 0 else ""
    return _TABLE.fill({"rows": rows, "note": note})


def _row(session: Session) -> dict[str, str]:
    ending = session.ending or "not ended yet, or killed"
    return {**vars(session), "ending": ending[:300], "command": session.command[:4000]}


_SESSION = HtmlTemplate(
    "<dl><dt>began</dt><dd>$when</dd><dt>ended</dt><dd>$ending</dd><dt>machine</dt><dd>$machine</dd>"
    "<dt>computed on</dt><dd>$device</dd><dt>versions</dt><dd>$versions</dd>"
    "<dt>command</dt><dd><code>$command</code></dd></dl>"
)
_TABLE = HtmlTemplate('<div class="sessions">$rows</div><p class="note">$note</p>')
