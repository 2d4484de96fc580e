"""Results of which np.squeeze has taken the axes of length 1."""

from __future__ import annotations

from minideconv.testing.mistakes.bank import twist
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

for _operation, _outputs in (
    ("im2col", ("columns",)),
    ("col2im", ("x",)),
    ("conv2d", ("y",)),
    ("conv2d_backward", ("dx", "dw", "db")),
    ("conv_transpose2d", ("y",)),
    ("conv_transpose2d_backward", ("dx", "dw", "db")),
    ("max_pool2d", ("y",)),
    ("max_pool2d_backward", ("dx",)),
    ("max_unpool2d", ("x",)),
):
    for _output in _outputs:

        @twist(_operation, _output, "axes of length 1 squeezed",
               "squeeze() takes away every axis of length 1, that of a single image or channel, "
               "too; name the axis.")  # fmt: skip
        def _squeezed(result: Array, arrays: Arrays, settings: Settings) -> Array:
            return result.squeeze()
