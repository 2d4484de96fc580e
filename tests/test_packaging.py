"""What the package promises as a package: what it imports, what it ships, who may import whom."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import warnings
import zipfile
from pathlib import Path

import pytest
from house import code_lines, imports

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "minideconv"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSION = re.search(r'"(.+)"$', (PACKAGE / "_version.py").read_text().strip()).group(1)

# Third-party packages a module may import when it is itself imported. Anything else must be
# imported inside the function that needs it, so that the package works without it.
HARD_DEPENDENCIES = {"numpy", "PIL"}
EXTRA_AT_IMPORT = {"testing/strategies": {"hypothesis"}, "testing/pytest_items": {"pytest"}}
COMPILED = "engine/cpu/compiled/"  # imported only where numba is there


def modules() -> list[Path]:
    """Every module of the package; what is in a folder without ``__init__.py`` is data."""
    return sorted(p for p in PACKAGE.rglob("*.py") if (p.parent / "__init__.py").exists())


def test_every_module_names_what_it_offers():
    """``__all__`` in every module that defines something; and imports are absolute."""
    wrong = []
    for path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assigned = {ast.unparse(n).split(":")[0].split(" =")[0] for n in tree.body}
        if len(tree.body) > 1 and "__all__" not in assigned and path.name != "_version.py":
            wrong.append(f"{path.relative_to(ROOT)} has no __all__")
        wrong += [
            f"{path.relative_to(ROOT)}:{node.lineno} imports by a relative name"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.level
        ]
    assert not wrong, "\n".join(wrong)


def test_only_backend_and_its_probe_import_cupy():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules()
        if path.relative_to(PACKAGE).as_posix()
        not in ("backend/__init__.py", "backend/gpu_probe.py")
        for line, name in imports(path)
        if name.split(".")[0] in {"cupy", "cupyx", "cupy_backends"}
    ]
    assert not wrong, "\n".join(wrong)


def test_non_blocking_streams_are_made_in_two_files_only():
    """Whatever is still under way on another stream would be read too early.

    A double buffer has events for it (`engine.cuda.pinned`), all others compute in `computing_on`.
    """
    own = {PACKAGE / "engine/cuda/streams.py", PACKAGE / "engine/cuda/pinned.py", Path(__file__)}
    files = {*modules(), *(ROOT / "tests").rglob("*.py")} - own
    assert not [str(path) for path in files if "non_blocking=True" in path.read_text("utf-8")]


def test_optional_packages_are_imported_where_they_are_used():
    wrong = []
    for path in modules():
        module = path.relative_to(PACKAGE).with_suffix("").as_posix()
        allowed = HARD_DEPENDENCIES | EXTRA_AT_IMPORT.get(module, set()) | {"minideconv"}
        if module.startswith(COMPILED):
            allowed |= {"numba", "llvmlite"}
        for line, name in imports(path, at_import_only=True):
            top = name.split(".")[0]
            if top not in sys.stdlib_module_names and top not in allowed:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong, "not hard dependencies, so import them inside a function:\n" + "\n".join(
        wrong
    )


def test_compiled_kernels_are_imported_where_they_are_used():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules()
        if COMPILED not in path.as_posix()
        for line, name in imports(path, at_import_only=True)
        if name.startswith("minideconv.engine.cpu.compiled")
    ]
    assert not wrong, "import them inside a function, for numba is optional:\n" + "\n".join(wrong)


def test_import_stays_light():
    heavy = ["matplotlib", "cupy", "scipy", "rich", "hypothesis", "torch", "onnx", "PIL"]
    heavy += ["numba", "llvmlite", "h5py"]
    code = (
        "import sys, numpy; before = set(sys.modules); import minideconv;"
        "print(' '.join(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    new = {name.split(".")[0] for name in done.stdout.split()}
    assert "minideconv" in new
    assert not new & set(heavy), f"import minideconv also imports {sorted(new & set(heavy))}"


def test_version_is_the_same_everywhere():
    import minideconv

    assert minideconv.__version__ == VERSION
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    assert "version" not in PYPROJECT["project"]


def test_installed_distribution_is_this_version():
    try:
        found = importlib.metadata.version("minideconv")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("minideconv runs from the checkout and is not installed")
    assert found == VERSION, "reinstall the package: pip install ."


def test_dependencies_and_extras():
    project = PYPROJECT["project"]
    names = {re.match(r"[\w-]+", line).group() for line in project["dependencies"]}
    assert names == {"numpy", "pillow"}
    assert "numpy>=2.0" in project["dependencies"], "no upper cap on numpy"
    extras = project["optional-dependencies"]
    gpu = {"gpu", "gpu-cuda13", "distributed"}
    assert extras.keys() == gpu | {
        "viz",
        "proposals",
        "cli",
        "fast",
        "h5",
        "tensorboard",
        "test",
        "all",
    }
    assert extras["all"] == ["minideconv[viz,cli,fast,h5,test]"]
    assert extras["gpu"][0].startswith("cupy-cuda12x")
    assert extras["gpu-cuda13"][0].startswith("cupy-cuda13x")
    for name, wanted in (("gpu", "-cu12"), ("gpu-cuda13", ">=13,<14")):
        assert all(line.endswith(wanted) for line in extras[name][1:]), "one CUDA for all wheels"
        assert len(extras[name]) == 4
    install = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    missing = [name for name in extras if f"`{name}`" not in install]
    assert not missing, f"docs/install.md does not describe the extras {missing}"


def test_wheel_holds_the_package_and_nothing_else(tmp_path):
    wheel = pytest.importorskip(
        "hatchling.builders.wheel", reason="hatchling is not installed (group build)"
    )
    source = tmp_path / "source"
    source.mkdir()
    plugin = "pytest_minideconv.py"
    for name in ("pyproject.toml", "README.md", "LICENSE", plugin):
        shutil.copy(ROOT / name, source / name)
    shutil.copytree(PACKAGE, source / "minideconv", ignore=shutil.ignore_patterns("__pycache__"))
    built = list(wheel.WheelBuilder(str(source)).build(directory=str(tmp_path / "dist")))
    with zipfile.ZipFile(built[0]) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"minideconv-{VERSION}.dist-info/METADATA").decode()
    assert "minideconv/py.typed" in names
    assert {name.split("/")[0] for name in names} == {
        "minideconv",
        plugin,  # beside the package, so that pytest imports nothing of it
        f"minideconv-{VERSION}.dist-info",
    }
    shipped = {name for name in names if name.startswith("minideconv/")}
    here = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped == here, f"missing from the wheel: {sorted(here - shipped)}"
    assert "License-Expression: MIT" in metadata
    assert f"Version: {VERSION}" in metadata


def test_no_file_is_too_long_to_read():
    lengths = {path.relative_to(ROOT).as_posix(): code_lines(path) for path in modules()}
    for name, lines in sorted(lengths.items(), key=lambda item: -item[1])[:10]:
        print(f"{lines:5d}  {name}")
    too_long = {name: lines for name, lines in lengths.items() if lines > 400}
    assert not too_long, f"split these files (lines of code): {too_long}"


def tracked_text_files() -> list[Path]:
    """The files under version control that are text."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    binary = {".png", ".jpg", ".gif", ".npz", ".ico"}
    paths = [ROOT / name for name in listing.split("\0") if name]
    return [path for path in paths if path.is_file() and path.suffix not in binary]


