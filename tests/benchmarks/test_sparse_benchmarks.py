"""The benchmarks of sparse coding, at sizes that take seconds, and what is stored of them."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from benchmarks import sparse_coding, sparse_restoration
from minideconv.errors import DataError, UsageError
from minideconv.sparse_coding.dictionary_file import read_filters
from minideconv.sparse_coding.orientation import oriented

pytestmark = pytest.mark.cpu

PROGRAMS = [sparse_coding, sparse_restoration]


def test_both_do_the_same_and_are_timed(capsys, monkeypatch):
    pytest.importorskip("sporco", reason="sporco is not installed")
    pytest.importorskip("numba", reason="numba is not installed (extra fast)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sporco's
        rows = sparse_coding.run([(48, 8)], 1)
        assert [row["algorithm"] for row in rows] == list(sparse_coding.ALGORITHMS)
        assert all(row[who]["ms"] > 0 for row in rows for who in ("ours", "sporco"))
        assert all(row["apart"] < 1e-4 for row in rows)
        assert capsys.readouterr().out.count("\n") == 3
        monkeypatch.setattr(sparse_coding, "TOLERANCE", -1.0)
        with pytest.raises(sparse_coding.BenchmarkError, match=r"ADMM, 48, 8: .* apart"):
            sparse_coding.run([(48, 8)], 1)


def test_a_difference_is_noticed(monkeypatch):
    """An Admm of ours with another relaxation is not what sporco computes."""
    pytest.importorskip("sporco", reason="sporco is not installed")
    pytest.importorskip("numba", reason="numba is not installed (extra fast)")
    right = sparse_coding.Admm
    monkeypatch.setattr(
        sparse_coding, "Admm", lambda *args, **options: right(*args, **{**options, "relaxation": 1})
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(sparse_coding.BenchmarkError, match="apart"):
            sparse_coding.run([(48, 8)], 1)


@pytest.mark.parametrize("program", PROGRAMS)
def test_stored_results_are_shown(tmp_path, capsys, program):
    if not program.RESULTS.exists():
        pytest.skip(f"{program.RESULTS.name} has not been measured yet")
    stored = json.loads(program.RESULTS.read_text(encoding="utf-8"))
    assert program.main(["--table", str(program.RESULTS)]) == 0
    assert stored["date"] in capsys.readouterr().out
    for text, kind, message in (
        ("{}", DataError, "holds no results"),
        (None, UsageError, "No such"),
    ):
        other = tmp_path / "other.json"
        other.unlink(missing_ok=True)
        if text is not None:
            other.write_text(text)
        with pytest.raises(kind, match=message):
            program.main(["--table", str(other)])
    with pytest.raises(UsageError, match="there is no folder"):
        program.main(["--data-root", "x", "--out", str(tmp_path / "a" / "b.json")]
                     if program is sparse_restoration
                     else ["--out", str(tmp_path / "a" / "b.json")])  # fmt: skip


def test_the_stored_dictionary_is_the_one_that_was_measured():
    if not sparse_restoration.RESULTS.exists():
        pytest.skip(f"{sparse_restoration.RESULTS.name} has not been measured yet")
    stored = json.loads(sparse_restoration.RESULTS.read_text(encoding="utf-8"))["learnt"]
    filters, settings = read_filters(sparse_restoration.DICTIONARY)
    assert filters.shape == (64, 1, 8, 8)
    assert int(oriented(filters).sum()) == stored["oriented"]
    assert settings.steps == stored["steps"]
    assert np.sqrt((filters**2).sum(axis=(1, 2, 3))).max() <= 1 + 1e-5


def test_restoration_needs_photographs(tmp_path):
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    with pytest.raises(UsageError, match="name a folder of photographs"):
        sparse_restoration.main([])
    with pytest.raises(UsageError, match=r"train.txt: No such file"):
        sparse_restoration.main(["--data-root", str(tmp_path)])
