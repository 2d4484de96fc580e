"""Several processes that train one network: who they are, and what they say to each other."""

from minideconv.distributed.agreement import check_same, from_first
from minideconv.distributed.communicator import Communicator, Single
from minideconv.distributed.ending import run_together
from minideconv.distributed.find import communicator, equip, processes
from minideconv.distributed.mpi import Mpi
from minideconv.distributed.nccl import Nccl
from minideconv.distributed.waiting import PeerLost

__all__ = [
    "Communicator",
    "Mpi",
    "Nccl",
    "PeerLost",
    "Single",
    "check_same",
    "communicator",
    "equip",
    "from_first",
    "processes",
    "run_together",
]
