"""How a step is taken where the network is, and who watches its memory there."""

from __future__ import annotations

from typing import Any

from minideconv.backend import Device
from minideconv.engine.cuda.streams import computing_on
from minideconv.training.config import TrainConfig
from minideconv.training.feature_step import FeatureStep
from minideconv.training.gpu.memory import DeviceMemory
from minideconv.training.gpu.step import DeviceStep
from minideconv.training.memory_watch import MemoryWatch
from minideconv.training.run.journal import Journal
from minideconv.training.step import HostStep

__all__ = ["memory_and_steps"]


def memory_and_steps(
    model: Any, task: Any, config: TrainConfig, journal: Journal, strategy: Any, device: Device
) -> tuple[MemoryWatch | DeviceMemory, HostStep | DeviceStep]:
    """Return the watch over memory, and what takes the steps of training.

    Parameters
    ----------
    model : Module
        On `device`.
    task, config, journal
        The run's.
    strategy
        Of the processes that train together (`data_parallel_for`).
    """
    if device.type == "gpu":
        on_gpu = DeviceMemory(config.memory_budget, journal.log)
        with computing_on(device):
            return on_gpu, DeviceStep(model, task, config, journal, on_gpu, strategy)
    watch = MemoryWatch(model, config.memory_budget, journal.log, strategy.all_reduce_max)
    if config.cache_features is None:
        return watch, HostStep(model, task, config, journal, watch, strategy)
    cached = FeatureStep(model, task, config, journal, watch, strategy)
    cached.folder = None if journal.run is None else journal.run.path
    return watch, cached
