"""What was unclear when the course was worked through as a student does, and was mended."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import right_tensors as tensors
import units

from minideconv import ops
from minideconv.course.grading import grade
from minideconv.course.places import course_file, units_of
from minideconv.course.settings import read_course
from minideconv.errors import UsageError
from minideconv.testing import OperationError, check_op, replay
from minideconv.testing.checking.calls import local_call
from minideconv.testing.checking.replay import case_from_text, case_text
from minideconv.testing.checking.run import Checker
from minideconv.testing.mistakes import mistakes
from minideconv.testing.operations import OPERATIONS

pytestmark = pytest.mark.cpu


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
    with pytest.raises(TypeError, match="a rule returns a tuple, here with 1"):
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


@pytest.mark.parametrize(
    "name",
    ["ReLU behind the scores", "unpooled by repeating values", "summed over the pixels",
     "not divided by the number of pixels"],
)  # fmt: skip
def test_a_message_about_many_arrays_is_in_its_first_500_characters(name):
    """That of the network with its ten arrays went on for thousands."""
    (mistake,) = (m for m in mistakes() if m.name == name)
    operation = OPERATIONS[mistake.operation]
    line = "python -m minideconv.course replay deconvnet.py '{case}'"
    checker = Checker(operation, local_call(operation, mistake.functions()), replay=line)
    failure = next(o.failure for o in checker.run() if o.failure is not None)
    first = failure.text()[:500]
    assert first.startswith(f"{mistake.operation}: {mistake.title}.\n")
    for part in (failure.entry, failure.call, f"Rule: {failure.rule}\n", failure.replay):
        assert part
        assert part in first
    case = failure.replay.split("'")[1]
    _, again = case_from_text(case)
    assert checker.wrong(again) is not None
    assert case_text(operation, again) == case


def test_runs_of_equal_numbers_are_short_and_read_back():
    operation = OPERATIONS["im2col"]
    text = "im2col batch=1 channels=1 size=3x3 kernel=1x1 x=0*4,1.5,1.5,-2,0,0"
    _, case = case_from_text(text)
    assert case.arrays["x"].ravel().tolist() == [0, 0, 0, 0, 1.5, 1.5, -2, 0, 0]
    assert case_text(operation, case) == text
    _, case = case_from_text("im2col batch=1 channels=1 size=3x3 kernel=1x1 x=2")
    assert case.arrays["x"].tolist() == [[[[2.0] * 3] * 3]]
    with pytest.raises(UsageError, match="cannot be read"):
        case_from_text("im2col batch=1 channels=1 size=3x3 kernel=1x1 x=2*8")


def test_a_dtype_is_a_promise_and_no_kind_of_geometry():
    """torch.zeros(shape) is float32: it cost every check, and hid all other mistakes."""

    def conv2d(x, w, b=None, **settings):
        return ops.conv2d(x, w, b, **settings).astype(np.float32)

    with pytest.raises(OperationError) as caught:
        check_op(conv2d, "conv2d", examples=5)
    wrong = [o.name for o in caught.value.report.outcomes if not o.passed]
    assert wrong == ["conv2d/float64"]
    assert "A new array is given the dtype of the arguments" in str(caught.value)


def test_what_breaks_a_promise_is_small_and_shown_again():
    """The case was as it was drawn, and ``replay`` said that its result is right."""

    def conv2d(x, w, b=None, **settings):
        if not x.flags.c_contiguous:
            raise ValueError("not contiguous")
        return ops.conv2d(x, w, b, **settings)

    with pytest.raises(OperationError, match="memory layout of an argument") as caught:
        check_op(conv2d, "conv2d", examples=5)
    (failure,) = (o.failure for o in caught.value.report.outcomes if not o.passed)
    assert failure.entry == (
        "With views in place of copies: conv2d raised ValueError: not contiguous in line "
        f"{conv2d.__code__.co_firstlineno + 2} of conv2d"
    )
    case = failure.replay.split("'")[1]
    assert case == "conv2d batch=1 c_in=1 c_out=1 size=1x2 kernel=1x1 x=0 w=0"
    assert "but the memory layout of an argument changes the result" in replay(conv2d, case)


def test_of_two_mistakes_the_entry_is_of_the_one_that_is_named():
    """The message "running statistics not updated" showed an entry of y."""

    def batch_norm(x, weight, bias, mean, var, training=True, momentum=0.1, eps=1e-5):
        if training:
            mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
        y = (x - mean[:, None, None]) / (var[:, None, None] + eps)
        return weight[:, None, None] * y + bias.mean(), ()

    with pytest.raises(OperationError, match="running statistics not updated") as caught:
        check_op(batch_norm, "batch_norm", examples=5)
    assert "\nrunning_" in str(caught.value)
