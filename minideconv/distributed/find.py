"""`processes` finds out how this process was started, and which others were with it.

A launcher of MPI sets environment variables that give the number of processes. A plain run has no
such variable, is a `Single`, and imports nothing.
"""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

from minideconv.backend import Device, as_device, cupy, nccl
from minideconv.distributed.communicator import Communicator, Single
from minideconv.distributed.mpi import Mpi
from minideconv.distributed.nccl import Nccl
from minideconv.errors import AlreadyReported, DeviceError, MinideconvError, UsageError

__all__ = ["connect", "launched", "own_device", "processes"]

_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "PALS_NRANKS")
_LOCAL_RANKS = ("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK")
_NO_SIZE = "PMIX_RANK"  # a launcher that gives the size to MPI only


def launched() -> int:
    """Return how many processes the launcher announces; 1 without one, 0 if it gives no number.

    >>> launched()
    1
    """
    sizes = [int(os.environ[name]) for name in _SIZES if os.environ.get(name, "").isdigit()]
    return max(sizes) if sizes else int(_NO_SIZE not in os.environ)


def processes(limit: float = 300.0) -> Single | Mpi:
    """Return this process and the others that were started with it.

    Parameters
    ----------
    limit : float
        Seconds that a wait for the others may last.

    Raises
    ------
    UsageError
        If several processes were started and mpi4py or an MPI library is missing.
    """
    size = launched()
    if size == 1:
        return Single()
    world = _world(size)
    return Single() if world.size == 1 else Mpi(world, limit)


def connect(
    comm: Communicator, device: str = "cpu", communication: str = "auto"
) -> tuple[Any, Device]:
    """Return the communicator of processes that compute on `device`, and this one's device.

    Parameters
    ----------
    comm : Single or Mpi
        What `processes` returned.
    device : str
        "cpu", "gpu" or "auto"; for a single process also "gpu:N".
    communication : {"auto", "mpi", "nccl"}
        How arrays of GPUs travel: "auto" means by NCCL. With "mpi" they go through the memory of
        the CPU: slow, but several processes may then share a GPU.

    Returns
    -------
    (Communicator, Device)

    Raises
    ------
    DeviceError
        On all processes alike, if one of them has no GPU of its own, or no NCCL. The message begins
        with the argument that cannot be.
    """
    if not isinstance(comm, Mpi):
        return comm, as_device(device)
    wrong, own = "", as_device("cpu")
    try:
        own = own_device(device, comm.local_rank)
    except DeviceError as error:
        wrong = str(error)
    _agree(comm, wrong)
    kind = comm.all_gather_object(own.type)[0]
    other = f"device {device}: this process computes on the {own.type}, rank 0 on the {kind}"
    _agree(comm, "" if own.type == kind else other)
    if own.type == "cpu" or communication == "mpi":
        return comm, own
    _agree(comm, _nccl_problem())
    _agree(comm, _shared_gpu(comm.all_gather_object(_name_of(own))))
    return Nccl(comm, own.index), own


def own_device(device: str, local_rank: int) -> Device:
    """Return the device of a process: its own GPU, counted on its machine, or the CPU.

    Raises
    ------
    DeviceError
        If the name has the number of a GPU, which the processes cannot all have, or the machine has
        more processes than GPUs.
    """
    if ":" in device:
        raise DeviceError(f"device {device} names one GPU, but each process takes its own; use gpu")
    found = as_device(device)
    if found.type == "cpu":
        return found
    count = int(cupy().cuda.runtime.getDeviceCount())
    if count == 1:  # the launcher may show each process its own: `_shared_gpu` looks
        return Device("gpu", 0)
    if local_rank >= count:
        raise DeviceError(
            f"device gpu: this machine has {count} GPUs but at least {local_rank + 1} processes;"
            f" start {count} on it (mpiexec -ppn {count})"
        )
    return Device("gpu", local_rank)


def _world(size: int) -> Any:
    """Import mpi4py; return all processes."""
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise _error_of_local_rank_zero(
            f"{size or 'several'} processes were started by mpiexec but mpi4py is not installed"
            f" ({error}); pip install 'minideconv[distributed]'"
        ) from error
    except RuntimeError as error:  # mpi4py is there, but no MPI library
        first = str(error).strip().splitlines()[0]
        raise _error_of_local_rank_zero(
            f"mpi4py finds no MPI library ({first}); pip install mpich, and put the environment's"
            " bin folder on PATH"
        ) from error
    world = MPI.COMM_WORLD
    if size > world.size:
        library = MPI.Get_library_version().split(",")[0].split("\n")[0].strip()
        raise _error_of_local_rank_zero(
            f"mpiexec started {size} processes but mpi4py's MPI library ({library}) sees"
            f" {world.size}: mpiexec is of another MPI; use the one beside {sys.executable}"
        )
    return world


def _error_of_local_rank_zero(text: str) -> MinideconvError:
    """Return the error to raise without MPI: one process on each machine prints it."""
    number = next((os.environ[name] for name in _LOCAL_RANKS if name in os.environ), "0")
    return UsageError(text) if number == "0" else AlreadyReported(UsageError.exit_code)


def _agree(comm: Mpi, wrong: str) -> None:
    """Raise on all processes if something is wrong on one; the sentence ends with the rank."""
    texts = comm.all_gather_object(wrong)
    if any(texts):
        rank = next(r for r, text in enumerate(texts) if text)
        where = "" if all(text == texts[0] for text in texts) else f" (rank {rank})"
        raise DeviceError(texts[rank] + where)


def _nccl_problem() -> str:
    if nccl() is not None:
        return ""
    return (
        "communication nccl: several processes on GPUs need NCCL, which is not installed;"
        " pip install nvidia-nccl-cu12 (CUDA 13: nvidia-nccl-cu13), or use mpi"
    )


def _name_of(device: Device) -> str:
    """Name a GPU so that no other one in the world has the name."""
    return f"GPU {cupy().cuda.Device(device.index).pci_bus_id} of {platform.node()}"


def _shared_gpu(names: list[str]) -> str:
    """Return which processes have the same GPU, which NCCL does not allow; empty if none have."""
    for name in names:
        ranks = [r for r, other in enumerate(names) if other == name]
        if len(ranks) > 1:
            return (
                f"communication nccl: ranks {', '.join(map(str, ranks))} have the same {name}:"
                " there are more processes than GPUs; start fewer, or use mpi"
            )
    return ""
