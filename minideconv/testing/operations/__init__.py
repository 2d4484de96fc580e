"""The operations that the kit knows, by their names in the contract."""

from __future__ import annotations

from minideconv.testing.operations.batch_norm import BATCH_NORM, BATCH_NORM_BACKWARD
from minideconv.testing.operations.conv import CONV2D, CONV2D_BACKWARD
from minideconv.testing.operations.conv_matrix import CONV_MATRIX
from minideconv.testing.operations.conv_transpose import (
    CONV_TRANSPOSE2D,
    CONV_TRANSPOSE2D_BACKWARD,
)
from minideconv.testing.operations.deconvnet import (
    CROSS_ENTROPY,
    DECONVNET,
    DECONVNET_BACKWARD,
    TRAIN,
)
from minideconv.testing.operations.operation import Case, Expected, Operation
from minideconv.testing.operations.patches import COL2IM, IM2COL
from minideconv.testing.operations.pooling import MAX_POOL2D, MAX_POOL2D_BACKWARD
from minideconv.testing.operations.tape import TAPE
from minideconv.testing.operations.unpooling import MAX_UNPOOL2D, MAX_UNPOOL2D_BACKWARD

__all__ = ["OPERATIONS", "Case", "Expected", "Operation"]

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        IM2COL,
        COL2IM,
        CONV2D,
        CONV2D_BACKWARD,
        CONV_MATRIX,
        CONV_TRANSPOSE2D,
        CONV_TRANSPOSE2D_BACKWARD,
        MAX_POOL2D,
        MAX_POOL2D_BACKWARD,
        MAX_UNPOOL2D,
        MAX_UNPOOL2D_BACKWARD,
        BATCH_NORM,
        BATCH_NORM_BACKWARD,
        TAPE,
        DECONVNET,
        DECONVNET_BACKWARD,
        CROSS_ENTROPY,
        TRAIN,
    )
}