def test_tracked_files_name_no_machine_and_no_registry():
    patterns = {
        # Written in two parts so that this file does not name what it looks for.
        "a package registry's host": re.compile(
            r"\b(?:{}|{})\b".format("py" r"pi\.org", "python" r"hosted\.org")
        ),
        "a path of one machine": re.compile(r"(?<![\w.:/~-])/(?:home|Users|root|work)/\w"),
    }
    wrong = []
    for path in tracked_text_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            wrong.extend(
                f"{path.relative_to(ROOT)}:{number} names {what}: {line.strip()[:80]}"
                for what, pattern in patterns.items()
                if pattern.search(line)
            )
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", ["cupy", "cupy.linalg._product", "cupyx.scipy", "cupy_backends"])
def test_a_warning_of_numpy_about_cupys_own_calls_is_no_failure(module):
    warnings.warn_explicit("it will end", DeprecationWarning, "file.py", 1, module)


@pytest.mark.parametrize(
    ("kind", "module"),
    [
        (DeprecationWarning, "minideconv.backend"),
        (DeprecationWarning, "cupyish"),
        (DeprecationWarning, "my.cupy"),
        (RuntimeWarning, "cupy.linalg"),
    ],
)
def test_all_other_warnings_are_failures(kind, module):
    with pytest.raises(kind, match="it will end"):
        warnings.warn_explicit("it will end", kind, "file.py", 1, module)
