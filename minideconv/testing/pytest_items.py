"""The checks of a module as pytest's items, one for each outcome: ``student::conv2d/padding``.

The first item of an operation that runs runs all its checks; the others look their outcome up.
Registered by `pytest_minideconv` where ``--minideconv-target`` is given.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minideconv.errors import UsageError
from minideconv.testing.adapters import SIGNATURES
from minideconv.testing.adapters.signature import Signature
from minideconv.testing.checking.check import checkers
from minideconv.testing.checking.failure import Failure
from minideconv.testing.checking.run import Checker, Outcome
from minideconv.testing.operations import OPERATIONS

__all__ = ["Targets"]


class Targets:
    """The plugin: adds the checks of the modules that are named to what was collected."""

    @pytest.hookimpl(tryfirst=True)  # before -k and -m choose
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Add the items."""
        for target in config.getoption("minideconv_target"):
            try:
                node = Target.from_parent(session, target=target)
            except UsageError as error:
                raise pytest.UsageError(f"--minideconv-target {target}: {error}") from None
            items += session.genitems(node)


class FailedCheck(Exception):
    """What a test says in place of a traceback."""


class Target(pytest.Collector):
    """One module with the functions that are checked."""

    def __init__(self, *, target: str, **rest: Any) -> None:
        self.module, _, self.prefix = target.partition(":")
        super().__init__(name=self.module, nodeid=self.module, **rest)
        self._made = list(self._items())  # here: what pytest catches in `collect` is no usage error

    def collect(self) -> Iterable[pytest.Item]:
        """Return an item for each outcome of each operation."""
        return self._made

    def _items(self) -> Iterator[pytest.Item]:
        if self.module.endswith(".py") or "/" in self.module:
            name = Path(self.module).stem
            raise UsageError(f"this is a file; give the name of the module: {name}")
        folder = str(self.config.invocation_params.dir)
        if folder not in sys.path:
            sys.path.insert(0, folder)
        try:
            module = importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            if error.name == self.module.split(".")[0] or error.name == self.module:
                raise UsageError(f"there is no module {self.module}") from None
            yield Said.from_parent(self, name="import", text=_students_own(error))
            return
        except Exception as error:
            yield Said.from_parent(self, name="import", text=_students_own(error))
            return
        yield from self._of(module)

    def _of(self, module: Any) -> Iterator[pytest.Item]:
        option: Callable[[str], Any] = self.config.getoption
        name = option("minideconv_signature")
        if name is not None and name not in SIGNATURES:
            raise UsageError(f"--minideconv-signature {name}: use {', '.join(SIGNATURES)}")
        signature = Signature() if name is None else SIGNATURES[name]()
        functions = signature.find(vars(module), self.prefix)
        if option("minideconv_backward") == "autograd":
            backwards = [f"{n}_backward" for n in functions]
            functions |= {n: "autograd" for n in backwards if n in OPERATIONS}
        wanted = option("minideconv_operations")
        if wanted is not None:
            names = [n.strip() for n in wanted.split(",")]
            unknown = [n for n in names if n not in signature.names]
            if unknown:
                known = ", ".join(signature.names)
                raise UsageError(f"--minideconv-operations: no {unknown[0]!r} among {known}")
            for missing in [n for n in names if n not in functions]:
                own = " or ".join(self.prefix + n for n in signature.names[missing])
                text = f"{missing}: there is no function {own} in {self.module}."
                yield Said.from_parent(self, name=f"{missing}/missing", text=text)
        elif not functions:
            sought = ", ".join(self.prefix + n for names in signature.names.values() for n in names)
            raise UsageError(f"{self.module} has no function to check: none of {sought}")
        else:
            names = list(functions)
        how = {"examples": option("minideconv_examples"), "seed": option("minideconv_seed")}
        arrays = option("minideconv_arrays")
        for checker in checkers(functions, arrays=arrays, signature=name, **how):
            if checker.operation.name in names:
                checks = Checks(checker)
                own_function = functions[checker.operation.name]
                for outcome in checker.outcome_names():
                    yield OutcomeItem.from_parent(
                        self, name=outcome, checks=checks, function=own_function
                    )


class Checks:
    """The outcomes of one operation, worked out once, when the first is wanted."""

    def __init__(self, checker: Checker) -> None:
        self.checker = checker
        self._outcomes: dict[str, Outcome] | None = None

    def outcome(self, name: str) -> Outcome | None:
        """Return an outcome; None if it was not reached."""
        if self._outcomes is None:
            self._outcomes = {outcome.name: outcome for outcome in self.checker.run()}
        return self._outcomes.get(name)


class Said(pytest.Item):
    """A test that fails with a text: there is nothing to check."""

    def __init__(self, *, text: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.text = text

    def runtest(self) -> None:
        """Fail."""
        raise FailedCheck(self.text)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the text alone."""
        return str(excinfo.value)


class OutcomeItem(pytest.Item):
    """One check of one operation."""

    def __init__(self, *, checks: Checks, function: Any, **rest: Any) -> None:
        super().__init__(**rest)
        self.checks, self.function = checks, function

    def runtest(self) -> None:
        """Fail with the message of the check."""
        outcome = self.checks.outcome(self.name)
        if outcome is None:
            pytest.skip("checked when all families of geometry are right")
        if outcome.failure is not None:
            raise Wrong(outcome.failure)
        if outcome.absent:
            pytest.skip(f"not tried: {outcome.absent}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the message in place of a traceback."""
        if isinstance(excinfo.value, Wrong):
            return excinfo.value.failure.text()
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return where the function stands."""
        try:
            own = inspect.unwrap(self.function)
            path = Path(inspect.getsourcefile(own) or self.path)
            return path, inspect.getsourcelines(own)[1] - 1, self.name
        except (OSError, TypeError, ValueError):
            return self.path, None, self.name


class Wrong(Exception):
    """A check that failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text())
        self.failure = failure


def _students_own(error: Exception) -> str:
    """Return a traceback without the frames of whoever imported the module."""
    shown = traceback.TracebackException.from_exception(error)
    inner = [f for f in shown.stack if "importlib" not in f.filename and f.filename != __file__]
    shown.stack = traceback.StackSummary.from_list(inner)
    return "".join(shown.format()).rstrip()
