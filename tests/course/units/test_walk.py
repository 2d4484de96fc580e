"""What was unclear when the course was worked through as a student does, and was mended."""

from __future__ import annotations

import numpy as np
import pytest
import units

from minideconv.testing import OperationError, check_op


def test_the_call_of_a_backward_with_a_cache_names_the_arrays_of_its_forward(monkeypatch):
    """It said ``batch_norm(cache=[[[[0]]]], ...)``: the second argument of the backward is x."""
    module = units.all_imported("numpy", monkeypatch)["04_batch_norm"]

    def batch_norm_backward(dy, cache):
        dx, dweight, dbias = module.batch_norm_backward(dy, cache)
        return 2 * dx, dweight, dbias

    with pytest.raises(OperationError) as caught:
        check_op(module.batch_norm, "batch_norm", batch_norm_backward)
    assert "batch_norm(x=" in str(caught.value)
    assert "cache=" not in str(caught.value)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_rule_without_a_tuple_is_refused(backend, monkeypatch):
    """An array went through: its first image was taken for the gradient."""
    if backend == "torch":
        pytest.importorskip("torch", reason="PyTorch is not installed (group oracles)")
    Tensor = units.all_imported(backend, monkeypatch)["05_tape"].Tensor
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    y = x.computed(x.data, (x,), lambda grad: grad)
    with pytest.raises(TypeError, match="a rule returns a tuple of 1"):
        y.backward()
