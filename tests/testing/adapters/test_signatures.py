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
from minideconv.testing.checking.promises import PROMISES


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
    assert [o.name for o in report.outcomes] == [
        f"{name}/{check}"
        for name in ("conv2d", "conv2d_backward")
        for check in (*families, *PROMISES)
    ]


def max_pool_forward_naive(x, pool_param):
    kernel = (pool_param["pool_height"], pool_param["pool_width"])
    y = ops.max_pool2d(x, kernel, pool_param["stride"])
    return y, (x, kernel, pool_param)


def max_pool_backward_naive(dout, cache):
    x, (height, width), pool_param = cache
    stride, dx = pool_param["stride"], np.zeros_like(x)
    for n, c, i, j in np.ndindex(*dout.shape):
        window = x[n, c, i * stride : i * stride + height, j * stride : j * stride + width]
        row, column = np.unravel_index(window.argmax(), window.shape)
        dx[n, c, i * stride + row, j * stride + column] += dout[n, c, i, j]
    return dx


def batchnorm_forward(x, gamma, beta, bn_param):
    if bn_param["mode"] == "test":
        mean, var = bn_param["running_mean"], bn_param["running_var"]
    else:
        mean, var = x.mean(0), x.var(0)
        bn_param["running_mean"] = bn_param["momentum"] * bn_param["running_mean"]
    xh = (x - mean) / np.sqrt(var + bn_param["eps"])
    return gamma * xh + beta, (xh, gamma, np.sqrt(var + bn_param["eps"]))


def batchnorm_backward(dout, cache):
    xh, gamma, std = cache
    dgamma, dbeta = (dout * xh).sum(0), dout.sum(0)
    return gamma / std * (dout - dbeta / len(dout) - xh * dgamma / len(dout)), dgamma, dbeta


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    out, cache = batchnorm_forward(x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1]), gamma, beta,
                                   bn_param)  # fmt: skip
    n, _, h, w = x.shape
    return out.reshape(n, h, w, -1).transpose(0, 3, 1, 2), cache


def spatial_batchnorm_backward(dout, cache):
    n, c, h, w = dout.shape
    dx, dgamma, dbeta = batchnorm_backward(dout.transpose(0, 2, 3, 1).reshape(-1, c), cache)
    return dx.reshape(n, h, w, c).transpose(0, 3, 1, 2), dgamma, dbeta


@pytest.mark.parametrize(
    ("operation", "forward", "backward"),
    [
        ("max_pool2d", max_pool_forward_naive, max_pool_backward_naive),
        ("batch_norm", batchnorm_forward, batchnorm_backward),
        ("batch_norm", spatial_batchnorm_forward, spatial_batchnorm_backward),
    ],
)
def test_pooling_and_batch_norm_of_cs231n(operation, forward, backward):
    report = check_op(forward, operation, backward, signature="cs231n", examples=8)
    assert len(report.outcomes) > 10


def all_windows_at_the_first_pixel(dout, cache):
    dx = max_pool_backward_naive(dout, cache)
    return np.roll(dx, 1, axis=3)


def without_gamma(x, gamma, beta, bn_param):
    return batchnorm_forward(x, np.ones_like(gamma), beta, bn_param)


def no_dbeta(dout, cache):
    dx, dgamma, dbeta = batchnorm_backward(dout, cache)
    return dx, dgamma, 2 * dbeta


@pytest.mark.parametrize(
    ("operation", "forward", "backward", "title", "call"),
    [
        ("max_pool2d", lambda x, pool_param: (2 * max_pool_forward_naive(x, pool_param)[0], None),
         None, "max_pool2d: y", "pool_param={'pool_height': 1, 'pool_width': 1, 'stride': 1})"),
        ("max_pool2d", max_pool_forward_naive, all_windows_at_the_first_pixel,
         "max_pool2d_backward: ", "cache), where cache is that of max_pool_forward_naive(x=[[[["),
        ("batch_norm", without_gamma, None, "batch_norm: ", "bn_param={'mode': 'train', 'eps': "),
        ("batch_norm", batchnorm_forward, no_dbeta, "batch_norm_backward: d",
         "cache), where cache is that of batchnorm_forward(x=[[[["),
    ],
)  # fmt: skip
def test_wrong_pooling_and_batch_norm_of_cs231n(operation, forward, backward, title, call):
    with pytest.raises(OperationError) as caught:
        check_op(forward, operation, backward, signature="cs231n", examples=8)
    failure = next(o.failure for o in caught.value.report.outcomes if o.failure)
    assert failure.text().startswith(title)
    assert call in failure.call
    text = failure.replay.split("'")[1]
    assert "must be" in replay(forward, text, backward, signature="cs231n")


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
            with pytest.raises(OperationError, match=r"the forward must return .out, cache"):
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
    assert len(report.outcomes) == 2 * (families + 5)


@pytest.mark.usefixtures("_libraries")
@pytest.mark.parametrize(
    ("signature", "function", "title", "call"),
    [
        ("needle", partial(course_libraries.needle_conv, flip=True), "conv2d: kernel flipped",
         "conv(a=[[[["),
        ("needle", partial(course_libraries.needle_conv, flip_gradient=True),
         "conv2d_backward: gradient flipped", "stride=1, padding=0).backward([[[["),
        ("minitorch", partial(course_libraries.minitorch_conv2d, mirror=True), "conv2d: ",
         "conv2d(input=[[[["),
        ("minitorch", partial(course_libraries.minitorch_conv2d, wrong_gradient=True),
         "conv2d_backward: twice as large", ".backward([[[["),
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
        adapt({"im2col": np.sum}, signature="cs231n")
    with pytest.raises(UsageError, match="signature='needle' needs needle to be imported"):
        check_op(course_libraries.needle_conv, "conv2d", signature="needle")
    with pytest.raises(UsageError, match="signature='minitorch' needs minitorch of 2022"):
        check_op(course_libraries.minitorch_conv2d, "conv2d", signature="minitorch")
    monkeypatch.setitem(__import__("sys").modules, "needle", course_libraries.needle)
    with pytest.raises(UsageError, match="needle's gradient is a method of its operation"):
        check_op(course_libraries.needle_conv, "conv2d", conv_backward_naive, signature="needle")
