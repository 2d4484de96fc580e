"""What processes exchange, in processes that truly run."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.distributed import Single, check_same, on_rank_zero
from minideconv.errors import UsageError


@pytest.mark.parametrize("size", [2, 3, 4])
def test_collective_operations(worker, size):
    done = worker(size, "collectives.py", "cpu", "auto")
    assert done.code == 0, done.err
    assert done.out == "Mpi on cpu fine\n"


def test_a_single_process():
    comm = Single()
    array = np.arange(3.0)
    comm.all_reduce_(array)
    comm.broadcast_(array)
    assert array.tolist() == [0, 1, 2]
    rows = comm.all_gather(array)
    rows[0, 0] = 9
    assert rows.shape == (1, 3)
    assert array[0] == 0
    assert comm.all_gather_object({"a": 1}) == [{"a": 1}]
    check_same(comm, {"a": 1})
    with pytest.raises(UsageError, match="full"):
        on_rank_zero(comm, _full)
    comm.synchronize()
    comm.barrier()
    comm.close()


def _full():
    raise UsageError("full")
