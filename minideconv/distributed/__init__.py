"""Several processes that train one network: how they find each other and communicate."""

from minideconv.distributed.agreement import check_same, on_rank_zero
from minideconv.distributed.communicator import Communicator, Single
from minideconv.distributed.find import connect, processes
from minideconv.distributed.mpi import Mpi
from minideconv.distributed.nccl import Nccl
from minideconv.distributed.shutdown import run_processes
from minideconv.distributed.waiting import PeerLost

__all__ = [
    "Communicator",
    "Mpi",
    "Nccl",
    "PeerLost",
    "Single",
    "check_same",
    "connect",
    "on_rank_zero",
    "processes",
    "run_processes",
]
