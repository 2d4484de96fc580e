"""Jupyter: ``%load_ext minideconv.testing.magic``, then ``%%check conv2d`` above a cell.

    %%check conv2d
    def conv2d(x, w, b=None, *, stride, padding, dilation, groups):
        ...

runs the cell and checks the function that it defines. Several operations may be named; a function
of another name is given as ``%%check conv2d=my_conv``. ``--arrays``, ``--signature``, ``--backward
autograd``, ``--examples`` and ``--seed`` are those of `check_op`. ``--picture`` draws the matrix of
a wrong convolution beside the right one. A cell that raises shows its own traceback, and nothing is
checked.
"""

from __future__ import annotations

import argparse
import ast
import base64
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NoReturn

from minideconv.errors import UsageError
from minideconv.testing.adapters import SIGNATURES
from minideconv.testing.adapters.signature import Signature
from minideconv.testing.checking.check import Report, checkers
from minideconv.testing.checking.replay import case_from_text, case_in
from minideconv.testing.checking.run import Checker, Outcome
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.tap_matrix import MISSING, matplotlib_is_there, png, tap_matrix

__all__ = ["Shown", "load_ipython_extension"]

Functions = dict[str, Any]


def load_ipython_extension(ipython: Any) -> None:
    """Register the magic."""

    def check(line: str, cell: str) -> Shown | None:
        try:
            options = _parser().parse_args(shlex.split(line))
        except UsageError as error:
            return Shown(str(error))
        if options.picture and not matplotlib_is_there():
            return Shown(MISSING)
        if not ipython.run_cell(cell).success:
            return None  # IPython has shown the traceback
        try:
            functions = _functions(options, ipython.user_ns, cell)
            made = checkers(
                functions, arrays=options.arrays, signature=options.signature,
                examples=options.examples, seed=options.seed,
            )  # fmt: skip
        except UsageError as error:
            return Shown(str(error))
        outcomes: list[Outcome] = []
        pictures: list[tuple[bytes, str]] = []
        for checker in made:
            found = list(checker.run())
            outcomes += found
            if options.picture:
                pictures += _pictures(checker, found)
        return Shown(Report(tuple(outcomes)), pictures)

    ipython.register_magic_function(check, "cell", "check")


class Shown:
    """A report, or why there is none: HTML in a notebook, text elsewhere.

    Parameters
    ----------
    report : Report or str
        What is shown.
    pictures : sequence of (bytes, str)
        PNG files, each with its words, that are shown below.
    """

    def __init__(self, report: Report | str, pictures: Sequence[tuple[bytes, str]] = ()) -> None:
        self.report, self.pictures = report, pictures

    def __repr__(self) -> str:
        return self.report if isinstance(self.report, str) else self.report.text()

    def _repr_html_(self) -> str:
        if isinstance(self.report, str):
            return f"<p>{escape(self.report)}</p>"
        failures = [o.failure for o in self.report.outcomes if o.failure is not None]
        parts = []
        if failures:
            title, *lines = failures[0].text().split("\n")
            text = escape("\n".join(lines))
            parts += [f"<p><strong>{escape(title)}</strong></p>",
                      f'<pre style="white-space: pre-wrap">{text}</pre>']  # fmt: skip
        for image, words in self.pictures:
            source = f"data:image/png;base64,{base64.b64encode(image).decode()}"
            parts.append(f'<p><img src="{source}" alt="{escape(words)}"></p>')
        rows = (
            f"<li>{mark} {escape(o.name)}{escape(note)}</li>"
            for o in self.report.outcomes
            for mark, note in [_mark(o)]
        )
        parts.append(f'<ul style="list-style: none; padding-left: 0">{"".join(rows)}</ul>')
        return f"<div>{''.join(parts)}</div>"


def _pictures(checker: Checker, outcomes: Sequence[Outcome]) -> list[tuple[bytes, str]]:
    """Return the matrix of the first mistake, if there is one to draw."""
    lines = [o.failure.replay for o in outcomes if o.failure is not None]
    text = case_in(lines[0]) if lines else ""
    if not text:
        return []
    matrix = tap_matrix(checker.operation, checker.call, case_from_text(text)[1])
    return [] if matrix is None else [(png(matrix), matrix.words)]


def _mark(outcome: Outcome) -> tuple[str, str]:
    """Return the mark of a check, and what is said of it."""
    if outcome.failure is not None:
        return "✗", ": wrong"
    return ("–", f": not tried, {outcome.absent}") if outcome.absent else ("✓", "")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"%%check: {message}; {self.format_usage().strip()}")


def _parser() -> _Parser:
    parser = _Parser(prog="%%check", add_help=False)
    parser.add_argument("operations", nargs="+", metavar="OPERATION[=FUNCTION]")
    parser.add_argument("--arrays", default="numpy")
    parser.add_argument("--signature")
    parser.add_argument("--backward", choices=["autograd"])
    parser.add_argument("--examples", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", action="store_true")
    return parser


def _functions(options: argparse.Namespace, known: Mapping[str, Any], cell: str) -> Functions:
    """Return the functions that the line names."""
    if options.signature is not None and options.signature not in SIGNATURES:
        raise UsageError(f"--signature {options.signature}: use {', '.join(SIGNATURES)}")
    signature = SIGNATURES[options.signature]() if options.signature else Signature()
    found = signature.find(known)
    functions: Functions = {}
    for word in options.operations:
        operation, _, name = word.partition("=")
        if operation not in OPERATIONS:
            names = ", ".join(OPERATIONS)
            raise UsageError(f"no operation is called {operation!r}; there are {names}")
        functions[operation] = _function(operation, name, found, known, cell, options.operations)
        forward = operation.removesuffix("_backward")
        if forward != operation and forward in found:  # its cache may be needed
            functions = {forward: found[forward], **functions}
    if options.backward == "autograd":
        backwards = [f"{operation}_backward" for operation in list(functions)]
        functions |= dict.fromkeys((b for b in backwards if b in OPERATIONS), "autograd")
    return functions


def _function(
    operation: str,
    name: str,
    found: Mapping[str, Any],
    known: Mapping[str, Any],
    cell: str,
    asked: Sequence[str],
) -> Any:
    try:
        body = ast.parse(cell).body
    except SyntaxError:  # a line of the cell is a magic
        body = []
    defined = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    if name:
        if not callable(known.get(name)):
            raise UsageError(f"{operation}={name}: there is no function {name}")
        return known[name]
    own = getattr(found.get(operation), "__name__", None)
    if len(asked) == len(defined) == 1 and own != defined[0]:
        return known[defined[0]]  # the only function of the cell, whatever its name
    if operation not in found:
        raise UsageError(
            f"there is no function {operation}; if yours has another name, write "
            f"%%check {operation}=NAME"
        )
    return found[operation]
