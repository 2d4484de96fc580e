"""Every operation that the library records states its backward on Tensors, or is named here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import minideconv

PACKAGE = Path(minideconv.__file__).parent
PLACE = 7  # of `differentiable` among the arguments of `record`

# These refuse, by name: a part of a network that is computed twice, and sums over processes.
WITHOUT = {("autograd/checkpointing.py", "_on_tape"), ("autograd/checkpointing.py", "on_tape"),
           ("functional/batch_norm.py", "sync_batch_norm")}  # fmt: skip


def without_a_rule(source: str) -> list[str]:
    """Return the functions of a file that call `record` without `differentiable`."""
    found = []
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef):
            inner = {n for f in ast.walk(function) if isinstance(f, ast.FunctionDef)
                     and f is not function for n in ast.walk(f)}  # fmt: skip
            for call in ast.walk(function):
                named = isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
                if not named or call.func.id != "record" or call in inner:
                    continue
                names = [keyword.arg for keyword in call.keywords]
                if "differentiable" not in names and len(call.args) <= PLACE:
                    found.append(function.name)
    return found


def test_every_recorded_operation_has_a_rule_or_is_listed():
    found = {
        (str(path.relative_to(PACKAGE)), name)
        for path in sorted(PACKAGE.rglob("*.py"))
        for name in without_a_rule(path.read_text(encoding="utf-8"))
    }
    assert found == WITHOUT


@pytest.mark.parametrize(
    ("call", "missing"),
    [
        ("record('f', y, (x,), backward)", ["f"]),
        ("record('f', y, (x,), backward, (), None, True)", ["f"]),
        ("record('f', y, (x,), backward, (), None, True, backward)", []),
        ("record('f', y, (x,), backward, differentiable=backward)", []),
    ],
)
def test_what_is_missing_is_seen(call, missing):
    assert without_a_rule(f"def f(x):\n    return {call}\n") == missing
