"""PyTorch's ``.pth``: what ``torch.save`` wrote, in its zip form and in the one before 1.6.

* The zip form: ``NAME/data.pkl``, a pickle with everything but the numbers, which are in
  ``NAME/data/KEY``; ``NAME/byteorder`` says how.
* The legacy form: five pickles in a row (a magic number, a version, the machine, the content, the
  keys of the storages), then for each key the number of values in 8 bytes, and the values.

The pickles are read by `pickles.read_pickle`, which runs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minideconv.interop.arrays import ITEM_BYTES, ByteOrder, as_numbers, as_stored, check_shape
from minideconv.interop.malformed import Malformed, shown
from minideconv.interop.pickles import Stored, TensorPlan, read_pickle
from minideconv.interop.zipped import Members

__all__ = ["LEGACY_START", "read_legacy", "read_zipped"]

LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The pickle of the magic number, with which a file of the legacy form begins."""

_DEEPEST = 16
# What all tensors together may take, as a multiple of the file: they may share their storages, and
# a tensor may repeat one value by a stride of 0, so a small file could claim any size.
_MOST_GROWTH = 4

Read = Callable[[Stored], np.ndarray]


def read_zipped(members: Members, size: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the tensors of a file in the zip form, by their names joined with dots.

    Raises
    ------
    Malformed
        If it holds anything but tensors and plain values, or is damaged.
    """
    pickles = [
        name for name in members.names if name.count("/") == 1 and name.endswith("/data.pkl")
    ]
    if len(pickles) != 1:
        raise Malformed(f"the zip archive has {len(pickles)} members data.pkl; one is right")
    prefix = pickles[0].removesuffix("data.pkl")
    if f"{prefix}constants.pkl" in members:
        raise Malformed(
            "it is a TorchScript program; save the model's state_dict() with torch.save instead"
        )
    order: ByteOrder = "<"
    if f"{prefix}byteorder" in members:
        word = bytes(members[f"{prefix}byteorder"][:8])
        if word not in (b"little", b"big"):
            raise Malformed(f"its byte order is {shown(word)}, neither little nor big")
        order = "<" if word == b"little" else ">"

    def read(stored: Stored) -> np.ndarray:
        content = members[f"{prefix}data/{stored.key}"]
        return _storage(content, stored, order)

    root, length = read_pickle(members[pickles[0]])
    return _arrays(root, read, size, _Left(length))


def read_legacy(data: memoryview) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the tensors of a file in the legacy form, by their names joined with dots.

    Raises
    ------
    Malformed
        If it holds anything but tensors and plain values, or is damaged.
    """
    parts, rest, pickled = [], data, 0
    for _ in range(5):
        value, length = read_pickle(rest)
        parts.append(value)
        rest, pickled = rest[length:], pickled + length
    _, version, machine, root, keys = parts
    if version != 1001:
        raise Malformed("it is of another version of PyTorch's legacy form than 1001")
    little = machine.get("little_endian", True) if isinstance(machine, dict) else True
    order: ByteOrder = "<" if little else ">"
    sizes = {plan.stored.key: plan.stored for _, plan in _tensors(root, _Left(pickled))}
    storages: dict[str, np.ndarray] = {}
    for key in keys if isinstance(keys, list) else []:
        if not isinstance(key, str) or key not in sizes or key in storages:
            raise Malformed("its list of storages has one that belongs to no tensor")
        stored, count = sizes[key], int.from_bytes(rest[:8], "little" if little else "big")
        end = 8 + count * ITEM_BYTES[stored.dtype]
        if count != stored.length or end > len(rest):
            raise Malformed(
                f"storage {shown(key)} claims {count:,} values; {stored.length:,} belong there"
                f" and {max(0, len(rest) - 8):,} bytes are left"
            )
        storages[key] = _storage(rest[8:end], stored, order)
        rest = rest[end:]

    def read(stored: Stored) -> np.ndarray:
        if stored.key not in storages or stored != sizes[stored.key]:
            raise Malformed(f"storage {shown(stored.key)} is not in the file")
        return storages[stored.key]

    return _arrays(root, read, len(data), _Left(pickled))


class _Left:
    """How many values may still be looked at.

    A value takes a byte of the pickle at least. But one that stands in ten lists, each of which
    stands in ten lists, and so on, is many.
    """

    def __init__(self, length: int) -> None:
        self.count = 2 * length


def _tensors(value: Any, left: _Left, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the tensors in dictionaries and lists, by their names joined with dots."""
    left.count -= 1
    if depth > _DEEPEST or left.count < 0:
        raise Malformed(f"its dictionaries are nested deeper than {_DEEPEST}, or in one another")
    if isinstance(value, TensorPlan):
        yield name or "tensor", value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _tensors(inner, left, f"{name}.{key}" if name else str(key), depth + 1)
    elif isinstance(value, list | tuple) and not isinstance(value, Stored):
        for index, inner in enumerate(value):
            yield from _tensors(inner, left, f"{name}.{index}" if name else str(index), depth + 1)


def _arrays(
    root: Any, read: Read, size: int, places: _Left
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays of all tensors, and short plain values that stand beside them."""
    arrays: dict[str, np.ndarray] = {}
    made: dict[TensorPlan, np.ndarray] = {}
    storages: dict[Stored, np.ndarray] = {}
    left = _MOST_GROWTH * size
    for name, plan in _tensors(root, places):
        if name in arrays:
            raise Malformed(f"two tensors are both called {shown(name)}")
        if plan not in made:  # tied weights are one array, as they were one tensor
            _check(plan, name)
            left -= math.prod(plan.shape) * ITEM_BYTES[plan.stored.dtype]
            if left < 0:
                raise Malformed(
                    f"its tensors would take more than {_MOST_GROWTH} times the file's"
                    f" {size:,} bytes: {shown(name)} has shape {plan.shape}"
                )
            if plan.stored not in storages:
                storages[plan.stored] = read(plan.stored)
            made[plan] = as_numbers(_view(storages[plan.stored], plan), plan.stored.dtype)
        arrays[name] = made[plan]
    beside = root.items() if isinstance(root, dict) else ()
    plain = {str(key): str(value) for key, value in beside if isinstance(value, str | int | float)}
    return arrays, {key: value for key, value in plain.items() if len(value) < 200}


def _storage(content: memoryview, stored: Stored, byteorder: ByteOrder) -> np.ndarray:
    """Return the values of a storage where they are, without a copy."""
    if len(content) != stored.length * ITEM_BYTES[stored.dtype]:
        raise Malformed(
            f"storage {shown(stored.key)} of {stored.length:,} {stored.dtype} has"
            f" {len(content):,} bytes"
        )
    return as_stored(content, stored.dtype, byteorder)


def _check(plan: TensorPlan, name: str) -> None:
    """Refuse a tensor that reaches out of its storage."""
    what = f"tensor {shown(name)}"
    check_shape(plan.shape, what)
    if len(plan.stride) != len(plan.shape) or plan.offset < 0 or min(plan.stride, default=0) < 0:
        raise Malformed(f"{what} has the strides {plan.stride} for the shape {plan.shape}")
    steps = sum((n - 1) * step for n, step in zip(plan.shape, plan.stride, strict=True))
    if 0 not in plan.shape and plan.offset + steps >= plan.stored.length:
        raise Malformed(
            f"{what} of shape {plan.shape} and strides {plan.stride} at {plan.offset} reaches out"
            f" of its storage of {plan.stored.length:,} values"
        )


def _view(storage: np.ndarray, plan: TensorPlan) -> np.ndarray:
    """Return what a tensor sees of its storage, which `_check` has found to be within it."""
    if 0 in plan.shape:
        return np.empty(plan.shape, storage.dtype)
    # The stride along a single element is never walked; it may be any number.
    steps = [step if n > 1 else 0 for n, step in zip(plan.shape, plan.stride, strict=True)]
    strides = [step * storage.itemsize for step in steps]
    start = storage[plan.offset :]
    return np.lib.stride_tricks.as_strided(start, plan.shape, strides, writeable=False)
