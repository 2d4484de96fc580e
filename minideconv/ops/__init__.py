"""Array functions on plain arrays; each forward has its explicit backward beside it."""

from minideconv.ops.activations import (
    log_softmax,
    log_softmax_backward,
    relu,
    relu_backward,
    softmax,
    softmax_backward,
)
from minideconv.ops.avg_pooling import avg_pool2d, avg_pool2d_backward
from minideconv.ops.batch_norm import BatchNormSaved, batch_norm, batch_norm_backward
from minideconv.ops.batch_norm_relu_pool import (
    batch_norm_relu,
    batch_norm_relu_backward,
    batch_norm_relu_pool,
    batch_norm_relu_pool_backward,
)
from minideconv.ops.conv import (
    conv2d,
    conv2d_backward,
    conv2d_weight_grad,
    conv_transpose2d,
    conv_transpose2d_backward,
)
from minideconv.ops.conv_matrix import conv_matrix
from minideconv.ops.cross_entropy import cross_entropy, cross_entropy_backward
from minideconv.ops.dropout import dropout, dropout_backward
from minideconv.ops.im2col import col2im, im2col
from minideconv.ops.interpolate import interpolate, interpolate_backward
from minideconv.ops.linear import linear, linear_backward
from minideconv.ops.pad import pad, pad_backward
from minideconv.ops.pooling import max_pool2d, max_pool2d_backward
from minideconv.ops.shrinkage import soft_threshold
from minideconv.ops.switches import Switches
from minideconv.ops.sync_batch_norm import (
    Collectives,
    SyncSaved,
    sync_batch_norm,
    sync_batch_norm_backward,
)
from minideconv.ops.unpooling import max_unpool2d, max_unpool2d_backward
from minideconv.ops.workspace import get_workspace_limit, set_workspace_limit, workspace_limit

__all__ = [
    "BatchNormSaved",
    "Collectives",
    "Switches",
    "SyncSaved",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_relu",
    "batch_norm_relu_backward",
    "batch_norm_relu_pool",
    "batch_norm_relu_pool_backward",
    "col2im",
    "conv2d",
    "conv2d_backward",
    "conv2d_weight_grad",
    "conv_matrix",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "dropout",
    "dropout_backward",
    "get_workspace_limit",
    "im2col",
    "interpolate",
    "interpolate_backward",
    "linear",
    "linear_backward",
    "log_softmax",
    "log_softmax_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_unpool2d",
    "max_unpool2d_backward",
    "pad",
    "pad_backward",
    "relu",
    "relu_backward",
    "set_workspace_limit",
    "soft_threshold",
    "softmax",
    "softmax_backward",
    "sync_batch_norm",
    "sync_batch_norm_backward",
    "workspace_limit",
]
