"""Functions of Tensors: each binds a pair of array functions from `ops` to the tape.

Read one and you have read them all: the forward is called on the arrays, and `record` gets which
arrays the backward will want, which function computes it, and with which options. In a backward,
``x_data`` is the array of the tensor ``x``, as the tape saved it. Names and argument order follow
``torch.nn.functional``; where libraries differ, the table "semantics" in the documentation states
what happens here. The maths of a function, its shapes and its sources are in the file of its op.
"""

from __future__ import annotations

from minideconv.autograd import Tensor
from minideconv.autograd.other_names import refusing
from minideconv.functional.batch_norm import (
    batch_norm,
    batch_norm_relu,
    batch_norm_relu_pool,
    sync_batch_norm,
)
from minideconv.functional.convolution import conv2d, conv2d_weight_grad, conv_transpose2d, linear
from minideconv.functional.elementwise_losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    l1_loss,
    mse_loss,
)
from minideconv.functional.losses import cross_entropy
from minideconv.functional.nonlinear import dropout2d, leaky_relu, sigmoid, softplus, tanh
from minideconv.functional.normalisation import group_norm, instance_norm, layer_norm
from minideconv.functional.pointwise import dropout, log_softmax, relu, softmax
from minideconv.functional.pooling import avg_pool2d, max_pool2d, max_unpool2d
from minideconv.functional.rearranging import adaptive_avg_pool2d, one_hot, pixel_shuffle
from minideconv.functional.resizing import interpolate, pad
from minideconv.functional.segmentation_losses import dice_loss, focal_loss, nll_loss

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "batch_norm_relu",
    "batch_norm_relu_pool",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv2d",
    "conv2d_weight_grad",
    "conv_transpose2d",
    "cross_entropy",
    "dice_loss",
    "dropout",
    "dropout2d",
    "focal_loss",
    "group_norm",
    "instance_norm",
    "interpolate",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool2d",
    "max_unpool2d",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "pad",
    "pixel_shuffle",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
    "sync_batch_norm",
    "tanh",
]

for _function in (relu, softmax, log_softmax):  # methods of a tensor, too, as in PyTorch
    setattr(Tensor, _function.__name__, _function)

__getattr__ = refusing(__name__)
