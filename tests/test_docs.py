"""What the README and the documentation show is run; what they point to exists."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import tomllib
from pathlib import Path

import pytest

import minideconv

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Excerpts of the code, cut short, and what is for a GPU.
SKETCHED = ("engine/gpu.md", "engine/gpu_implicit_gemm.md", "engine/index.md")
PAGES = sorted(
    p
    for p in (*DOCS.glob("*.md"), *DOCS.glob("course/*.md"), *DOCS.glob("engine/*.md"))
    if "```python\n" in p.read_text("utf-8") and p.relative_to(DOCS).as_posix() not in SKETCHED
)
MODULES = ["minideconv"] + [
    info.name
    for info in pkgutil.walk_packages(minideconv.__path__, "minideconv.")
    if not info.name.endswith("__main__")
]


def blocks(text: str) -> list[tuple[int, str]]:
    """Line number and source of every fenced ``python`` block."""
    return [
        (text[: match.start(1)].count("\n") + 1, match.group(1))
        for match in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


def run_blocks(path: Path) -> None:
    """Run the blocks of a page in order, in one namespace, with the page's own line numbers."""
    namespace: dict[str, object] = {"__name__": path.stem}
    for line, source in blocks(path.read_text(encoding="utf-8")):
        # As a reader runs it: without this file's `from __future__`.
        code = compile("\n" * (line - 1) + source, str(path), "exec", dont_inherit=True)
        exec(code, namespace)


def readme_command(name: str) -> str:
    """The shell command under the comment ``<!-- ci: NAME -->``, as .ci/run reads it."""
    found = re.search(rf"<!-- ci: {name} -->\n```sh\n(.*?)\n```", README, re.DOTALL)
    assert found, f"README.md has no block under <!-- ci: {name} -->"
    return found.group(1)


def test_readme_example_runs_and_is_short(capsys):
    (_, source), *others = blocks(README)
    assert not others
    assert len([line for line in source.splitlines() if line.strip()]) <= 20
    run_blocks(ROOT / "README.md")
    losses = [float(line) for line in capsys.readouterr().out.splitlines()[:-1]]
    assert losses[-1] < losses[0], "the example learns nothing"


def test_readme_shows_the_two_commands():
    assert readme_command("train").endswith("&& python -m minideconv.train")
    assert readme_command("tests").endswith("&& python -m pytest")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name in ("train", "tests"):
        for extra in re.findall(r'"\.\[(.+?)\]"', readme_command(name)):
            assert set(extra.split(",")) <= extras["optional-dependencies"].keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.usefixtures("own_networks")
def test_blocks_of_a_page_run(page):
    if "\nimport torch\n" in page.read_text(encoding="utf-8"):
        pytest.importorskip("torch", reason="PyTorch is not installed (group oracles)")
    run_blocks(page)


COMING_FROM = (DOCS / "coming_from.md").read_text(encoding="utf-8")


def test_coming_from_has_four_tables():
    assert re.findall(r"^## (\S+)", COMING_FROM, re.MULTILINE) == [
        "PyTorch",
        "Chainer",
        "Caffe",
        "cs231n",
    ]
    rows = [line for line in COMING_FROM.splitlines() if line.startswith("| ")]
    named = [line for line in rows if re.match(r"\| .+ \| `minideconv(\.\w+)+` \| .*\|$", line)]
    assert len(rows) == len(named) + 4, "a row does not say what it is called here"


@pytest.mark.parametrize("name", re.findall(r"\| `(minideconv\.[\w.]+)` \|", COMING_FROM))
def test_a_name_of_coming_from_exists(name):
    assert pkgutil.resolve_name(name) is not None


def test_how_to_pages_are_reached():
    """Every page of docs/ is named in the table of its section, not in the side bar alone."""
    for section in ("howto", "explanation", "reference"):
        text = (DOCS / f"{section}.md").read_text(encoding="utf-8")
        inside = re.search(r":hidden:\n\n(.*?)```", text, re.DOTALL).group(1)
        listed = re.findall(r"([\w/]+)>?$", inside, re.MULTILINE)
        table = text[: text.index("```{toctree}")]
        missing = [name for name in listed if not re.search(rf"`{name}`|<{name}>`", table)]
        assert not missing, f"{section}.md does not say what is on {missing}"


def test_pictures_of_the_readme_are_what_their_script_draws():
    import readme_pictures

    assert (readme_pictures.FOLDER / "stamps.gif").stat().st_size < 300_000
    assert not readme_pictures.stale(), "run python docs/_ext/readme_pictures.py"


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name
)
def test_what_a_page_links_to_exists(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)", text) + re.findall(r'src="([^"]+)"', text)
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing, f"{page.name} points to files that do not exist: {missing}"


def imported(name):
    if name.startswith("minideconv.engine.cpu.compiled."):
        pytest.importorskip("numba", reason="numba is not installed (extra fast)")
    return importlib.import_module(name)


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name):
    module = imported(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0, f"{result.failed} examples of {name} print something else"


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_documented(name):
    module = imported(name)
    assert module.__doc__, f"{name} has no docstring"
    exported = getattr(module, "__all__", [])
    missing = [key for key in exported if not hasattr(module, key)]
    assert not missing, f"{name}.__all__ names what is not there: {missing}"
    bare = [
        key
        for key in exported
        if (inspect.isclass(value := getattr(module, key)) or inspect.isroutine(value))
        and not inspect.getdoc(value)
    ]
    assert not bare, f"no docstring: {', '.join(f'{name}.{key}' for key in bare)}"
