"""`set_precision`: by name, for a while, and by environment."""

from __future__ import annotations

import subprocess
import sys

import pytest

import minideconv as md
from minideconv.errors import UsageError


@pytest.fixture(autouse=True)
def _put_back():
    before = md.get_precision()
    yield
    md.set_precision(before)


def test_it_is_set_and_put_back():
    md.set_precision("tf32")
    with md.precision("bf16"):
        assert md.get_precision() == "bf16"
        with md.precision(None):
            assert md.get_precision() == "bf16"
    assert md.get_precision() == "tf32"
    with pytest.raises(RuntimeError, match="stop"), md.precision("fp16"):
        raise RuntimeError("stop")
    assert md.get_precision() == "tf32"


@pytest.mark.parametrize("call", [md.set_precision, lambda name: md.precision(name).__enter__()])
def test_an_unknown_name_is_refused(call):
    before = md.get_precision()
    with pytest.raises(UsageError, match="the precision is 'half'; it must be one of 'fp32', "):
        call("half")
    assert md.get_precision() == before


@pytest.mark.parametrize(
    ("value", "expected"), [("", "fp32"), ("bf16", "bf16"), ("fp8", "MINIDECONV_PRECISION: the")]
)
def test_the_environment_chooses(monkeypatch, value, expected):
    monkeypatch.setenv("MINIDECONV_PRECISION", value)
    code = "import minideconv as md; print(md.get_precision())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert expected in done.stdout + done.stderr
