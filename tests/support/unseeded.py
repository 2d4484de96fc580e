"""Finds unseeded randomness in source code: what makes a test pass today and fail tomorrow.

It reads the syntax tree, so it resolves names: ``random.default_rng()`` is NumPy's,
seeded by the system, after ``from numpy import random``, and the library's, which the tests seed,
after ``from minideconv import random``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

GENERATORS = {
    *(f"numpy.random.{name}" for name in ("default_rng", "RandomState", "SeedSequence")),
    *(f"numpy.random.{name}" for name in ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")),
    *(f"cupy.random.{name}" for name in ("default_rng", "RandomState", "XORWOW", "Philox4x3210")),
    "random.Random",
}
"""Without an argument they ask the system for a seed."""

SHARED = ("numpy.random.", "cupy.random.", "random.", "torch.rand")
"""Beginnings of functions that draw from a generator which the whole process shares."""

NOT_SHARED = {
    *("numpy.random.Generator", "numpy.random.get_state", "random.getstate"),
    *(f"torch.random.{name}" for name in ("fork_rng", "get_rng_state", "manual_seed")),
}
"""They draw nothing, and their names begin so."""

BY_THE_SYSTEM = {
    *("hash", "os.getrandom", "os.urandom", "random.SystemRandom", "uuid.uuid1", "uuid.uuid4"),
    *(f"secrets.token_{kind}" for kind in ("bytes", "hex", "urlsafe")),
}
"""These take no seed. ``hash`` of a string is another number in every process."""

USUAL = {"torch": "torch", "np": "numpy", "cupy": "cupy"}
"""Names that come from fixtures or ``pytest.importorskip``, not from an import."""


def unseeded(source: str) -> Iterator[str]:
    """Yield a line for every call in `source` whose result no seed decides."""
    tree = ast.parse(source)
    names = USUAL | _imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            problem = _problem(_full_name(node.func, names), node)
            if problem:
                yield f"line {node.lineno}: {ast.unparse(node)} {problem}"


def _problem(name: str, call: ast.Call) -> str:
    if name in BY_THE_SYSTEM:
        return "cannot be given a seed"
    if name in GENERATORS:
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        none = all(isinstance(value, ast.Constant) and value.value is None for value in given)
        return "has no seed" if none else ""
    own = any(keyword.arg == "generator" for keyword in call.keywords)  # PyTorch's keyword
    shared = name.startswith(SHARED) and name not in NOT_SHARED and not own
    return "draws from the generator of the whole process" if shared else ""


def _imported(tree: ast.AST) -> dict[str, str]:
    """Return what the imported names of a file stand for."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.partition(".")[0]
                names[alias.asname or whole] = whole
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _full_name(node: ast.expr, names: dict[str, str]) -> str:
    """Return ``numpy.random.normal`` for ``np.random.normal``, and "" for what is no such name."""
    if isinstance(node, ast.Attribute):
        before = _full_name(node.value, names)
        return f"{before}.{node.attr}" if before else ""
    if isinstance(node, ast.Name):
        return names.get(node.id, "hash" if node.id == "hash" else "")
    return ""
