"""``python -m benchmarks``: exit codes and sentences, and the page made from the stored file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import store, tables
from benchmarks.__main__ import main
from benchmarks.timing import cores
from minideconv.settings.command_line import run_program

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "cpu.json"
PAGE = ROOT / "docs" / "engine" / "cpu_results.md"


def run(*arguments):
    return run_program("benchmarks", main, arguments)


@pytest.mark.parametrize(
    "arguments", [(), ("gpu",), ("cpu", "--threads", "0"), ("cpu", "--rounds", "x"), ("plot", "a")]
)
def test_wrong_command_lines_end_with_2(arguments):
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 2


def test_unknown_sections_are_named(capsys):
    pytest.importorskip("torch", reason="needs torch: pip install torch==2.13.0")
    assert run("cpu", "--only", "conv", "nope") == 2
    message = capsys.readouterr().err
    assert "--only nope: there is no such section; use floors, steps" in message


def test_more_threads_than_cores_are_refused(capsys):
    assert run("cpu", "--threads", str(cores() + 1)) == 2
    assert f"may use {cores()} cores" in capsys.readouterr().err


def test_without_torch_the_error_names_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run("cpu") == 2
    assert "pip install --group oracles" in capsys.readouterr().err


def test_without_matplotlib_the_error_names_what_to_install(monkeypatch, capsys, tmp_path):
    path = tmp_path / "results.json"
    store.save(path, store.new({}))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run("plot", str(path), "--out", str(tmp_path)) == 2
    assert "minideconv[viz]" in capsys.readouterr().err


def test_a_missing_results_file_is_wrong_usage(capsys, tmp_path):
    assert run("table", str(tmp_path / "none.json")) == 2
    assert "none.json: cannot be read" in capsys.readouterr().err


def test_it_starts_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "cpu" in done.stdout


def test_the_documentations_page_is_the_stored_files(capsys):
    assert run("table", str(RESULTS)) == 0
    page = capsys.readouterr().out
    assert page == tables.render(store.load(RESULTS))
    assert page == PAGE.read_text(encoding="utf-8"), (
        "make it again: python -m benchmarks table benchmarks/results/cpu.json"
        " --out docs/engine/cpu_results.md"
    )


def test_the_documentations_pictures_are_there():
    pictures = [line for line in (PAGE.parent / "benchmarks.md").read_text().splitlines()
                if line.startswith("```{figure}")]  # fmt: skip
    assert pictures
    for line in pictures:
        assert (PAGE.parent / line.split()[1]).exists(), line
