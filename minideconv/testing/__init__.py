"""What a course, a plug-in or our own tests import: geometries, values, adjoint, gradients.

Hypothesis draws the *geometry* of a test (sizes, strides, paddings), a seed draws its *values*:

>>> from minideconv.testing import ConvGeometry, check_adjoint, values
>>> g = ConvGeometry(1, 1, 1, size=(3, 4), kernel=(2, 3))
>>> x, y = values(g.x_shape, seed=0), values(g.y_shape, seed=1)
>>> w = values(g.w_shape, seed=2)

The strategies need Hypothesis (``pip install 'minideconv[test]'``) and are imported on first use;
everything else runs on NumPy alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from minideconv.testing.adapters.limits import Limits
from minideconv.testing.adjoint import (
    AdjointError,
    LinearityError,
    as_matrix,
    check_adjoint,
    check_linear,
)
from minideconv.testing.anchors import AnchorError, check_delta, check_ones, check_pointwise
from minideconv.testing.answers import check_answer
from minideconv.testing.arrays import as_numpy, integer_valued, values
from minideconv.testing.checking import OperationError, Report, check_op, replay
from minideconv.testing.contracts import ContractError, check_contract, noncontiguous
from minideconv.testing.expressions import Expression
from minideconv.testing.geometry import (
    BatchNormGeometry,
    ConvGeometry,
    PatchGeometry,
    PoolGeometry,
    TransposedGeometry,
)
from minideconv.testing.gradients import GradientError, KinkError, check_gradients
from minideconv.testing.identities import MatrixError, check_matrix, check_trilinear
from minideconv.testing.networks import NetworkGeometry
from minideconv.testing.second_gradients import check_second_gradients

if TYPE_CHECKING:
    from minideconv.testing.strategies import (
        batch_norm_geometries,
        conv_geometries,
        conv_transpose_geometries,
        expression_graphs,
        network_geometries,
        pool_geometries,
        seeds,
    )

__all__ = [
    "AdjointError",
    "AnchorError",
    "BatchNormGeometry",
    "ContractError",
    "ConvGeometry",
    "Expression",
    "GradientError",
    "KinkError",
    "Limits",
    "LinearityError",
    "MatrixError",
    "NetworkGeometry",
    "OperationError",
    "PatchGeometry",
    "PoolGeometry",
    "Report",
    "TransposedGeometry",
    "as_matrix",
    "as_numpy",
    "batch_norm_geometries",
    "check_adjoint",
    "check_answer",
    "check_contract",
    "check_delta",
    "check_gradients",
    "check_linear",
    "check_matrix",
    "check_ones",
    "check_op",
    "check_pointwise",
    "check_second_gradients",
    "check_trilinear",
    "conv_geometries",
    "conv_transpose_geometries",
    "expression_graphs",
    "integer_valued",
    "network_geometries",
    "noncontiguous",
    "pool_geometries",
    "replay",
    "seeds",
    "values",
]

_NEED_HYPOTHESIS = {
    "batch_norm_geometries",
    "conv_geometries",
    "conv_transpose_geometries",
    "expression_graphs",
    "network_geometries",
    "pool_geometries",
    "seeds",
}


def __getattr__(name: str) -> Any:
    if name in _NEED_HYPOTHESIS:
        return getattr(import_module(".strategies", __name__), name)
    if name in {"strategies", "mistakes"}:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
