"""The operations that the kit knows, by their names in the contract."""

from __future__ import annotations

from minideconv.testing.operations.conv import CONV2D, CONV2D_BACKWARD
from minideconv.testing.operations.conv_matrix import CONV_MATRIX
from minideconv.testing.operations.deconvnet import (
    CROSS_ENTROPY,
    DECONVNET,
    DECONVNET_BACKWARD,
    TRAIN,
)
from minideconv.testing.operations.operation import Case, Expected, Operation

__all__ = ["OPERATIONS", "Case", "Expected", "Operation"]

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        CONV2D,
        CONV2D_BACKWARD,
        CONV_MATRIX,
        DECONVNET,
        DECONVNET_BACKWARD,
        CROSS_ENTROPY,
        TRAIN,
    )
}
