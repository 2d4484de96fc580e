"""What batch normalisation refuses, with one sentence each, before anything is computed."""

from __future__ import annotations

from minideconv.backend import Array, check_writable
from minideconv.backend.checks import check_flag, check_number, shown

__all__ = ["check", "check_eps", "check_gradient", "check_options", "values_per_channel"]


def check_gradient(op: str, dy: Array, x: Array) -> None:
    """Raise unless `dy` is shaped like `x`."""
    if dy.shape != x.shape:
        raise ValueError(f"{op}: dy has shape {dy.shape} but x has shape {x.shape}")


def values_per_channel(x: Array) -> int:
    """Return M, the values of a channel; at least two, or there is no variance."""
    count: int = x.size // max(x.shape[1], 1)
    if count < 2:
        raise ValueError(
            f"batch_norm: x has shape {x.shape}, {count} value per channel, "
            "but the batch's own variance needs at least 2; "
            "use a larger batch or image, or training=False with running statistics"
        )
    return count


def check_options(op: str, momentum: float, eps: float) -> None:
    """Raise unless both are numbers in their range."""
    if type(momentum) is not float or not 0.0 <= momentum <= 1.0:
        check_number(op, "momentum", momentum, 0, 1, legal="in 0..1")
    if type(eps) is not float or not eps > 0.0:
        check_eps(op, eps)


def check_eps(op: str, eps: float) -> None:
    """Raise unless `eps` is a positive number."""
    check_number(op, "eps", eps, 0, above=True, legal="positive")


def _check_per_channel(name: str, array: Array, channels: tuple[int]) -> None:
    """Raise unless these are floating-point numbers, one per channel."""
    shape = getattr(array, "shape", None)
    if shape is None:
        raise TypeError(f"batch_norm: {name} is {shown(array)}; it must be an array")
    if shape != channels:
        raise ValueError(
            f"batch_norm: {name} has shape {shape} but x has {channels[0]} channels; "
            f"it must be {channels}"
        )
    if array.dtype.kind != "f":
        raise TypeError(f"batch_norm: {name} has dtype {array.dtype}; it must be floating point")


def check(
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None,
    bias: Array | None,
    momentum: float,
    eps: float,
    training: bool,
) -> None:
    """Raise unless these are legal arguments of `batch_norm`."""
    if x.ndim not in (2, 4):
        raise ValueError(f"batch_norm: x has shape {x.shape}; it must be (N, C, H, W) or (N, C)")
    if x.dtype.kind != "f" or x.dtype.itemsize not in (4, 8):
        raise TypeError(f"batch_norm: x has dtype {x.dtype}; it must be float32 or float64")
    if (running_mean is None) != (running_var is None):
        missing = "running_mean" if running_mean is None else "running_var"
        raise ValueError(
            f"batch_norm: {missing} is None but the other statistic is not; give both or neither"
        )
    channels = (x.shape[1],)
    running = (("running_mean", running_mean), ("running_var", running_var))
    for name, array in (*running, ("weight", weight), ("bias", bias)):
        if array is not None:
            _check_per_channel(name, array, channels)
    check_options("batch_norm", momentum, eps)
    if type(training) is not bool:
        check_flag("batch_norm", "training", training)
    if training:
        given = ((name, array) for name, array in running if array is not None)
        check_writable("batch_norm in training", given)
