"""Signatures of courses: what they can express is checked, in the student's own words."""

from __future__ import annotations

from functools import partial

import course_libraries
import numpy as np
import pytest

from minideconv import ops
from minideconv.errors import UsageError
from minideconv.testing import OperationError, check_op, replay
from minideconv.testing.adapters import adapt
from minideconv.testing.operations import OPERATIONS


def conv_forward_naive(x, w, b, conv_param):
    out = ops.conv2d(x, w, b, stride=conv_param["stride"], padding=conv_param["pad"])
    return out, (x, w, b, conv_param)


def conv_backward_naive(dout, cache):
    x, w, _, conv_param = cache
    assert not any((n + 2 * conv_param["pad"] - k) % conv_param["stride"]
                   for n, k in zip(x.shape[2:], w.shape[2:], strict=True))  # fmt: skip
    dx, dw = course_libraries.gradients(
        dout, x, w, stride=conv_param["stride"], padding=conv_param["pad"]
    )
    return dx, dw, dout.sum((0, 2, 3))


def test_cs231n():
    report = check_op(
        conv_forward_naive, "conv2d", conv_backward_naive, signature="cs231n", examples=8
    )
    assert report.passed
    families = ("unit-stride", "padding", "stride-exact")
    promises = ("float32", "arguments unchanged", "no state", "any strides")
    assert [o.name for o in report.outcomes] == [
        f"{name}/{check}"
        for name in ("conv2d", "conv2d_backward")
        for check in (*families, *promises)
    ]


def flipped(image, kernel, bias, conv_param):
    return conv_forward_naive(image, kernel[:, :, ::-1, ::-1], bias, conv_param)


def stride_for_padding(x, w, b, conv_param):
    return conv_forward_naive(x, w, b, {**conv_param, "pad": conv_param["stride"] - 1})


def one_result(x, w, b, conv_param):
    return conv_forward_naive(x, w, b, conv_param)[0]


def test_cs231n_is_told_in_its_own_words():
    with pytest.raises(OperationError) as caught:
        check_op(flipped, "conv2d", signature="cs231n", examples=4)
    failure = next(o.failure for o in caught.value.report.outcomes if o.failure)
    assert failure.mistakes == ("kernel flipped",)
    assert failure.call.startswith("flipped(image=[[[[")
    assert failure.call.endswith("bias=[0], conv_param={'stride': 1, 'pad': 0})")
    text = failure.replay.split("'")[1]
    assert failure.replay.endswith(", signature='cs231n')")
    assert "must be" in replay(flipped, text, signature="cs231n")
    assert "is right" in replay(conv_forward_naive, text, signature="cs231n")


def test_cs231n_in_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (group oracles)")

    def forward(x, w, b, conv_param):
        given = (conv_param["stride"], conv_param["pad"])
        return torch.nn.functional.conv2d(x, w, b, *given), (x, w, b, conv_param)

    def backward(dout, cache, factor=1):
        x, w, b, conv_param = (a.clone().requires_grad_() if hasattr(a, "clone") else a
                               for a in cache)  # fmt: skip
        out, _ = forward(x, w, b, conv_param)
        dx, dw, db = torch.autograd.grad(out, (x, w, b), dout)
        return dx, factor * dw, db

    given = {"arrays": "torch", "signature": "cs231n", "examples": 4}
    assert check_op(forward, "conv2d", backward, **given).passed
    with pytest.raises(OperationError, match="conv2d_backward: dw is wrong: 3 times") as caught:
        check_op(forward, "conv2d", partial(backward, factor=3), **given)
    text = str(caught.value)
    assert "(dout=[[[[" in text
    assert ", cache), where cache is that of forward(x=[[[[" in text
    assert "replay(forward, " in text
    assert ", backward=f, arrays='torch', signature='cs231n')" in text


def test_wrong_layers_of_cs231n_are_seen():
    for function in (stride_for_padding, one_result):
        if function is one_result:  # no cache: the backward has nothing to work with
            with pytest.raises(OperationError, match="conv2d_backward raised"):
                check_op(function, "conv2d", conv_backward_naive, signature="cs231n", examples=2)
        else:
            with pytest.raises(OperationError, match="conv2d: "):
                check_op(function, "conv2d", signature="cs231n", examples=4)


@pytest.fixture
def _libraries(monkeypatch):
    for name in ("needle", "minitorch"):
        monkeypatch.setitem(__import__("sys").modules, name, getattr(course_libraries, name))


@pytest.mark.usefixtures("_libraries")
@pytest.mark.parametrize(
    ("signature", "function", "families"),
    [
        ("needle", course_libraries.needle_conv, 4),
        ("minitorch", course_libraries.minitorch_conv2d, 2),
    ],
)
def test_needle_and_minitorch(signature, function, families):
    report = check_op(function, "conv2d", "autograd", signature=signature, examples=8)
    assert len(report.outcomes) == 2 * (families + 4)


@pytest.mark.usefixtures("_libraries")
@pytest.mark.parametrize(
    ("signature", "function", "title", "call"),
    [
        ("needle", partial(course_libraries.needle_conv, flip=True), "conv2d: kernel flipped",
         "conv(a=[[[["),
        ("needle", partial(course_libraries.needle_conv, flip_gradient=True),
         "conv2d_backward: dw ", "stride=1, padding=0).backward([[[["),
        ("minitorch", partial(course_libraries.minitorch_conv2d, mirror=True), "conv2d: ",
         "conv2d(input=[[[["),
        ("minitorch", partial(course_libraries.minitorch_conv2d, wrong_gradient=True),
         "conv2d_backward: dw is wrong: 2 times", ".backward([[[["),
    ],
)  # fmt: skip
def test_wrong_functions_of_needle_and_minitorch(signature, function, title, call):
    with pytest.raises(OperationError) as caught:
        check_op(function, "conv2d", "autograd", signature=signature, examples=6)
    failure = next(o.failure for o in caught.value.report.outcomes if o.failure)
    assert failure.text().startswith(title)
    assert call in failure.call
    text = failure.replay.split("'")[1]
    backward = "autograd" if failure.operation == "conv2d_backward" else None
    assert "must be" in replay(function, text, backward, signature=signature)


def test_what_a_signature_has_not_is_refused(monkeypatch):
    with pytest.raises(UsageError, match="the signature 'cs231n' has no im2col; it has conv2d, "):
        monkeypatch.setitem(OPERATIONS, "im2col", OPERATIONS["conv2d"])
        adapt({"im2col": np.sum}, signature="cs231n")
    with pytest.raises(UsageError, match="signature='needle' needs needle to be imported"):
        check_op(course_libraries.needle_conv, "conv2d", signature="needle")
    with pytest.raises(UsageError, match="signature='minitorch' needs minitorch of 2022"):
        check_op(course_libraries.minitorch_conv2d, "conv2d", signature="minitorch")
    monkeypatch.setitem(__import__("sys").modules, "needle", course_libraries.needle)
    with pytest.raises(UsageError, match="needle's gradient is a method of its operation"):
        check_op(course_libraries.needle_conv, "conv2d", conv_backward_naive, signature="needle")
