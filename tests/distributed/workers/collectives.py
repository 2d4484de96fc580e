"""Every operation of a communicator, against what NumPy says. ARGUMENTS: cpu|gpu auto|mpi|nccl."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from minideconv.backend import parallel
from minideconv.distributed import check_same, find, from_first, mpi, processes
from minideconv.errors import MinideconvError, UsageError

TYPES = ("float32", "float64", "float16", "int64", "int32", "uint8")


def check(talk, xp, get):
    rank, size = talk.rank, talk.size
    for name in TYPES:
        own = np.arange(24).reshape(2, 3, 4) + rank
        total = sum(np.arange(24).reshape(2, 3, 4) + r for r in range(size))
        for order in ((0, 1, 2), (2, 0, 1)):
            array = xp.asarray(own.astype(name)).transpose(order)
            talk.all_reduce_(array)
            assert (get(array) == total.transpose(order)).all(), name
        array = xp.asarray(own.astype(name))[:, ::2]  # with holes
        talk.all_reduce_(array)
        assert (get(array) == total[:, ::2]).all(), name
        array = xp.full((3, 2), rank, name)
        talk.broadcast_(array, size - 1)
        assert (get(array) == size - 1).all(), name
        rows = talk.all_gather(xp.full((2, 2), rank, name))
        assert (get(rows) == np.arange(size)[:, None, None]).all(), name
    ends = xp.asarray([float(rank), -float(rank)])
    talk.all_reduce_(ends, "max")
    assert get(ends).tolist() == [size - 1, 0]
    nothing = xp.zeros((0, 4))
    talk.all_reduce_(nothing)
    number = np.array(rank)
    talk.all_reduce_(number)
    assert int(number) == sum(range(size))
    large = xp.full(600_001, rank + 1, np.float32)  # more than one bucket
    talk.all_reduce_(large)
    assert bool((large == size * (size + 1) // 2).all())


def same_bits(talk):
    """Rounding may depend on the order of a sum, but not on the process."""
    numbers = np.random.default_rng(talk.rank).standard_normal(1000)
    talk.all_reduce_(numbers)
    rows = talk.all_gather(numbers)
    assert (rows == rows[0]).all()


def agreement(talk):
    words = talk.exchange({"rank": talk.rank, "word": "é" * talk.rank})
    assert [word["rank"] for word in words] == list(range(talk.size))
    assert [len(word["word"]) for word in words] == list(range(talk.size))
    assert from_first(talk, lambda: talk.rank * 10 + 5) == 5
    with pytest.raises(MinideconvError, match="the disk is full") as error:
        from_first(talk, full)
    assert error.value.exit_code == 2
    with pytest.raises(MinideconvError, match="xxx: File name too long"):
        from_first(talk, lambda: Path("x" * 300).stat())
    with pytest.raises(UsageError, match="rank 1 has seed True but rank 0 has False"):
        check_same(talk, {"lr": 0.1, "seed": talk.rank == 1})
    check_same(talk, {"lr": 0.1})
    talk.barrier()


def full():
    raise UsageError("the disk is full")


if __name__ == "__main__":
    device, way = sys.argv[1:]
    mpi.BUCKET = 1_000_003
    talk = processes(20)
    spoken, place = find.equip(talk, device, way)
    check(spoken, np, np.asarray)
    if device == "gpu":
        import cupy

        check(spoken, cupy, cupy.asnumpy)
        spoken.settle()
    same_bits(spoken)
    agreement(spoken)
    assert talk.exchange(spoken.local_rank) == list(range(talk.size))
    together = len(set().union(*talk.exchange(sorted(parallel.cores()))))
    assert all(1 <= cores <= max(1, together // talk.size) for cores in talk.exchange(spoken.cores))
    if talk.rank == 0:
        print(type(spoken).__name__, "on", place, "fine")
    spoken.close()
