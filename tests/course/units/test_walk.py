"""What was unclear when the course was worked through as a student does, and was mended."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import right_tensors as tensors
import units

from minideconv.course.grading import grade
from minideconv.course.places import course_file, units_of
from minideconv.course.settings import read_course
from minideconv.testing import OperationError, check_op
from minideconv.testing.checking.calls import local_call


def graded(unit, functions, tmp_path):
    """The result of functions of this process, as if they were a student's file."""
    settings = read_course(course_file(None))
    (tmp_path / units.about(unit)["file"]).write_text("")
    code = SimpleNamespace(
        call=lambda operation: local_call(operation, functions), names=lambda operation: str
    )
    asked = units_of(course_file(None))[unit]
    return grade(asked, tmp_path, settings, lambda *_: nullcontext(code))


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


def test_what_could_not_be_tried_earns_nothing(tmp_path):
    """The second case that needs what a class lacks was the last of the whole unit."""
    found = {o.family: o for o in graded("05_tape", {"Tensor": tensors.Small}, tmp_path).outcomes}
    assert found["operations"].status == "passed"
    for family in ("functions", "reductions", "shapes", "constants"):
        assert found[family].status == "failed"
        assert found[family].points == 0
        assert found[family].title.startswith("nothing could be tried: ")
    assert found["constants"].title.endswith("Tensor takes no requires_grad")
    assert found["a million paths"].status == "not run"
