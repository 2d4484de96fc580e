"""What channels last goes in comes out channels last: no operation makes the next one copy."""

from __future__ import annotations

import numpy as np
import pytest

import minideconv as md
from minideconv import ops
from minideconv.testing import values


def last(shape, seed=0):
    x = values(shape, seed, "normal", np.float32)
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


SHAPE = (2, 24, 20, 18)
X, DY = last(SHAPE), last(SHAPE, 1)
Y, SWITCHES = ops.max_pool2d(X, 2, return_switches=True)
SAVED = ops.batch_norm(X, None, None, return_saved=True)[1]
MASK = ops.dropout(X, 0.5, return_mask=True)[1]

OPS = {
    "batch_norm": lambda: ops.batch_norm(X, None, None),
    "batch_norm_backward": lambda: ops.batch_norm_backward(DY, X, SAVED)[0],
    "batch_norm_relu": lambda: ops.batch_norm_relu(X, None, None),
    "batch_norm_relu_backward": lambda: ops.batch_norm_relu_backward(DY, X, SAVED)[0],
    "batch_norm in evaluation": lambda: ops.batch_norm(X, np.zeros(24), np.ones(24)),
    "its backward": lambda: ops.batch_norm_relu_backward(DY, X, SAVED, training=False)[0],
    "max_pool2d": lambda: ops.max_pool2d(X, 2),
    "max_pool2d_backward": lambda: ops.max_pool2d_backward(Y, SWITCHES),
    "max_unpool2d": lambda: ops.max_unpool2d(Y, SWITCHES),
    "max_unpool2d_backward": lambda: ops.max_unpool2d_backward(X, SWITCHES),
    "overlapping max_pool2d": lambda: ops.max_pool2d(X, 3, 2, 1),
    "relu": lambda: ops.relu(X),
    "relu_backward": lambda: ops.relu_backward(DY, X),
    "softmax": lambda: ops.softmax(X, 1),
    "log_softmax": lambda: ops.log_softmax(X, 1),
    "dropout": lambda: ops.dropout(X, 0.5),
    "dropout_backward": lambda: ops.dropout_backward(DY, MASK),
}


@pytest.mark.parametrize("algorithm", ["reference", "exact", "fast"])
@pytest.mark.parametrize("op", OPS)
def test_channels_last_stays(op, algorithm):
    with md.algorithm(algorithm):
        assert OPS[op]().transpose(0, 2, 3, 1).flags.c_contiguous
