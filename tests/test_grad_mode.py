"""`no_grad` and `detect_anomaly`."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from leaves import leaf

from minideconv.autograd import Tensor, detect_anomaly, is_grad_enabled, no_grad


def test_no_grad_nests_and_recovers() -> None:
    def fail_inside() -> None:
        with no_grad():
            with no_grad():
                assert not is_grad_enabled()
            assert not is_grad_enabled()
            raise KeyError

    assert is_grad_enabled()
    with pytest.raises(KeyError):
        fail_inside()
    assert is_grad_enabled()


def test_no_grad_decorates() -> None:
    @no_grad()
    def infer(x: Tensor, depth: int = 2) -> Tensor:
        """Infer."""
        assert not is_grad_enabled()
        return infer(x, depth - 1) if depth else x * 2

    assert infer.__name__ == "infer"
    assert not infer(leaf((2,), 1)).requires_grad
    assert is_grad_enabled()


def test_no_grad_refuses_a_generator() -> None:
    def generate() -> object:
        yield 1

    with pytest.raises(TypeError, match="no_grad: cannot decorate the generator function generate"):
        no_grad()(generate)


def test_no_grad_belongs_to_its_thread() -> None:
    inside: list[bool] = []
    with no_grad():
        thread = threading.Thread(target=lambda: inside.append(is_grad_enabled()))
        thread.start()
        thread.join()
    assert inside == [True]


def test_anomaly_names_the_first_operation_and_its_line() -> None:
    x = Tensor([1.0, 0.0, -1.0], requires_grad=True)
    with np.errstate(all="ignore"):
        (x.log() * 2).sum()  # not checked outside the block
        with detect_anomaly(), pytest.raises(RuntimeError) as caught:
            (x.log() * 2).sum()
    text = str(caught.value)
    assert text.startswith("detect_anomaly: log made 1 NaN and 1 infinity among 3 values (")
    assert "test_grad_mode.py, line" in text
    assert text.endswith("(x.log() * 2).sum())")


def test_anomaly_in_backward_names_the_operation_and_its_forward_line() -> None:
    x = Tensor([4.0, 0.0], requires_grad=True)
    with np.errstate(all="ignore"), detect_anomaly():
        y = x.sqrt()
        z = (y * 2).sum()
        with pytest.raises(RuntimeError) as caught:
            z.backward()
    text = str(caught.value)
    assert text.startswith(
        "detect_anomaly: the backward of sqrt made 1 infinity among 2 values for"
    )
    assert text.endswith("y = x.sqrt())")


def test_anomaly_that_came_in_with_a_leaf() -> None:
    x = Tensor([1.0, np.nan])
    with detect_anomaly(), pytest.raises(RuntimeError, match="input 0 of add already held 1 NaN"):
        x + 1


def test_anomaly_also_without_recording() -> None:
    with np.errstate(all="ignore"), detect_anomaly(), no_grad(), pytest.raises(RuntimeError):
        Tensor([0.0]).log()
