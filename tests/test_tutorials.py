"""The tutorials: notebooks equal to their scripts, of one form, with links that lead somewhere.

The notebooks themselves, with their folded answers, are executed by ``python tutorials/notebooks.py
run`` (a step of .ci/run). Here some scripts that take seconds run together with their answers.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = ROOT / "tutorials"
SCRIPTS = sorted(TUTORIALS.glob("[0-9][0-9]_*.py"))
IDS = [script.stem for script in SCRIPTS]
QUICK = [script for script in SCRIPTS if script.stem[:2] in {"01", "03", "05"}]
GLOSSARY = ROOT / "docs" / "glossary.md"


def tool(name: str):
    """A module of tutorials/."""
    found = importlib.util.spec_from_file_location(name, TUTORIALS / f"{name}.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


alt_texts, code_links, first_cell, scripts = map(
    tool, ["alt_texts", "code_links", "first_cell", "scripts"]
)
cells, answers = scripts.cells, scripts.answers


@pytest.mark.parametrize("script", SCRIPTS, ids=IDS)
def test_shape_of_a_tutorial(script):
    parts = cells(script)
    text = "\n".join(body for kind, body in parts if kind == "markdown")
    code = [body for kind, body in parts if kind == "code"]
    assert parts[0][0] == "markdown"
    assert parts[0][1].lstrip().startswith("# ")
    for heading in ("Break it", "What the paper says", "Exercises", "In the library"):
        assert len(re.findall(rf"^## .*{heading}", text, re.MULTILINE)) == 1, heading
    assert text.count("<details>") == text.count("</details>") == 3, "three exercises with answers"
    assert re.search(r"What the paper says.*?\]\(https://", text, re.DOTALL), "no link to the paper"
    assert code_links.LINK.search(text[text.index("In the library") :]), "no link to the library"
    assert 2 <= len(re.findall(r"^#+ .*Your turn", text, re.MULTILINE)) <= 3
    checks = "\n".join(code)
    assert re.search(r"= None\b", checks), "nothing to write"
    assert re.search(r"check_answer\(|check_op\(", checks), "nothing tells whether it is right"


@pytest.mark.parametrize("script", SCRIPTS, ids=IDS)
def test_first_cell_is_the_common_one(script):
    first_code = next(body for kind, body in cells(script) if kind == "code")
    assert first_code.startswith(first_cell.text(first_cell.address(ROOT / "pyproject.toml")))


@pytest.mark.parametrize("script", SCRIPTS, ids=IDS)
def test_links_of_a_tutorial_lead_somewhere(script):
    text = "\n".join(body for kind, body in cells(script) if kind == "markdown")
    assert not code_links.faults(text, ROOT), "run python tutorials/notebooks.py write"
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\(([^)#\s:]+)(?:#([^)\s]+))?\)", prose):
        file = (TUTORIALS / target).resolve()
        assert file.exists(), target
        if file == GLOSSARY:
            assert anchor in glossary_anchors(), f"the glossary has no {anchor}"


def glossary_anchors() -> set[str]:
    """The anchors that a code host and the site give the terms."""
    terms = re.findall(r"^### (.+)$", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)
    return {term.lower().replace(" ", "-") for term in terms}


def test_every_term_of_the_glossary_is_explained_and_names_its_tutorial():
    text = GLOSSARY.read_text(encoding="utf-8")
    entries = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(glossary_anchors()) >= 80
    for entry in entries:
        term, _, body = entry.partition("\n")
        body = re.sub(r"^## .*", "", body, flags=re.MULTILINE)
        assert len(body.split()) >= 6, term
        assert re.search(r"\]\((\.\./tutorials/\w+\.ipynb|engine/\w+\.md)\)", body), term
    order = [entry.partition("\n")[0].lower() for entry in entries]
    assert order == sorted(order)


@pytest.mark.parametrize(
    "page",
    [page for page in (ROOT / "docs").rglob("*.md") if "generated" not in page.parts],
    ids=lambda page: page.relative_to(ROOT / "docs").as_posix(),
)
def test_links_of_a_page_to_glossary_and_code(page):
    text = page.read_text(encoding="utf-8")
    anchors = re.findall(r"glossary\.md#([\w-]+)", text)
    if page == GLOSSARY:
        anchors += re.findall(r"\]\(#([\w-]+)\)", text)
    assert set(anchors) <= glossary_anchors()
    assert not code_links.faults(text, ROOT), "run python tutorials/notebooks.py write"
    for match in code_links.LINK.finditer(text):
        assert (page.parent / match["up"] / match["file"]).exists()


def run_first_cell(folder, monkeypatch, *, missing, source=None):
    """Run the cell where packages are missing; return what it gave to pip."""
    asked = []
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MINIDECONV_SOURCE", raising=False)
    if source:
        monkeypatch.setenv("MINIDECONV_SOURCE", source)

    def install(command, check):
        assert command[1:5] == ["-m", "pip", "install", "--quiet"]
        assert check
        asked.extend(command[5:])
        monkeypatch.undo()  # now they are there

    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(subprocess, "run", install)
    exec(first_cell.text(""), {})
    return asked


BOTH = ["minideconv", "matplotlib", "matplotlib.pyplot"]


def test_first_cell_installs_the_checkout_it_is_in(monkeypatch):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra viz)")
    assert run_first_cell(TUTORIALS, monkeypatch, missing=()) == []
    assert run_first_cell(TUTORIALS, monkeypatch, missing=BOTH) == ["matplotlib>=3.8", ".."]
    assert run_first_cell(TUTORIALS, monkeypatch, missing=BOTH[1:]) == ["matplotlib>=3.8"]


def test_first_cell_works_where_the_notebook_is_alone(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra viz)")
    with pytest.raises(ModuleNotFoundError, match="build a wheel") as caught:
        run_first_cell(tmp_path, monkeypatch, missing=BOTH[:1])
    assert str(caught.value).count(". ") == 0, "one sentence"
    monkeypatch.undo()
    (tmp_path / "minideconv-0.1-py3-none-any.whl").touch()
    asked = run_first_cell(tmp_path, monkeypatch, missing=BOTH)
    assert asked == ["matplotlib>=3.8", "minideconv-0.1-py3-none-any.whl"]
    asked = run_first_cell(tmp_path, monkeypatch, missing=BOTH, source="git+https://a.example/m")
    assert asked == ["matplotlib>=3.8", "git+https://a.example/m"]


def test_first_cell_knows_the_address_that_the_project_states(tmp_path):
    file = tmp_path / "pyproject.toml"
    file.write_text('[project]\nname = "minideconv"\n')
    assert first_cell.address(file) == ""
    file.write_text('[project]\n[project.urls]\nSource = "https://a.example/minideconv"\n')
    assert first_cell.address(file) == "git+https://a.example/minideconv"
    assert '*wheels, "git+https://a.example/minideconv"]' in first_cell.text(
        "git+https://a.example/minideconv"
    )


SCRIPT = """# %% [markdown]
# # Title

