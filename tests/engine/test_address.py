"""Kernels take vectors from and to memory that their array's type vouches for, or not at all."""

from __future__ import annotations

import numpy as np
import pytest

numba = pytest.importorskip("numba", reason="numba is not installed (extra fast)")

from minideconv.engine.cpu.compiled import selections, streams, tiles, transpose, vectors  # noqa: E402 (needs numba)

# compiled anew each time: kernels of the library may come from the disk
load, load_part, load_taps = vectors.load, vectors.load_part, selections.load_taps
store, store_part, store_taps = vectors.store, vectors.store_part, selections.store_taps
store_between = vectors.store_between
tile_zeros, tile_load, tile_store = tiles.tile_zeros, tiles.tile_load, tiles.tile_store
tile_add, tile_fma, tile_slide = tiles.tile_add, tiles.tile_fma, tiles.tile_slide
tile_store_part, tile_store_between = tiles.tile_store_part, tiles.tile_store_between
tile_stream = tiles.tile_stream
stream, splat, turn = streams.stream, vectors.splat, transpose.transpose

# from a, or from a and b
READS = {
    "load": lambda a, b, c: store(c, 0, load(a, 0)),
    "load_part": lambda a, b, c: store(c, 0, load_part(a, 0, 3)),
    "tile_load": lambda a, b, c: tile_store(2, 1, tile_load(2, 1, a, 0, 16), c, 0, 16),
    "tile_add": lambda a, b, c: tile_store(
        1, 1, tile_add(1, 1, tile_zeros(1, 1), a, 0, 16), c, 0, 1
    ),
    "tile_fma a": lambda a, b, c: tile_store(
        1, 1, tile_fma(1, 1, tile_zeros(1, 1), a, 0, 1, b, 0), c, 0, 1
    ),
    "tile_fma b": lambda a, b, c: tile_store(
        1, 1, tile_fma(1, 1, tile_zeros(1, 1), b, 0, 1, a, 0), c, 0, 1
    ),
    "tile_slide a": lambda a, b, c: tile_store(
        1, 1, tile_slide(1, 1, 1, tile_zeros(1, 1), a, 0, 1, b, 0, 16), c, 0, 1
    ),
    "tile_slide b": lambda a, b, c: tile_store(
        1, 1, tile_slide(1, 1, 1, tile_zeros(1, 1), b, 0, 1, a, 0, 16), c, 0, 1
    ),
    "transpose": lambda a, b, c: turn(a, 0, 16, c, 0, 16),
}
# to c
WRITES = {
    "store": lambda a, b, c: store(c, 0, load(a, 0)),
    "store_part": lambda a, b, c: store_part(c, 0, load(a, 0), 3),
    "store_between": lambda a, b, c: store_between(c, 0, load(a, 0), 1, 3),
    "tile_store": lambda a, b, c: tile_store(2, 1, tile_load(2, 1, a, 0, 16), c, 0, 16),
    "tile_store_part": lambda a, b, c: tile_store_part(
        2, 1, tile_load(2, 1, a, 0, 16), c, 0, 16, 2, 16
    ),
    "tile_store_between": lambda a, b, c: tile_store_between(
        2, 1, tile_load(2, 1, a, 0, 16), c, 0, 16, 2, 16, 0, 32
    ),
    "stream": lambda a, b, c: stream(c, 0, splat(np.float32(1))),
    "tile_stream": lambda a, b, c: tile_stream(1, 1, tile_zeros(1, 1), c, 0, 16),
    "transpose": lambda a, b, c: turn(a, 0, 16, c, 0, 16),
}


def room(dtype=np.float32):
    bytes_ = np.zeros(4096 + 64, np.uint8)
    start = -bytes_.ctypes.data % 64
    return bytes_[start : start + 4096].view(dtype)


@pytest.mark.parametrize("name", READS)
def test_a_strided_array_is_an_error_and_not_read_as_other_numbers(name):
    kernel = numba.njit(READS[name])
    for strided in (room()[::2], room()[::-1], np.broadcast_to(np.float32(1), 1024)):
        with pytest.raises(numba.TypingError, match="it must be contiguous and flat"):
            kernel(strided, room(), room())
    with pytest.raises(numba.TypingError, match="it must be contiguous and flat"):
        kernel(room().reshape(2, -1), room(), room())
    kernel(room(), room(), room())


@pytest.mark.parametrize("name", WRITES)
def test_a_write_to_a_read_only_or_strided_array_is_an_error(name):
    kernel = numba.njit(WRITES[name])
    read_only = room()
    read_only.flags.writeable = False
    with pytest.raises(numba.TypingError, match="it must not be read-only"):
        kernel(room(), room(), read_only)
    with pytest.raises(numba.TypingError, match="it must be contiguous and flat"):
        kernel(room(), room(), room()[::2])
    kernel(read_only, read_only, room())


def test_switches_are_held_to_the_same():
    copy = numba.njit(lambda a, c: store_taps(c, 0, load_taps(a, 0)))
    read_only = room(np.uint8)
    read_only.flags.writeable = False
    for pair in ((room(np.uint8)[::2], room(np.uint8)), (room(np.uint8), room(np.uint8)[::2])):
        with pytest.raises(numba.TypingError, match="it must be contiguous and flat"):
            copy(*pair)
    with pytest.raises(numba.TypingError, match="it must not be read-only"):
        copy(room(np.uint8), read_only)
    copy(read_only, room(np.uint8))
