"""The cell with which every notebook begins: it imports the package, or installs it first.

A notebook has to work in this folder, and alone on a notebook service. There the package comes from
what the environment variable ``MINIDECONV_SOURCE`` names (anything that pip installs: a wheel, a folder,
an address), from a wheel beside the notebook, or from the address in ``project.urls`` of pyproject.toml
if the project states one; without any of them one sentence says what to do.
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

__all__ = ["address", "put_in", "text"]

_TEXT = """\
try:
    import matplotlib.pyplot as plt

    import minideconv  # noqa: F401
except ModuleNotFoundError:
    # A fresh kernel: install what is missing, from the checkout that this notebook is in or from
    # what MINIDECONV_SOURCE names; on a notebook service, from a wheel uploaded beside the notebook.
    import importlib.util
    import os
    import subprocess
    import sys
    from pathlib import Path

    packages = ["matplotlib>=3.8"]
    if importlib.util.find_spec("minideconv") is None:
        checkout = ".." if Path("../minideconv/__init__.py").exists() else ""
        wheels = sorted(map(str, Path().glob("minideconv-*.whl")))
        places = [os.environ.get("MINIDECONV_SOURCE"), checkout, *wheels, ADDRESS]
        packages += [next(filter(None, places), "")]
    if "" in packages:
        raise ModuleNotFoundError(
            "minideconv is not installed here: build a wheel in the project's folder with `python -m"
            " pip wheel --no-deps .`, upload it beside this notebook, and run this cell again."
        ) from None
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *packages], check=True)
    import matplotlib.pyplot as plt
"""


def address(pyproject: Path) -> str:
    """Return what pip installs the package from if the project states where it is, or ""."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    urls = {name.lower(): url for name, url in project.get("urls", {}).items()}
    found = urls.get("source") or urls.get("repository") or ""
    return f"git+{found}" if found else ""


def text(where: str) -> str:
    """Return the beginning of the cell for a project at an address, or at none."""
    return _TEXT.replace("ADDRESS", f'"{where}"')


def put_in(source: str, where: str) -> str:
    """Return a percent script with this text in its first code cell.

    Raises
    ------
    ValueError
        If the first statement of that cell is not the ``try`` that is to be replaced.
    """
    lines = source.splitlines(keepends=True)
    start = next(n for n, line in enumerate(lines) if line.startswith("# %%") and "[" not in line)
    tree = ast.parse("".join(lines[start:]))
    block = tree.body[0]
    if not isinstance(block, ast.Try):
        raise ValueError("the first code cell must begin with `try:` and an import of minideconv")
    assert block.end_lineno is not None
    lines[start + block.lineno - 1 : start + block.end_lineno] = [text(where)]
    return "".join(lines)
