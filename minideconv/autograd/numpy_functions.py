"""NumPy's own functions on a Tensor: refused in a sentence that names what to use in their place.

``np.concatenate([x, y])`` would convert the tensors, compute on plain arrays, and return one: the
gradients would be lost without a word. So a Tensor answers both of NumPy's protocols itself:

``__array_ufunc__``     ``np.exp(x)``, and every operator with an array on its left: ``array + x``
                        is ``np.add(array, x)``, and has to become the recorded `elementwise.add`
``__array_function__``  ``np.where``, ``np.dot``, ``np.sum`` and the other functions

What only looks, or has no gradient (`WITHOUT_GRADIENT`), computes on the plain arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minideconv.autograd.tensor import Tensor

__all__ = ["INSTEAD", "WITHOUT_GRADIENT", "refuse_function", "ufunc_of"]

INSTEAD = {
    "absolute": "x.abs()",
    "amax": "x.max(axis=axis)",
    "amin": "x.min(axis=axis)",
    "astype": "x.astype(dtype)",
    "broadcast_to": "x.broadcast_to(shape)",
    "clip": "x.clip(minimum, maximum)",
    "concat": "md.cat(tensors, dim)",
    "concatenate": "md.cat(tensors, dim)",
    "copy": "x.clone()",
    "cos": "x.cos()",
    "cumsum": "x.cumsum(dim)",
    "diag": "x.diag(diagonal)",
    "dot": "a @ b",
    "einsum": "permute, * and @",
    "exp": "x.exp()",
    "expand_dims": "x.unsqueeze(dim)",
    "flip": "x.flip(dims)",
    "floor_divide": "a // b",
    "inner": "a @ b.T",
    "log": "x.log()",
    "max": "x.max(axis=axis)",
    "maximum": "md.maximum(a, b)",
    "mean": "x.mean(axis)",
    "min": "x.min(axis=axis)",
    "minimum": "md.minimum(a, b)",
    "moveaxis": "x.permute(axes)",
    "negative": "-x",
    "norm": "x.norm(dim=dim)",
    "permute_dims": "x.permute(axes)",
    "prod": "x.prod(axis)",
    "ravel": "x.flatten()",
    "remainder": "a % b",
    "repeat": "x.expand(shape)",
    "reshape": "x.reshape(shape)",
    "sin": "x.sin()",
    "sqrt": "x.sqrt()",
    "square": "x * x",
    "squeeze": "x.squeeze(dim)",
    "stack": "md.stack(tensors, dim)",
    "std": "x.std(axis)",
    "sum": "x.sum(axis)",
    "swapaxes": "x.swapaxes(i, j)",
    "tanh": "x.tanh()",
    "tensordot": "reshape and @",
    "tile": "x.repeat(counts)",
    "transpose": "x.permute(axes)",
    "var": "x.var(axis)",
    "vdot": "(a * b).sum()",
    "where": "md.where(condition, a, b)",
}
"""What takes the place of a function of NumPy's, by its name."""

WITHOUT_GRADIENT = frozenset({
    "allclose", "argmax", "argmin", "argsort", "array2string", "array_equal", "array_equiv",
    "array_repr", "array_str", "can_cast", "common_type", "count_nonzero", "empty_like",
    "full_like", "iscomplexobj", "isclose", "isfinite", "isinf", "isnan", "isrealobj",
    "may_share_memory", "ndim", "nonzero", "ones_like", "result_type", "save", "savetxt", "savez",
    "savez_compressed", "shape", "shares_memory", "signbit", "size", "zeros_like",
})  # fmt: skip
"""Functions of NumPy's that have no gradient to lose."""


def ufunc_of(operators: dict[Any, Callable[..., Any]]) -> Callable[..., Any]:
    """Make ``__array_ufunc__``: `operators` has what computes each operator that is there."""

    def array_ufunc(tensor: Tensor, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        operation = operators.get(ufunc)
        if operation is not None and method == "__call__" and not options:
            return operation(*inputs)
        if ufunc.__name__ in WITHOUT_GRADIENT and method == "__call__" and not options:
            return ufunc(*map(_plain, inputs))
        if any(isinstance(out, Tensor) for out in options.get("out", ())):
            raise TypeError(
                f"np.{ufunc.__name__}: out is a Tensor, and the tape cannot record what NumPy"
                " writes there; compute a new tensor"
            )
        if operation is not None and options.get("out") is not None:
            raise TypeError(
                f"np.{ufunc.__name__}: an array cannot be changed in place with a Tensor, whose"
                " gradients would be lost; compute a new tensor, as in a = a + x, or use x.numpy()"
            )
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        raise _refusal(name)

    return array_ufunc


def refuse_function(
    tensor: Tensor, function: Callable[..., Any], types: Any, args: Any, options: Any
) -> Any:
    """Be ``__array_function__``: raise, unless `function` has no gradient to lose."""
    if function.__name__ in WITHOUT_GRADIENT:
        return function(*map(_plain, args), **{name: _plain(v) for name, v in options.items()})
    raise _refusal(function.__name__, function.__module__.partition("numpy")[2])


def _refusal(name: str, module: str = "") -> TypeError:
    where = f"np{module}.{name}" if module in (".linalg", ".fft") else f"np.{name}"
    instead = INSTEAD.get(name)
    use = f"use {instead}, or {where}" if instead else f"where no gradient is needed, use {where}"
    return TypeError(
        f"{where}: a function of NumPy's would lose the gradients of a Tensor; {use} of x.numpy()"
    )


def _plain(value: Any) -> Any:
    """Return `value` with its tensors as NumPy arrays."""
    if isinstance(value, Tensor):
        return value.numpy()
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value
    return value
