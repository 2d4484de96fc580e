"""Tiles: blocks of sums that stay in registers while matrices are multiplied.

A tile is R x Q vectors of sums, in R * Q registers; R and Q are constants::

    sums = tile_zeros(R, Q)
    sums = tile_load(R, Q, c, k, step)                      c[k + r * step + 16 q : ... + 16]
    sums = tile_add(R, Q, sums, c, k, step)                 sums + these
    sums = tile_at_least(R, Q, sums, low)                   no less than the number `low`
    sums = tile_fma(R, Q, sums, a, i, step, b, j)           one step of a product of matrices
    sums = tile_slide(R, Q, T, sums, a, i, step, b, j, hop) one step of a sliding window
    tile_slide_lanes(R, Q, T, ...)                          the same for vectors x: lane by lane
    tile_store(R, Q, sums, c, k, step)
    tile_store_part(R, Q, sums, c, k, step, rows, count)    what lies inside the result
    tile_store_between(R, Q, sums, c, k, step, rows, count, place, length)
                                                            and inside a line of it
    tile_stream(R, Q, sums, c, k, step)                     all, but past the caches

`tile_fma` adds the outer product of R numbers, ``a[i + r * step]``, and Q vectors, ``b[j + 16 q :
j + 16 q + 16]``. With R * Q around 16 to 28 (AVX-512 has 32 registers) each number loaded is used Q
times and each vector R times, and the processor's multipliers never wait: K. Goto and R. van de
Geijn, "Anatomy of high-performance matrix multiplication" (2008), section 4.

In `tile_slide` a number x[s] takes part in the sums of T neighbouring pixels, under the T taps of a
kernel's row. `tile_fma` would load it T times; here it is loaded once and used T Q times.
"""

from __future__ import annotations

from numba.core import types

from minideconv.engine.cpu.compiled.operation import (
    LANES,
    array,
    constant,
    float32,
    index,
    int64,
    operation,
    repeat,
    tile,
)
from minideconv.engine.cpu.compiled.vectors import (
    ZERO,
    fma,
    maximum,
    store_between,
    store_part,
)

__all__ = [
    "tile_add",
    "tile_at_least",
    "tile_fma",
    "tile_load",
    "tile_slide",
    "tile_slide_lanes",
    "tile_store",
    "tile_store_between",
    "tile_store_part",
    "tile_stream",
    "tile_zeros",
]


def _places(builder, R, Q, index, step):
    """Yield where the vectors of a tile begin, row by row."""
    for _ in range(R):
        for q in range(Q):
            yield builder.add(index, int64(LANES * q))
        index = builder.add(index, step)


@operation(tile(constant, constant))
def tile_zeros(builder, R, Q):
    """Return R x Q vectors of zeros."""
    return [ZERO] * (R * Q)


@operation(tile(constant, constant, array, index, index))
def tile_load(builder, R, Q, array, index, step):
    """Return ``array[index + r * step + 16 q : ... + 16]`` for each row r and column q."""
    return [array.load(place) for place in _places(builder, R, Q, index, step)]


@operation(tile(constant, constant, tile, array, index, index))
def tile_add(builder, R, Q, sums, array, index, step):
    """Add ``array[index + r * step + 16 q : ... + 16]`` to the sums (r, q)."""
    pairs = zip(sums, _places(builder, R, Q, index, step), strict=True)
    return [builder.fadd(value, array.load(place)) for value, place in pairs]


@operation(tile(constant, constant, tile, types.float32))
def tile_at_least(builder, R, Q, sums, low):
    """Return ``low if sum < low else sum`` for each: with 0 a ReLU, with -inf the sums."""
    least = repeat(builder, low)
    return [maximum.write(builder, value, least) for value in sums]


@operation(tile(constant, constant, constant, tile, array, index, index, array, index, index))
def tile_slide(builder, R, Q, T, sums, a, index, step, b, base, hop):
    """Add ``sum_t a[index + (r + t) * step] * b[base + t * hop + 16 q : ... + 16]`` to (r, q)."""
    vectors = [b.load(place) for place in _places(builder, T, Q, base, hop)]
    for s in range(R + T - 1):
        number = repeat(builder, a.load(index, float32))
        index = builder.add(index, step)
        for t in range(max(0, s - R + 1), min(T, s + 1)):
            for q in range(Q):
                at = (s - t) * Q + q
                sums[at] = fma.write(builder, number, vectors[t * Q + q], sums[at])
    return sums


@operation(tile(constant, constant, constant, tile, array, index, index, array, index, index))
def tile_slide_lanes(builder, R, Q, T, sums, a, index, step, b, base, hop):
    """Add ``sum_t a[index + (r + t) * step + 16 q : ...] * b[base + t * hop + 16 q : ...]``.

    Lane by lane: each channel has its own weight, and is its own sum.
    """
    vectors = [b.load(place) for place in _places(builder, T, Q, base, hop)]
    places = list(_places(builder, R + T - 1, Q, index, step))
    for s in range(R + T - 1):
        for q in range(Q):
            pixel = a.load(places[s * Q + q])
            for t in range(max(0, s - R + 1), min(T, s + 1)):
                at = (s - t) * Q + q
                sums[at] = fma.write(builder, pixel, vectors[t * Q + q], sums[at])
    return sums


@operation(tile(constant, constant, tile, array, index, index, array, index))
def tile_fma(builder, R, Q, sums, a, index, step, b, base):
    """Add ``a[index + r * step] * b[base + 16 q : ... + 16]`` to the sums (r, q)."""
    return tile_slide.write(builder, R, Q, 1, sums, a, index, step, b, base, base)


@operation(types.void(constant, constant, tile, array, index, index))
def tile_store(builder, R, Q, sums, array, index, step):
    """``array[index + r * step + 16 q : ... + 16] = sums[r, q]``."""
    for value, place in zip(sums, _places(builder, R, Q, index, step), strict=True):
        array.store(place, value)


@operation(types.void(constant, constant, tile, array, index, index))
def tile_stream(builder, R, Q, sums, array, index, step):
    """`tile_store` past the caches (see `streams`); every place is a multiple of 64 bytes."""
    for value, place in zip(sums, _places(builder, R, Q, index, step), strict=True):
        array.store(place, value, past=True)


@operation(types.void(constant, constant, tile, array, index, index, index, index))
def tile_store_part(builder, R, Q, sums, array, index, step, rows, count):
    """Store the first `count` numbers of the first `rows` rows; writes nothing else."""
    for number, at in enumerate(_places(builder, R, Q, index, step)):
        r, q = divmod(number, Q)
        inside = builder.select(builder.icmp_signed("<", int64(r), rows), count, int64(0))
        part = builder.sub(inside, int64(LANES * q))
        store_part.write(builder, array, at, sums[number], part)


@operation(types.void(constant, constant, tile, array, index, index, index, index, index, index))
def tile_store_between(builder, R, Q, sums, array, index, step, rows, count, place, length):
    """`tile_store_part`, and of that only what is within a line of `length` numbers.

    The tile begins at `place` of the line, which may be before it.
    """
    for number, at in enumerate(_places(builder, R, Q, index, step)):
        r, q = divmod(number, Q)
        inside = builder.select(builder.icmp_signed("<", int64(r), rows), count, int64(0))
        here = builder.add(place, builder.sub(at, index))
        rest = builder.sub(length, here)
        part = builder.sub(inside, int64(LANES * q))
        part = builder.select(builder.icmp_signed("<", part, rest), part, rest)
        store_between.write(builder, array, at, sums[number], builder.neg(here), part)