# %%
try:
    import minideconv
except ImportError:
    pass

import numpy as np

# %%
try: 1/0
except: pass
"""


def test_first_cell_is_put_in_place_of_another():
    made = first_cell.put_in(SCRIPT, "")
    old = SCRIPT[SCRIPT.index("try") : SCRIPT.index("\nimport n")]
    assert made == SCRIPT.replace(old, first_cell.text(""))
    assert first_cell.put_in(made, "") == made
    without = SCRIPT.replace(old, "import minideconv\n")
    with pytest.raises(ValueError, match="must begin with"):
        first_cell.put_in(without, "")


def test_links_to_code_are_refreshed(tmp_path):
    folder = tmp_path / "minideconv" / "ops"
    folder.mkdir(parents=True)
    lines = ["K = 1", "", "def f():", "    pass", "", "class A:", "    def f(self): ..."]
    (folder / "conv.py").write_text("\n".join(lines))
    link = "[`minideconv.{}`](../minideconv/ops/conv.py{})"
    right = {"ops.conv.f": 3, "ops.A": 6, "ops.A.f": 7, "ops.conv.K": 1}
    for name, line in right.items():
        expected = link.format(name, f"#L{line}")
        for stale in ("", "#L1", "#L99"):
            assert code_links.refreshed(link.format(name, stale), tmp_path) == expected
        assert not code_links.faults(expected, tmp_path)
    wrong = {
        link.format("ops.conv.f", "#L4"): "begins on line 3",
        link.format("ops.conv.g", "#L4"): "defines no g",
        link.format("ops.conv.f", "").replace("conv.py", "pool.py"): "no file pool.py",
        "[conv](../minideconv/ops/conv.py)": "not of the form",
    }
    for text, sentence in wrong.items():
        (fault,) = code_links.faults(text, tmp_path)
        assert sentence in fault


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


def test_the_announcement_of_compiling_is_no_output_of_a_notebook(monkeypatch):
    monkeypatch.syspath_prepend(TUTORIALS)
    notebooks = tool("notebooks")
    announced = f"{notebooks.COMPILING}: some seconds"
    kernel = ROOT / "minideconv" / "engine" / "cpu" / "compiled" / "kernel.py"
    assert f'"{announced}' in kernel.read_text(encoding="utf-8")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (group docs)")
    outputs = [nbformat.v4.new_output("stream", name="stderr", text=t) for t in (announced, "kept")]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=outputs)])
    notebooks.leave_out_compiling(made)
    assert [o.text for o in made.cells[0].outputs] == ["kept"]
