"""``python -m minideconv``: list all programs, or run one: ``python -m minideconv train ...``.

The same as the console script ``minideconv``. What a program does is the first line of its file.
"""

from __future__ import annotations

import ast
import re
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from minideconv._version import __version__

__all__ = ["main", "programs"]

_HERE = Path(__file__).parent
_ABOUT = re.compile(r"``python -m minideconv\.(\w+)[^`]*``: (.*)")
_ORDER = ("train", "evaluate", "predict", "report")  # the others follow by their names


def programs() -> dict[str, str]:
    """Return what each program does, by its name."""
    found = {}
    for path in (*_HERE.glob("*.py"), *_HERE.glob("*/__main__.py")):
        name = path.stem if path.parent == _HERE else path.parent.name
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        about = _ABOUT.match(text)
        if about and about[1] == name:
            found[name] = about[2].rstrip(".")
    order = {name: place for place, name in enumerate(_ORDER)}
    return {name: found[name] for name in sorted(found, key=lambda n: (order.get(n, 99), n))}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program that is named; without a name list all of them. Return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    known = programs()
    if not given or given[0] in ("-h", "--help"):
        width = max(map(len, known))
        lines = [f"  {name:<{width}}  {about}" for name, about in known.items()]
        print(f"minideconv {__version__}\n\nusage: python -m minideconv.PROGRAM [options], or")
        print("       python -m minideconv PROGRAM [options]\n", *lines, sep="\n")
        print("\n--help behind a program shows its options.")
        return 0
    if given[0] == "--version":
        print(__version__)
        return 0
    if given[0] not in known:
        print(f"minideconv: {given[0]!r} is no program; it must be one of {', '.join(known)}",
              file=sys.stderr)  # fmt: skip
        return 2
    sys.argv = [f"python -m minideconv.{given[0]}", *given[1:]]
    runpy.run_module(f"minideconv.{given[0]}", run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
