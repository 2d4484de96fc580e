"""Functions of Tensors: each binds a pair of array functions from `ops` to the tape.

Read one and you have read them all: the forward is called on the arrays, and `record` gets which
arrays the backward will want, which function computes it, and with which options. In a backward,
``x_data`` is the array of the tensor ``x``, as the tape saved it. Names and argument order follow
``torch.nn.functional``; where libraries differ, the table "semantics" in the documentation states
what happens here. The maths of a function, its shapes and its sources are in the file of its op.
"""

from __future__ import annotations

from minideconv.functional.batch_norm import (
    batch_norm,
    batch_norm_relu,
    batch_norm_relu_pool,
    sync_batch_norm,
)
from minideconv.functional.convolution import conv2d, conv_transpose2d, linear
from minideconv.functional.losses import cross_entropy
from minideconv.functional.pointwise import dropout, log_softmax, relu, softmax
from minideconv.functional.pooling import avg_pool2d, max_pool2d, max_unpool2d
from minideconv.functional.resizing import interpolate, pad

__all__ = [
    "avg_pool2d",
    "batch_norm",
    "batch_norm_relu",
    "batch_norm_relu_pool",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "interpolate",
    "linear",
    "log_softmax",
    "max_pool2d",
    "max_unpool2d",
    "pad",
    "relu",
    "softmax",
    "sync_batch_norm",
]
