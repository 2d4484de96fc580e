"""The tutorials: notebooks equal to their scripts, and answers that are right.

The notebooks themselves are executed by ``python tutorials/notebooks.py run`` (a step of .ci/run).
Here the first two scripts, which take seconds, run together with their folded answers.
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).resolve().parents[1] / "tutorials"
SCRIPTS = sorted(TUTORIALS.glob("[0-9][0-9]_*.py"))
IDS = [script.stem for script in SCRIPTS]
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
    spec = importlib.util.spec_from_file_location("notebooks", TUTORIALS / "notebooks.py")
    notebooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(notebooks)
    assert notebooks.check() == 0


@pytest.mark.parametrize("script", QUICK, ids=[script.stem for script in QUICK])
def test_script_and_its_answers_run(script, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra viz)")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    namespace = {"__name__": "tutorial"}
    exec(compile(script.read_text(encoding="utf-8"), str(script), "exec"), namespace)
    assert answers(script)
    for source in answers(script):
        exec(compile(source, f"an answer of {script.name}", "exec"), namespace)
    plt.close("all")
