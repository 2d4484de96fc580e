"""Files that were tampered with, and the bounds within which reading one must stay."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import numpy as np

from minideconv.errors import CheckpointError, UsageError
from minideconv.interop import describe, match, read_weights


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Return the content with one to four changes, of the kinds that mislead a parser most."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        place = int(rng.integers(len(data))) if data else 0
        kind = rng.integers(8)
        if kind == 0:  # a bit
            data[place : place + 1] = bytes(
                b ^ 1 << rng.integers(8) for b in data[place : place + 1]
            )
        elif kind == 1:  # a byte
            data[place : place + 1] = bytes(
                [rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)])]
            )
        elif kind == 2:  # a number that lies
            width = int(rng.choice([1, 2, 4, 8]))
            value = int(rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1]))
            data[place : place + width] = (value % 256**width).to_bytes(width, "little")
        elif kind == 3:  # cut off
            del data[place:]
        elif kind == 4:  # a piece is missing
            del data[place : place + int(rng.integers(1, 64))]
        elif kind == 5:  # a piece is there twice
            piece = data[place : place + int(rng.integers(1, 64))]
            data[place:place] = piece
        elif kind == 6:  # a piece of elsewhere
            other = int(rng.integers(len(data))) if data else 0
            data[place : place + 16] = data[other : other + 16]
        else:  # noise
            data[place : place + 8] = rng.bytes(8)
    return bytes(data)


def read_in_bounds(path: Path, factor: int = 60, seconds: float = 10.0) -> str:
    """Read a file, and do all that a command does with it; return what came of it, in a word.

    Raises AssertionError if reading took more memory or time than a file of its length may, or what
    was said is not one sentence; any exception but the library's own comes through.
    """
    size = path.stat().st_size
    began = time.process_time()
    tracemalloc.start()
    try:
        weights = read_weights(path)
        outcome = "read"
        match(weights)
        outcome = "matched"
    except (CheckpointError, UsageError) as error:
        said, outcome = str(error), locals().get("outcome", "refused")
        assert "\n" not in said
        assert len(said) < 1000
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    if outcome != "refused":
        assert "\x1b" not in describe(weights)
    assert peak < factor * size + (1 << 20), f"{peak:,} bytes for a file of {size:,}"
    assert time.process_time() - began < seconds
    return outcome
