"""The house: which room imports which, measured from the import statements, and drawn as SVG.

A room is a folder of the package or a file directly in it. Its floor is one above the highest room
that it imports, so every import leads down, or the script lists those that do not.

    python docs/_ext/house.py             print the floors
    python docs/_ext/house.py house.svg   and draw them
"""

from __future__ import annotations

import ast
import sys
import tokenize
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "minideconv"


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Return every module of the package by its dotted name.

    Files in a folder without ``__init__.py`` are data: the course's solutions.
    """
    found = {}
    for path in sorted(package.rglob("*.py")):
        if not (path.parent / "__init__.py").exists():
            continue
        parts = (package.name, *path.relative_to(package).with_suffix("").parts)
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(
    path: Path, package: Path = PACKAGE, *, at_import_only: bool = False, types: bool = False
) -> list[tuple[int, str]]:
    """Return line and absolute dotted name of everything that a file imports.

    Parameters
    ----------
    path, package : Path
        A file, and the package that it is in.
    at_import_only : bool
        Leave out what functions import when they are called.
    types : bool
        Take in the blocks ``if TYPE_CHECKING:``, which name types and run nothing.
    """
    above = (package.name, *path.relative_to(package).parts[:-1])
    found: list[tuple[int, str]] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not types:
            return
        if at_import_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        if isinstance(node, ast.Import):
            found.extend((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = above[: len(above) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.extend((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8"), str(path)))
    return found


def file_graph(package: Path = PACKAGE, *, types: bool = False) -> dict[str, set[str]]:
    """Return which module imports which; names count as imports of the module they are in."""
    known = modules(package)
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        graph[name] = set()
        for _, target in imports(path, package, types=types):
            while target and target not in known:
                target = target.rpartition(".")[0]
            if target and target != name:
                graph[name].add(target)
    return graph


def room_of(module: str) -> str:
    """Return the room of a module: the part behind the package's name, "__init__" for itself."""
    return [*module.split("."), "__init__"][1]


