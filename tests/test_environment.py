"""The environment variables: one table, one parser, the same rule as for the options."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path

import pytest

from minideconv.backend import Device, algorithms, environment, precisions
from minideconv.backend.choice import ContextValue
from minideconv.backend.environment import (
    VARIABLES,
    as_switch,
    cache_folder,
    read_switch,
    read_text,
)
from minideconv.errors import UsageError
from minideconv.training import computing

pytestmark = pytest.mark.cpu

PACKAGE = Path(environment.__file__).parents[1]


def test_the_table_has_every_variable_that_the_package_names():
    named = {
        name
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r"\bMINIDECONV_[A-Z_]+\b", path.read_text(encoding="utf-8"))
    }
    assert named - {"MINIDECONV_TEST_"} == set(VARIABLES)
    assert all(f"``{name}``" in (environment.__doc__ or "") for name in VARIABLES)
    readers = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if re.search(r"environ\b.*MINIDECONV", path.read_text(encoding="utf-8"))
    ]
    assert readers == []


@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, True) for value in ("1", "on", "ON", "true", "True", "yes", " 1 ")),
        *((value, False) for value in ("0", "off", "Off", "false", "no", "NO")),
        ("", None),
        (" ", None),
    ],
)
def test_a_switch(monkeypatch, value, expected, default):
    monkeypatch.setenv("MINIDECONV_COMPILED", value)
    assert read_switch("MINIDECONV_COMPILED", default) is (
        default if expected is None else expected
    )


@pytest.mark.parametrize("value", ["maybe", "2", "-1", "none", "disabled"])
def test_another_value_of_a_switch_is_refused(monkeypatch, value):
    monkeypatch.setenv("MINIDECONV_COMPILED", value)
    monkeypatch.setattr(algorithms, "_compiled", ContextValue("compiled kernels", None))
    wrong = (
        f"MINIDECONV_COMPILED is '{value}'; it must be one of 1, on, true, yes, 0, off, false, no"
    )
    with pytest.raises(UsageError, match=f"^{re.escape(wrong)}$"):
        algorithms.compiled()
    assert as_switch(value) is None


@pytest.mark.parametrize("value", ["0", "off", "False", "no"])
def test_compiled_kernels_are_switched_off(monkeypatch, value):
    monkeypatch.setenv("MINIDECONV_COMPILED", value)
    monkeypatch.setattr(algorithms, "_compiled", ContextValue("compiled kernels", None))
    assert algorithms.compiled() is False


def test_numba_s_own_switch_leaves_them_out_with_a_line(monkeypatch, caplog):
    pytest.importorskip("numba", reason="needs numba")
    monkeypatch.delenv("MINIDECONV_COMPILED", raising=False)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    monkeypatch.setattr(algorithms, "_compiled", ContextValue("compiled kernels", None))
    with caplog.at_level(logging.WARNING, "minideconv"):
        assert algorithms.compiled() is False
        assert algorithms.compiled() is False
    said = "compiled kernels are left out, NumPy does their work: NUMBA_DISABLE_JIT is set"
    assert caplog.messages == [said]
    with pytest.raises(UsageError, match="wanted is True but NUMBA_DISABLE_JIT is set"):
        algorithms.use_compiled(True)


def test_a_numba_that_cannot_be_imported_is_left_out(monkeypatch, caplog):
    monkeypatch.delenv("MINIDECONV_COMPILED", raising=False)
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    monkeypatch.setattr(algorithms, "_compiled", ContextValue("compiled kernels", None))
    monkeypatch.setattr(algorithms, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "numba", None)  # Python's way to forbid an import
    with caplog.at_level(logging.WARNING, "minideconv"):
        assert algorithms.compiled() is False
    assert "numba cannot be imported (" in caplog.messages[0]


@pytest.mark.parametrize("given", ["argument", "variable"])
def test_a_precision_that_a_cpu_has_not_is_refused_however_it_is_given(monkeypatch, given):
    fresh = precisions.Choice("precision", precisions.PRECISIONS, "MINIDECONV_PRECISION", "fp32")
    monkeypatch.setattr(precisions, "_choice", fresh)
    monkeypatch.setenv("MINIDECONV_PRECISION", "bf16" if given == "variable" else "")
    name = "precision" if given == "argument" else "MINIDECONV_PRECISION"
    wanted = "bf16" if given == "argument" else None
    block = computing.computing(Device("cpu"), 1, None, wanted)
    with pytest.raises(UsageError, match=f"^{name} bf16 is for a GPU, but the run"), block:
        pass
    with computing.computing(Device("cpu"), 1, None, "fp32"):  # the option goes before
        pass


def test_fetched_files_have_a_folder_or_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIDECONV_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("MINIDECONV_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x" / "minideconv"
    monkeypatch.delenv("XDG_CACHE_HOME")

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(UsageError, match=r"there is no home folder .* by MINIDECONV_CACHE"):
        cache_folder()
    assert read_text("MINIDECONV_CACHE") == ""
