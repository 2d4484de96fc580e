"""Wrong classes ``Tensor``: sum and mean over an axis, reshape, and orders of axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minideconv.testing.mistakes.tensor import Grads, Right
from minideconv.testing.mistakes.tensor_styles import Composed
from minideconv.testing.mistakes.wrong_tensors import another_way, wrong_tensor

__all__: list[str] = []  # they are reached through the bank

VALUES = ("y", "grads")

# The axis put back -------------------------------------------------------------------------------

LOST = (
    "summed axis not put back",
    "The gradient of a sum over an axis without keepdims is broadcast as it is; the axis "
    "must be put back first.",
)


def _spread_by(spread: Callable[[Any, Any, Any], Any], *ops: str) -> type[Right]:
    class _Spread(Right):
        def spread(self, g: Any, option: Any, x: Any) -> Any:
            return spread(g, option, x) if self.op in ops else super().spread(g, option, x)

    _Spread.ops = ops  # type: ignore[attr-defined]
    return _Spread


def _as_it_is(g: Any, option: Any, x: Any) -> Any:
    return np.broadcast_to(g, x.data.shape)


def _times_ones(g: Any, option: Any, x: Any) -> Any:
    return g * np.ones(x.data.shape)  # which may have more axes than x


wrong_tensor(*LOST)(_spread_by(_as_it_is, "sum", "mean"))
for _spread in (_as_it_is, _times_ones):
    for _ops in (("sum",), ("mean",)):
        another_way(LOST[0])(_spread_by(_spread, *_ops))
another_way(LOST[0])(_spread_by(_times_ones, "sum", "mean"))


def _inserted(g: Any, option: Any, x: Any) -> Any:
    return np.broadcast_to(_put_back(g, option), x.data.shape)


def _put_back(g: Any, option: Any) -> Any:
    axis, keepdims = option
    shape = list(np.shape(g))
    if axis is not None and not keepdims:
        shape.insert(axis, 1)
    return np.reshape(g, shape)


BELOW = (
    "axis below 0 put back in the wrong place",
    "The summed axis is put back by list.insert(axis, 1), which counts an axis below 0 by the "
    "shorter list; np.expand_dims counts it by the new shape.",
)


def _inserted_times_ones(g: Any, option: Any, x: Any) -> Any:
    return _put_back(g, option) * np.ones(x.data.shape)


wrong_tensor(*BELOW)(_spread_by(_inserted, "sum", "mean"))
for _spread in (_inserted, _inserted_times_ones):
    for _ops in (("sum",), ("mean",)):
        another_way(BELOW[0])(_spread_by(_spread, *_ops))


def _always(g: Any, option: Any, x: Any) -> Any:
    axis, _ = option
    return np.broadcast_to(g if axis is None else np.expand_dims(g, axis), x.data.shape)


wrong_tensor(
    "axis put back where keepdims kept it",
    "The gradient of a sum gets a new axis, with keepdims=True, too, which has kept it.",
)(_spread_by(_always, "sum", "mean"))


def _to_first(g: Any, option: Any, x: Any) -> Any:
    axis, keepdims = option
    put = axis is not None and not keepdims
    return np.broadcast_to(np.expand_dims(g, 0) if put else g, x.data.shape)


another_way(LOST[0])(_spread_by(_to_first, "sum", "mean"))

# Which axis --------------------------------------------------------------------------------------

ZERO = (
    "axis 0 taken for none",
    "`if axis` is false for axis 0, too, so that a sum over it is taken over everything; ask "
    "`axis is not None`.",
)


def _axis_0(*ops: str) -> type[Right]:
    class _AxisZero(Right):
        def sum(self, axis: int | None = None, keepdims: bool = False) -> Any:
            return super().sum((axis or None) if "sum" in ops else axis, keepdims)

        def mean(self, axis: int | None = None, keepdims: bool = False) -> Any:
            return super().mean((axis or None) if "mean" in ops else axis, keepdims)

    _AxisZero.ops = ops  # type: ignore[attr-defined]
    return _AxisZero


wrong_tensor(*ZERO, *VALUES)(_axis_0("sum", "mean"))
for _ops in (("sum",), ("mean",)):
    another_way(ZERO[0], *VALUES)(_axis_0(*_ops))


@another_way(ZERO[0], *VALUES)
class _AxisZeroComposed(Composed):
    ops = ("sum", "mean")

    def sum(self, axis: int | None = None, keepdims: bool = False) -> Any:
        return super().sum(axis or None, keepdims)


def _without_keepdims(*ops: str) -> type[Right]:
    class _NotKept(Right):
        def sum(self, axis: int | None = None, keepdims: bool = False) -> Any:
            return super().sum(axis, keepdims and "sum" not in ops)

        def mean(self, axis: int | None = None, keepdims: bool = False) -> Any:
            return super().mean(axis, keepdims and "mean" not in ops)

    _NotKept.ops = ops  # type: ignore[attr-defined]
    return _NotKept


NOT_KEPT = (
    "keepdims ignored",
    "A sum or mean with keepdims=True loses its axis; it must keep it with length 1.",
)
wrong_tensor(*NOT_KEPT, *VALUES)(_without_keepdims("sum", "mean"))
for _ops in (("sum",), ("mean",)):
    another_way(NOT_KEPT[0], *VALUES)(_without_keepdims(*_ops))


@wrong_tensor(
    "mean() without an axis fails",
    "mean() takes the length of an axis, of which there is none without one; it is over all then.",
)
class _NoAxis(Right):
    ops = ("mean",)

    def mean(self, axis: int | None = None, keepdims: bool = False) -> Any:
        if axis is None:
            raise TypeError("tuple indices must be integers or slices, not NoneType")
        return super().mean(axis, keepdims)


# What a mean is divided by -----------------------------------------------------------------------


def _divided_by(name: str, sentence: str, *numbers: Callable[[Any, Any, Any], Any]) -> None:
    for place, number in enumerate(numbers):
        slope, value = _counted(number)
        for tensor, outputs in ((slope, ("grads",)), (value, VALUES)):
            if place:
                another_way(name, *outputs)(tensor)
            else:
                wrong_tensor(name, sentence, *outputs)(tensor)


def _counted(number: Callable[[Any, Any, Any], Any]) -> tuple[type[Right], type[Right]]:
    """Return the class with a wrong number in the gradient, and that with it in the value, too."""

    class _Slope(Right):
        def count(self, option: Any, x: Any) -> Any:
            return number(option[0], x.data, self.data) if self.op == "mean" else 1

    class _Value(_Slope):
        def mean(self, axis: int | None = None, keepdims: bool = False) -> Any:
            total = self.data.sum(axis=axis, keepdims=keepdims)
            y = total / number(axis, self.data, total)
            return self.made("mean", y, self, option=(axis, keepdims))

    for tensor in (_Slope, _Value):
        tensor.ops = ("mean",)  # type: ignore[attr-defined]
    return _Slope, _Value


def _by_all(axis: Any, x: Any, y: Any) -> Any:
    return x.size


def _by_first(axis: Any, x: Any, y: Any) -> Any:
    return len(x) if x.ndim else 1


def _by_last(axis: Any, x: Any, y: Any) -> Any:
    return x.shape[-1] if x.ndim else 1


def _by_first_of_axis(axis: Any, x: Any, y: Any) -> Any:
    return x.size if axis is None else len(x)


def _by_last_of_axis(axis: Any, x: Any, y: Any) -> Any:
    return x.size if axis is None else x.shape[-1]


def _by_other(axis: Any, x: Any, y: Any) -> Any:
    return x.size if axis is None else max(x.size // x.shape[axis], 1)


def _by_results(axis: Any, x: Any, y: Any) -> Any:
    return np.size(y)


IS_OVER = "it is divided by the number that it is over."
_divided_by(
    "mean over an axis divided by the number of all",
    "A mean over an axis divides by that axis's length, not by the number of all entries.",
    _by_all,
)
_divided_by(
    "mean divided by the length of the first axis",
    f"A mean is divided by len(x); {IS_OVER}",
    _by_first,
    _by_first_of_axis,
)
_divided_by(
    "mean divided by the length of the last axis",
    f"A mean is divided by x.shape[-1]; {IS_OVER}",
    _by_last,
    _by_last_of_axis,
)
_divided_by(
    "mean over an axis divided by the length of the other axes",
    f"A mean over an axis is divided by the number of its results; {IS_OVER}",
    _by_other,
)
_divided_by(
    "mean divided by the number of its results",
    f"A mean is divided by the size of the result; {IS_OVER}",
    _by_results,
)

# Shapes ------------------------------------------------------------------------------------------


@wrong_tensor(
    "gradient of reshape in column-major order",
    "reshape hands its gradient back with order='F'; it must be in the order of the forward.",
)
class _ReshapeColumns(Right):
    def d_reshape(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (np.reshape(g, x.data.shape, order="F"),)


def _columns(back: str) -> type[Right]:
    class _ColumnMajor(Right):
        ops = ("reshape",)

        def reshape(self, *shape: Any) -> Any:
            shape = shape[0] if len(shape) == 1 else shape
            return self.made("reshape", self.data.reshape(shape, order="F"), self)

        def d_reshape(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
            return (np.reshape(g, x.data.shape, order=back),)  # type: ignore[call-overload]

    return _ColumnMajor


COLUMNS = (
    "reshape in column-major order",
    "reshape takes the numbers column by column (order='F'); NumPy's takes them row by row.",
)
wrong_tensor(*COLUMNS, *VALUES)(_columns("F"))
another_way(COLUMNS[0], *VALUES)(_columns("C"))


@wrong_tensor(
    "order of axes undone by .T",
    "The gradient of transpose(*order) gets all axes turned round; it must be undone by "
    "np.argsort(order).",
)
class _TransposeTurned(Right):
    def d_transpose(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g.T,)


@wrong_tensor(
    "order of axes undone by an exchange of the last two",
    "The gradient of transpose(*order) gets its last two axes exchanged; it must be undone by "
    "np.argsort(order).",
)
class _TransposeSwapped(Right):
    def d_transpose(self, g: Any, y: Any, option: Any, x: Any) -> Grads:
        return (g.swapaxes(-1, -2),)