def room_graph(files: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Return which room imports which.

    The command line in a room, ``__main__.py``, is not counted: nothing imports it, so it stands
    above all rooms, whichever it is kept in.
    """
    graph: dict[str, set[str]] = {room_of(name): set() for name in files}
    for name, targets in files.items():
        if name.endswith(".__main__"):
            continue
        graph[room_of(name)].update(room_of(target) for target in targets)
    return {room: targets - {room} for room, targets in graph.items()}


def cycles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the groups of more than one that reach each other (strongly connected components)."""
    below = {name: reachable(graph, name) for name in graph}
    groups = {
        tuple(sorted(other for other in graph if other in below[name] and name in below[other]))
        for name in graph
    }
    return sorted(list(group) for group in groups if len(group) > 1)


def reachable(graph: Mapping[str, Iterable[str]], start: str) -> set[str]:
    """Return everything that imports lead to from `start`, at any depth."""
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += graph[name]
    return seen


def floors(graph: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Return the floor of every room, from 1 upwards.

    Raises
    ------
    ValueError
        If rooms import each other in a cycle.
    """
    if found := cycles(graph):
        raise ValueError(f"rooms that import each other: {found}")
    floor: dict[str, int] = {}
    while len(floor) < len(graph):
        for room, targets in graph.items():
            if room not in floor and all(target in floor for target in targets):
                floor[room] = 1 + max((floor[target] for target in targets), default=0)
    return floor


def without_detours(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the arrows that no longer way replaces, which is what a picture can show."""
    below = {name: reachable(graph, name) for name in graph}
    return {
        name: {t for t in targets if not any(t in below[u] for u in targets)}
        for name, targets in graph.items()
    }


def code_lines(path: Path) -> int:
    """Return the number of lines that hold code: no blank lines, comments or docstrings."""
    with path.open("rb") as file:
        tokens = list(tokenize.tokenize(file.readline))
    empty = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    empty |= {tokenize.ENCODING, tokenize.ENDMARKER}
    lines: set[int] = set()
    statement_start = True
    for token in tokens:
        docstring = token.type == tokenize.STRING and statement_start
        if token.type not in empty and not docstring:
            lines.update(range(token.start[0], token.end[0] + 1))
        statement_start = token.type in empty or (statement_start and docstring)
    return len(lines)


# -- The picture -----------------------------------------------------------------------------------

WIDTH, ROW, BOX, MARGIN = 1080, 92, 48, 16


def draw(package: Path = PACKAGE) -> str:
    """Return the picture as SVG: a row for each floor, a box for each room, arrows to below."""
    graph = room_graph(file_graph(package))
    floor = floors(graph)
    top = max(floor.values())
    sizes: dict[str, list[int]] = {}
    for name, path in modules(package).items():
        sizes.setdefault(room_of(name), []).append(code_lines(path))
    boxes: dict[str, tuple[float, float, float]] = {}  # left, top, width
    arrows_of = without_detours(graph)
    shapes, arrows = [], []
    for level in range(top, 0, -1):
        rooms = sorted(
            (room for room in graph if floor[room] == level),
            key=lambda room: _middle_of_users(room, arrows_of, boxes),  # fewer arrows cross
        )
        widths = [max(128, 9 * len(room) + 24) for room in rooms]
        gap = (WIDTH - 60 - sum(widths)) / (len(rooms) + 1)
        x, y = 50 + gap, MARGIN + (top - level) * ROW
        shapes.append(f'<text class="floor" x="14" y="{y + BOX / 2 + 5:.0f}">{level}</text>')
        for room, width in zip(rooms, widths, strict=True):
            boxes[room] = (x, y, width)
            x += width + gap
            size = f"{sum(sizes[room]):,} lines"
            if len(sizes[room]) > 1:
                size = f"{len(sizes[room])} files, {size}"
            title = "import minideconv" if room == "__init__" else room
            left, middle = boxes[room][0], boxes[room][0] + width / 2
            shapes.append(
                f'<rect x="{left:.0f}" y="{y}" width="{width}" height="{BOX}" rx="6"/>'
                f'<text class="room" x="{middle:.0f}" y="{y + 20}">{escape(title)}</text>'
                f'<text class="size" x="{middle:.0f}" y="{y + 37}">{size}</text>'
            )
    for room, targets in arrows_of.items():
        for target in sorted(targets):
            (x0, y0, w0), (x1, y1, w1) = boxes[room], boxes[target]
            start, end = (x0 + w0 / 2, y0 + BOX), (x1 + w1 / 2, y1)
            bend = (end[1] - start[1]) / 2
            arrows.append(
                f'<path d="M{start[0]:.0f} {start[1]:.0f} C{start[0]:.0f} {start[1] + bend:.0f} '
                f'{end[0]:.0f} {end[1] - bend:.0f} {end[0]:.0f} {end[1] - 3:.0f}"/>'
            )
    style = (
        "text{font-family:sans-serif;text-anchor:middle;fill:#1d2733}"
        ".room{font-size:14px;font-weight:600}.size{font-size:11px;fill:#5b6878}"
        ".floor{font-size:13px;fill:#8a96a3}rect{fill:#eef4fb;stroke:#5b87b5}"
        "path{fill:none;stroke:#5b87b5;stroke-opacity:.55;marker-end:url(#tip)}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top * ROW}" role="img" '
        'aria-label="The rooms of the package in floors; every import leads down">\n'
        f"<style>{style}</style>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8" style="stroke-opacity:1;'
        'marker-end:none"/></marker></defs>\n'
        f'<rect width="{WIDTH}" height="{top * ROW}" style="fill:#fff;stroke:none"/>\n'
        + "\n".join([*arrows, *shapes])
        + "\n</svg>\n"
    )


def _middle_of_users(
    room: str, arrows: Mapping[str, set[str]], boxes: Mapping[str, tuple[float, float, float]]
) -> float:
    """Return where the rooms that import `room` are, from left to right."""
    users = [boxes[user][0] + boxes[user][2] / 2 for user in boxes if room in arrows[user]]
    return sum(users) / len(users) if users else WIDTH / 2


def main(arguments: list[str]) -> None:
    """Print the floors; with a file name, draw them too."""
    graph = room_graph(file_graph())
    floor = floors(graph)
    for level in range(max(floor.values()), 0, -1):
        print(f"{level:3d}  {'  '.join(sorted(room for room in floor if floor[room] == level))}")
    arrows = sum(len(targets) for targets in graph.values())
    print(f"{len(graph)} rooms, {arrows} arrows, all of them down")
    if arguments:
        Path(arguments[0]).write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
