"""``pytest --minideconv-target MODULE[:PREFIX]``: minideconv's checks of functions, as tests.

A module of its own beside the package, so that pytest, which imports it at every start, imports
nothing of minideconv or NumPy unless the option is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

__all__ = ["pytest_addoption", "pytest_configure"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("minideconv", "minideconv: check a module's conv2d, max_pool2d, ...")
    group.addoption(
        "--minideconv-target",
        action="append",
        default=[],
        metavar="MODULE[:PREFIX]",
        help="check the functions of this module; PREFIX stands before their names",
    )
    group.addoption(
        "--minideconv-operations",
        metavar="NAME,...",
        help="check these and say which are missing (default: those that the module has)",
    )
    group.addoption(
        "--minideconv-arrays",
        default="numpy",
        metavar="KIND",
        help="arrays that the functions take: numpy, torch, jax, cupy, tensor",
    )
    group.addoption(
        "--minideconv-signature",
        metavar="COURSE",
        help="signature of the functions: cs231n, minitorch, needle",
    )
    group.addoption(
        "--minideconv-backward",
        choices=["own", "autograd"],
        default="own",
        help="autograd: the backward is that of the arrays' library",
    )
    group.addoption("--minideconv-examples", type=int, default=25, help="cases of each family")
    group.addoption("--minideconv-seed", type=int, default=0, help="seed of the cases")


def pytest_configure(config: pytest.Config) -> None:
    """Collect the checks where a module is named."""
    if config.getoption("minideconv_target"):
        from minideconv.testing.pytest_items import Targets

        config.pluginmanager.register(Targets(), "minideconv-targets")
