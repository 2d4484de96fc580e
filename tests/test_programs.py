"""``python -m minideconv`` lists and runs every program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from minideconv.__main__ import main, programs

pytestmark = pytest.mark.cpu
PACKAGE = Path(__file__).resolve().parents[1] / "minideconv"


def test_every_file_that_can_be_run_is_listed(capsys):
    runnable = {
        path.stem if path.parent == PACKAGE else path.parent.name
        for path in (*PACKAGE.glob("*.py"), *PACKAGE.glob("*/__main__.py"))
        if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
    }
    assert set(programs()) == runnable - {"__main__"}
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, about in programs().items():
        assert any(line.split(None, 1) == [name, about] for line in lines if line.strip())


def test_a_name_that_is_no_program(capsys):
    assert main(["trian"]) == 2
    assert "'trian' is no program; it must be one of train, evaluate" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "code"), [(["/nothing"], 1), (["--nothing"], 2)])
def test_a_program_is_run_with_its_own_exit_code(arguments, code):
    done = subprocess.run(
        [sys.executable, "-m", "minideconv", "report", *arguments],
        cwd=PACKAGE.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code
    assert "minideconv.report" in done.stderr
