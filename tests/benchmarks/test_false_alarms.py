"""``benchmarks.false_alarms``: what is tried is counted, and a false alarm is not lost."""

from __future__ import annotations

import json

import pytest

from benchmarks import false_alarms
from benchmarks.right_functions import IMPLEMENTATIONS, Implementation, ours
from minideconv import ops
from minideconv.errors import UsageError


def flipped(x, w, b=None, **settings):
    return ops.conv2d(x, w[:, :, ::-1, ::-1], b, **settings)


@pytest.fixture
def _two(monkeypatch):
    """One right implementation of little, and one that is wrong: as if the kit were."""
    made = {
        "right": lambda: Implementation("numpy", {"im2col": ops.im2col}, {}),
        "wrong": lambda: Implementation("numpy", {"conv2d": flipped}, {}),
    }
    monkeypatch.setattr(false_alarms, "IMPLEMENTATIONS", made)


@pytest.mark.usefixtures("_two")
def test_what_is_tried_is_counted_and_stored(tmp_path, capsys):
    out = tmp_path / "false_alarms.json"
    assert false_alarms.main(["--examples", "1", "--only", "right", "--out", str(out)]) == 0
    stored = json.loads(out.read_text())
    (row,) = stored["rows"]
    assert row["float64"] > 150
    assert row["float32"] > 50
    assert row["alarms"] == 0
    assert "conv2d" in stored["not_checked"]
    assert {"date", "machine", "versions", "seed"} <= stored.keys()
    assert "| all |  |" in capsys.readouterr().out


@pytest.mark.usefixtures("_two")
def test_an_alarm_is_printed_stored_and_an_exit_code(tmp_path, capsys):
    out = tmp_path / "false_alarms.json"
    assert false_alarms.main(["--examples", "1", "--out", str(out)]) == 1
    assert "FALSE ALARM, wrong, conv2d/unit-stride:\nconv2d: kernel flipped." in (
        capsys.readouterr().out
    )
    stored = json.loads(out.read_text())
    assert {alarm["implementation"] for alarm in stored["alarms"]} == {"wrong"}
    assert all(row["alarms"] == (row["implementation"] == "wrong") * 6 for row in stored["rows"])


def test_gradients_are_checked_too():
    for seed in range(3):
        assert false_alarms.gradients_hold(ours(), "batch_norm", seed) is None
    made = ours()

    def doubled(dy, cache):
        return [2 * gradient for gradient in made.functions["batch_norm_backward"](dy, cache)]

    wrong = made._replace(functions={**made.functions, "batch_norm_backward": doubled})
    assert "times" in str(false_alarms.gradients_hold(wrong, "batch_norm", 0))


def test_an_unknown_implementation_is_refused():
    with pytest.raises(UsageError, match="--only 'tensorflow': use 'minideconv'"):
        false_alarms.main(["--only", "tensorflow"])
    assert {"PyTorch", "JAX", "loops", "scipy.signal", "numba"} < set(IMPLEMENTATIONS)
