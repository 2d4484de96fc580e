"""How training would scale on many GPUs, by arithmetic: `Cluster`, `Step`, `efficiency`.

Nothing here is measured. A step of n GPUs, 64 images each, takes

    t(n) = compute + optimiser + what of the communication is not hidden

*Gradients.* All n processes need the sum of G bytes. Inside a node of g GPUs each GPU first gets
the sum of one g-th of them (a ring over NVLink: ``(g - 1) / g * G`` bytes through each link), then
the nodes add up these parts (G / g bytes, twice through each network card, by a ring or a double
binary tree), then the parts go round in the node again::

    2(g - 1) / g * G / nvlink + 2(m - 1) / m * G / g / network + steps * latency

with m = n / g nodes; steps are 2 (m - 1) for a ring and 2 log2(m) for a tree.

*Batch norm.* Each layer gathers (1 + 2 C) doubles from every GPU forward and adds up 2 C doubles
backward. A gathering is a ring: n - 1 hops, each with a latency, and with all rows through each
link.

Source: P. Patarasuk, X. Yuan, "Bandwidth optimal all-reduce algorithms for clusters of
workstations" (2009); P. Sanders, J. Speck, J. Träff, "Two-tree algorithms for full bandwidth
broadcast, reduction and scan" (2009).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmarks.gpu_model import H200, Rates, step_work
from benchmarks.layers import layers_of
from benchmarks.plans import Net

__all__ = ["CLUSTER", "SIZES", "Cluster", "Scaling", "scaling"]

SIZES = (1, 8, 16, 32, 64, 128, 256, 512, 1024)
PRECISIONS = ("fp32", "tf32", "bf16")
REACHED = 0.6
"""What of a floor's rate a step is taken to reach; a slower step would hide more communication."""


@dataclass(frozen=True)
class Cluster:
    """Machines of several GPUs. Bytes per second are those of one GPU, in one direction."""

    gpus: int = 8
    nvlink: float = 360e9
    """80 % of NVLink 4's 450 GB/s."""
    network: float = 42e9
    """85 % of a 400 Gbit/s card for each GPU (InfiniBand NDR)."""
    nvlink_latency: float = 3e-6
    network_latency: float = 10e-6
    """Seconds of one hop, software included."""

    def all_reduce(self, nbytes: float, n: int) -> float:
        """Seconds until n GPUs have the sum of `nbytes`, by the better of ring and tree."""
        inside = min(n, self.gpus)
        time = 2 * (inside - 1) * (nbytes / inside / self.nvlink + self.nvlink_latency)
        nodes = math.ceil(n / self.gpus)
        if nodes > 1:
            part = nbytes / inside
            ring = 2 * (nodes - 1) * (part / nodes / self.network + self.network_latency)
            hops = 2 * math.ceil(math.log2(nodes))
            time += min(ring, 2 * part / self.network + hops * self.network_latency)
        return time

    def all_gather(self, nbytes: float, n: int) -> float:
        """Seconds until n GPUs have all the `nbytes` that each of them has: a ring."""
        inside, nodes = min(n, self.gpus), math.ceil(n / self.gpus)
        hops = (n - nodes) * self.nvlink_latency + (nodes - 1) * self.network_latency
        slowest = self.nvlink if nodes == 1 else self.network * inside
        return hops + (n - 1) * nbytes / slowest


CLUSTER = Cluster()


@dataclass(frozen=True)
class Scaling:
    """One row: seconds of each part of a step of `n` GPUs."""

    n: int
    compute: float
    gradients: float
    batch_norm: float
    batch_norm_sums: float
    """The same if the statistics were sums (about the running mean) and not gathered."""

    @property
    def plain(self) -> float:
        """Seconds of a step as the program takes it: one after the other."""
        return self.compute + self.gradients + self.batch_norm

    @property
    def overlapped(self) -> float:
        """Seconds if gradients travelled while the backward pass, two thirds of it all, goes on."""
        return self.compute + max(0.0, self.gradients - self.compute * 2 / 3) + self.batch_norm

    def efficiency(self, overlapped: bool = False) -> float:
        """Return the share of its time that a GPU computes."""
        return self.compute / (self.overlapped if overlapped else self.plain)


def compute_seconds(net: Net, rates: Rates, precision: str) -> float:
    """Return the seconds of a step on one GPU: its floors by implicit GEMM, at the rate reached."""
    work = step_work(net, 2 if precision == "bf16" else 4)
    products = work["flop"] / rates.tflops[precision] / 1e12
    memory = (work["bytes_rest"] + work["bytes_implicit"]) / rates.copy / 1e12
    return (products + memory) / REACHED


def scaling(
    precision: str, sizes: tuple[int, ...] = SIZES, batch: int = 64, cluster: Cluster = CLUSTER
) -> list[Scaling]:
    """Return a row for each number of GPUs, every one with `batch` images of DeconvNet."""
    net = Net("DeconvNet", batch)
    compute = compute_seconds(net, H200, precision)
    layers = layers_of(net)
    gradients = 4.0 * sum(math.prod(layer.w_shape) for layer in layers)
    normalised = [layer.c_out for layer in layers if layer.name != "seg_score"]
    rows = []
    for n in sizes:
        gathers = sum(cluster.all_gather(8 * (1 + 2 * c), n) for c in normalised)
        sums = sum(cluster.all_reduce(8 * 2 * c, n) for c in normalised)
        whole = cluster.all_reduce(gradients, n)
        rows.append(Scaling(n, compute, whole, gathers + sums, 2 * sums))
    return rows
