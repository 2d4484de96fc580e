"""One optimiser step behind a frozen trunk, whose features are cached: `FeatureStep`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from minideconv.autograd import Tensor
from minideconv.backend import Array
from minideconv.backend.algorithms import compiled, get_algorithm
from minideconv.models.trunk import split_network
from minideconv.settings.sizes import format_size, parse_size
from minideconv.training.feature_cache import FeatureCache, Prefetched, ReadAhead
from minideconv.training.stages import Stage
from minideconv.training.step import HostStep

__all__ = ["FeatureStep"]


class FeatureStep(HostStep):
    """Takes the steps of a run on the CPU, with the frozen stages' features from a file.

    The file is in the run folder, or in a temporary one where there is none. It stays when a run is
    stopped, for the session that goes on, and is removed when the run is done.
    """

    folder: Path | None = None
    _features: FeatureCache | None = None
    _ahead: ReadAhead | None = None
    _batch: Prefetched | None = None
    _temporary: tempfile.TemporaryDirectory[str] | None = None

    def begin(self, stage: Stage) -> None:
        """Begin an epoch, or go on with one that was resumed."""
        cache = self.cache()
        stage.loader_state = stage.loader.state_dict()  # before the thread goes ahead
        self._ahead = ReadAhead(stage.loader, cache)

    def cache(self) -> FeatureCache:
        """Return the features' cache, opened when it is first needed."""
        if self._features is None:
            config, strategy, folder = self.config, self.strategy, self.folder
            if folder is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="minideconv-")
                folder = Path(self._temporary.name)
            # Processes see different parts of the batches: each has a file, and its share.
            name = (
                f"features-{strategy.rank}.cache" if strategy.world_size > 1 else "features.cache"
            )
            budget = parse_size(config.cache_features or "") // strategy.world_size
            self._features = FeatureCache(
                self.model,
                config.freeze,
                folder / name,
                budget,
                config.cache_dtype,
                {"algorithm": get_algorithm(), "compiled": compiled()},
            )
            self.journal.log(
                f"features of the first {config.freeze} stages are kept in {folder / name}, up to"
                f" {format_size(budget)}"
            )
        return self._features

    def _fetch(self, stage: Stage) -> tuple[Array, Array]:
        """Return the next batch."""
        assert self._ahead is not None
        self._batch = self.journal.clock.fetch(self._ahead)
        stage.loader_state = self._batch.loader_state
        return self._batch.inputs, self._batch.targets

    def forward(self, inputs: Array, targets: Array) -> tuple[Tensor, Tensor]:
        """Return what the network makes of a batch, and the loss."""
        outputs = self.outputs(inputs)
        return outputs, self.task.loss(outputs, inputs, targets)

    def outputs(self, inputs: Array) -> Tensor:
        """Return what the network makes of a batch."""
        batch, cache = self._batch, self.cache()
        if batch is not None and batch.inputs is inputs:
            features = cache.features(inputs, batch.keys, batch.read)
        else:
            features = cache.features(inputs)
        return split_network(self.model).decode(features)

    def end(self) -> None:
        """End an epoch, or what was done of it."""
        self._batch = None
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def close(self, done: bool) -> None:
        """End with the file: it is removed if the run is `done`."""
        if self._features is not None:
            self.journal.log(f"features: {self._features.summary()}")
            self._features.close(remove=done)
            self._features = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
