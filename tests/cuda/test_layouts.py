"""Small arguments stored with gaps, backwards or as one number, on the GPU: the same results."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import ops
from minideconv.testing import values

LAYOUTS = {
    "with gaps": lambda xp, a: xp.stack([a, a + 9], axis=-1)[..., 0],
    "backwards": lambda xp, a: a[::-1].copy()[::-1],
    "one number": lambda xp, a: xp.broadcast_to(a.ravel()[:1].reshape(()), a.shape),
}


def f32(*shape, seed=0):
    return values(shape, seed + sum(shape), "normal", np.float32)


def conv(x, w, bias):
    return ops.conv2d(x, w, bias, 1, 1), ops.conv_transpose2d(x, w, bias, 1, 1)


def batch_norm(x, weight, bias, mean, var):
    found = []
    for training in (True, False):
        running = (None, None) if training else (mean, var)
        y, saved = ops.batch_norm(x, *running, weight, bias, training, return_saved=True)
        found += [y, *ops.batch_norm_backward(x, x, saved, weight, training)]
        y, saved = ops.batch_norm_relu(x, *running, weight, bias, training, return_saved=True)
        found += [y, *ops.batch_norm_relu_backward(y, x, saved, weight, bias, training)]
    return found


def follows(x, mean, var):
    ops.batch_norm(x, mean, var, training=True)
    return mean, var


def cross_entropy(scores, labels, weight, dloss):
    loss, saved = ops.cross_entropy(scores, labels, weight, reduction="none", return_saved=True)
    return loss, ops.cross_entropy_backward(dloss, saved, labels, weight, reduction="none")


def positive(*shape, seed=0):
    return np.abs(f32(*shape, seed=seed)) + 1


LABELS = np.arange(18).reshape(2, 3, 3) % 5
CASES = {
    "conv": (conv, (f32(1, 6, 5, 5), f32(6, 6, 3, 3), f32(6)), (2,)),
    "linear": (lambda *a: (ops.linear(*a),), (f32(3, 4), f32(5, 4), f32(5)), (2,)),
    "batch_norm": (
        batch_norm,
        (f32(2, 6, 3, 3), *(positive(6, seed=s) for s in range(4))),
        (1, 2, 3, 4),
    ),
    "running averages": (follows, (f32(2, 6, 3, 3), f32(6), positive(6)), (1, 2)),
    "cross_entropy": (
        cross_entropy,
        (f32(2, 5, 3, 3), LABELS, positive(5), f32(2, 3, 3)),
        (1, 2, 3),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CASES)
def test_results_do_not_depend_on_the_layout_of_an_argument(cupy_device, name, layout):
    if (name, layout) == ("running averages", "one number"):
        pytest.skip("one number cannot follow several channels")
    op, arrays, places = CASES[name]
    for place in places:
        arguments = [cupy_device.put(a) for a in arrays]
        strided = LAYOUTS[layout](cupy_device.xp, arguments[place])
        others = [a.copy() for a in arguments]
        others[place] = strided.copy()
        arguments[place] = strided
        for found, want in zip(op(*arguments), op(*others), strict=True):
            np.testing.assert_allclose(
                cupy_device.get(found), cupy_device.get(want), rtol=1e-5, atol=1e-5
            )
