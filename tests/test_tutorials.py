"""The tutorials: notebooks equal to their scripts, and answers that are right.

The notebooks themselves are executed by ``python tutorials/notebooks.py run`` (a step of .ci/run).
Here the first two scripts, which take seconds, run together with their folded answers.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).resolve().parents[1] / "tutorials"
SCRIPTS = sorted(TUTORIALS.glob("[0-9][0-9]_*.py"))
IDS = [script.stem for script in SCRIPTS]
_FOUND = importlib.util.spec_from_file_location("alt_texts", TUTORIALS / "alt_texts.py")
alt_texts = importlib.util.module_from_spec(_FOUND)
_FOUND.loader.exec_module(alt_texts)
QUICK = [script for script in SCRIPTS if script.stem[:2] in {"01", "02"}]


def cells(script: Path) -> list[tuple[str, str]]:
    """Kind ("markdown" or "code") and text of every cell of a percent script."""
    parts = re.split(r"^# %%(.*)\n", script.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = []
    for head, body in zip(parts[1::2], parts[2::2], strict=True):
        if "[markdown]" in head:
            body = "\n".join(re.sub(r"^# ?", "", line) for line in body.splitlines())
            found.append(("markdown", body))
        else:
            found.append(("code", body))
    return found


def answers(script: Path) -> list[str]:
    """The Python blocks inside the folded answers."""
    text = "\n".join(body for kind, body in cells(script) if kind == "markdown")
    folded = re.findall(r"<details>.*?</details>", text, re.DOTALL)
    return [
        source
        for part in folded
        for source in re.findall(r"^```python\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
    ]


@pytest.mark.parametrize("script", SCRIPTS, ids=IDS)
def test_shape_of_a_tutorial(script):
    parts = cells(script)
    text = "\n".join(body for kind, body in parts if kind == "markdown")
    assert parts[0][0] == "markdown"
    assert parts[0][1].lstrip().startswith("# ")
    first_code = next(body for kind, body in parts if kind == "code")
    assert "except ModuleNotFoundError" in first_code, "the first cell installs what is missing"
    assert "Break it" in text
    assert text.count("<details>") == text.count("</details>") == 3, "three exercises with answers"
    assert any("check(" in body for kind, body in parts if kind == "code"), "nothing to write"


@pytest.mark.parametrize("script", SCRIPTS, ids=IDS)
def test_notebook_is_its_script_without_outputs(script):
    notebook = json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))
    assert [(cell["cell_type"], "".join(cell["source"]).strip()) for cell in notebook["cells"]] == [
        (kind, body.strip()) for kind, body in cells(script)
    ], "run python tutorials/notebooks.py write"
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_notebooks_are_written_the_same_each_time():
    pytest.importorskip("jupytext", reason="jupytext is not installed (group docs)")
    sys.path.insert(0, str(TUTORIALS))
    try:
        notebooks = importlib.import_module("notebooks")
    finally:
        sys.path.remove(str(TUTORIALS))
    assert notebooks.check() == 0


def _with_output(**data):
    return {"cells": [{"cell_type": "code", "outputs": [{"data": data}]}]}


SHOWN = '<img alt="{alt}" style="min-width:{least}px" src="data:,">'
RIGHT = {"text/html": SHOWN.format(alt="The nine taps of a kernel", least=600)}
SILENT = {
    "matplotlib's own": ({"image/png": "..."}, "no alt text"),
    "empty": ({"text/html": SHOWN.format(alt="", least=600)}, "is missing"),
    "left out": ({"text/html": '<img src="data:,">'}, "is missing"),
    "file name": ({"text/html": [SHOWN.format(alt="_images/3f2a99.png", least=9)]}, "file name"),
    "word": ({"text/html": SHOWN.format(alt="figure", least=9)}, "fewer than 4 words"),
    "wide": ({"text/html": SHOWN.format(alt="The nine taps of a kernel", least=721)}, "721 pixels"),
    "svg": ({"text/html": "<svg><title>The nine taps of a kernel</title></svg>"}, "role=img"),
}


@pytest.mark.parametrize("name", SILENT)
def test_a_figure_without_alt_text_is_found(name):
    data, sentence = SILENT[name]
    (fault,) = alt_texts.faults(_with_output(**data))
    assert fault.startswith("cell 0: ")
    assert sentence in fault


def test_a_figure_with_alt_text_is_right():
    label = 'role="img" aria-label="The nine taps of a kernel"'
    for data in (RIGHT, {"text/html": f"<svg {label}></svg>"}, {"text/plain": "42"}):
        assert not alt_texts.faults(_with_output(**data))
    assert not alt_texts.faults({"cells": [{"cell_type": "markdown", "source": ""}]})


@pytest.mark.parametrize("script", SCRIPTS, ids=IDS)
def test_no_figure_is_shown_without_alt_text(script):
    code = "\n".join(body for kind, body in cells(script) if kind == "code")
    assert "plt.show(" not in code, "use minideconv.visualize.show(figure, alt=...)"
    assert "show(" in code


@pytest.mark.parametrize("script", QUICK, ids=[script.stem for script in QUICK])
def test_script_and_its_answers_run(script):
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra viz)")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    namespace = {"__name__": "tutorial"}
    exec(compile(script.read_text(encoding="utf-8"), str(script), "exec"), namespace)
    assert answers(script)
    for source in answers(script):
        exec(compile(source, f"an answer of {script.name}", "exec"), namespace)
    plt.close("all")
