"""Every operation of a communicator, against NumPy. ARGUMENTS: cpu|gpu auto|mpi|nccl."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from minideconv.backend import parallel
from minideconv.distributed import check_same, find, mpi, on_rank_zero, processes
from minideconv.errors import MinideconvError, UsageError

TYPES = ("float32", "float64", "float16", "int64", "int32", "uint8")


def check(comm, xp, get):
    rank, size = comm.rank, comm.size
    for name in TYPES:
        own = np.arange(24).reshape(2, 3, 4) + rank
        total = sum(np.arange(24).reshape(2, 3, 4) + r for r in range(size))
        for order in ((0, 1, 2), (2, 0, 1)):
            array = xp.asarray(own.astype(name)).transpose(order)
            comm.all_reduce_(array)
            assert (get(array) == total.transpose(order)).all(), name
        array = xp.asarray(own.astype(name))[:, ::2]  # with holes
        comm.all_reduce_(array)
        assert (get(array) == total[:, ::2]).all(), name
        array = xp.full((3, 2), rank, name)
        comm.broadcast_(array, size - 1)
        assert (get(array) == size - 1).all(), name
        rows = comm.all_gather(xp.full((2, 2), rank, name))
        assert (get(rows) == np.arange(size)[:, None, None]).all(), name
    ends = xp.asarray([float(rank), -float(rank)])
    comm.all_reduce_(ends, "max")
    assert get(ends).tolist() == [size - 1, 0]
    nothing = xp.zeros((0, 4))
    comm.all_reduce_(nothing)
    number = np.array(rank)
    comm.all_reduce_(number)
    assert int(number) == sum(range(size))
    large = xp.full(600_001, rank + 1, np.float32)  # more than one bucket
    comm.all_reduce_(large)
    assert bool((large == size * (size + 1) // 2).all())


def same_bits(comm):
    """Rounding may depend on the order of a sum, but not on the process."""
    numbers = np.random.default_rng(comm.rank).standard_normal(1000)
    comm.all_reduce_(numbers)
    rows = comm.all_gather(numbers)
    assert (rows == rows[0]).all()


def agreement(comm):
    words = comm.all_gather_object({"rank": comm.rank, "word": "é" * comm.rank})
    assert [word["rank"] for word in words] == list(range(comm.size))
    assert [len(word["word"]) for word in words] == list(range(comm.size))
    assert on_rank_zero(comm, lambda: comm.rank * 10 + 5) == 5
    with pytest.raises(MinideconvError, match="the disk is full") as error:
        on_rank_zero(comm, full)
    assert error.value.exit_code == 2
    with pytest.raises(MinideconvError, match="xxx: File name too long"):
        on_rank_zero(comm, lambda: Path("x" * 300).stat())
    with pytest.raises(UsageError, match="rank 1 has seed True but rank 0 has False"):
        check_same(comm, {"lr": 0.1, "seed": comm.rank == 1})
    check_same(comm, {"lr": 0.1})
    comm.barrier()


def full():
    raise UsageError("the disk is full")


if __name__ == "__main__":
    device, backend = sys.argv[1:]
    mpi.BUCKET = 1_000_003
    comm = processes(20)
    connected, own_device = find.connect(comm, device, backend)
    check(connected, np, np.asarray)
    if device == "gpu":
        import cupy

        check(connected, cupy, cupy.asnumpy)
        connected.synchronize()
    same_bits(connected)
    agreement(connected)
    assert comm.all_gather_object(connected.local_rank) == list(range(comm.size))
    together = len(set().union(*comm.all_gather_object(sorted(parallel.cores()))))
    assert all(
        1 <= cores <= max(1, together // comm.size)
        for cores in comm.all_gather_object(connected.cores)
    )
    if comm.rank == 0:
        print(type(connected).__name__, "on", own_device, "fine")
    connected.close()
