"""Drawing the input again as a task: no labels, squared errors, two metrics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minideconv import data
from minideconv.autograd import Tensor
from minideconv.backend import Array, device_of, get_xp
from minideconv.data.shard import spread
from minideconv.errors import DataError
from minideconv.models import StackedReconstruction
from minideconv.nn import Module
from minideconv.settings.run import RunConfig
from minideconv.tasks.autoencoder.errors import ReconstructionErrors, psnr
from minideconv.tasks.autoencoder.pictures import draw_board, draw_drawn_layers, sections
from minideconv.tasks.autoencoder.reconstructor import Reconstructor, photograph_at
from minideconv.tasks.data import bad_root, cache_limit, choose
from minideconv.tasks.data import dataset as labelled
from minideconv.tasks.inference import InferenceSettings
from minideconv.tasks.registry import register
from minideconv.tasks.results import MainMetric, Metrics, text_table
from minideconv.tasks.task import Save, Task
from minideconv.visualize.boards import png_bytes

__all__ = ["Autoencode"]


@register("autoencode")
class Autoencode(Task):
    """Draws the image that the network is given again, from fewer numbers or from a corrupted one.

    Nothing of a mask is used: photographs need none.
    """

    main_metric = MainMetric("psnr", "PSNR", "PSNR in dB")
    endings = ("_given.png", "_again.png")
    outputs = 3

    # -- Data -----------------------------------------------------------------------------------

    @classmethod
    def dataset(cls, config: RunConfig, split: str, count: int = 0) -> Any:
        """Build an image list of the run's data, or its first `count` images, without masks."""
        if config.data == "shapes":
            return data.WithoutMasks(labelled(config, split, count))
        root = Path(config.data_root or "")
        try:
            found = data.Photographs(
                root, split, config.val_split, cache_limit(config, 512), config.data
            )
        except DataError as error:
            raise bad_root(root, error) from error
        return choose(config, found, split, count)

    # -- Training -------------------------------------------------------------------------------

    def training_loss(self, network: Module, x: Tensor, targets: Array) -> tuple[Tensor, Tensor]:
        """Return the reconstruction of a batch and the loss, that of maps in between included."""
        if not isinstance(network, StackedReconstruction):
            return super().training_loss(network, x, targets)
        outputs, pairs = network.reconstruct(x)
        loss = self.loss(outputs, x.data, targets) * network.input_weight
        for h, g in pairs:
            loss = loss + ((h - g) ** 2).mean() * network.middle_weight
        return outputs, loss

    def loss(self, outputs: Tensor, inputs: Array, targets: Array) -> Tensor:
        """Return the mean squared error, in units of the normalised input."""
        return ((outputs - Tensor(inputs, device=outputs.device)) ** 2).mean()

    def metrics(self) -> ReconstructionErrors:
        """Return errors of nothing yet."""
        return ReconstructionErrors()

    def count(self, counts: Array, outputs: Array, inputs: Array, targets: Array) -> None:
        """Add the squared errors of a batch, in grey levels, and how many they are."""
        difference = (outputs - inputs).astype(get_xp(inputs).float64) * self.normalize.scale
        counts[0] += (difference**2).sum()
        counts[1] += outputs.size

    # -- Inference ------------------------------------------------------------------------------

    def predictor(
        self,
        model: Module,
        input_size: int,
        inference: InferenceSettings | None = None,
        batch_size: int = 16,
    ) -> Reconstructor:
        """Return what draws images of any size again, at the network's own."""
        flip = inference is not None and inference.flip
        return Reconstructor(model, input_size, self.normalize, flip, batch_size)

    def evaluate_image(
        self, counts: Array, outputs: Array, image: np.ndarray, target: np.ndarray
    ) -> tuple[Tensor, float]:
        """Count one image at the network's size, without the black around it; return its error."""
        given = photograph_at(image, max(outputs.shape[1:]))
        device = device_of(outputs)
        inputs = self.inputs(given[None], device)
        self.count(counts, outputs[None], inputs, target)
        return self.loss(Tensor(outputs[None], device=device), inputs, target), 1.0

    def predict(self, predictor: Reconstructor, image: np.ndarray) -> tuple[list[bytes], str]:
        """Return what the network was given and what it made of it, and the PSNR."""
        found = predictor.pictures(image)
        error = found.given.astype(np.float64) - found.again
        ratio = psnr(float((error**2).mean()))
        shown = "no error" if ratio is None else f"PSNR {ratio:.1f} dB"
        height, width = found.given.shape[:2]
        pictures = [png_bytes(found.given), png_bytes(found.again)]
        return pictures, f"{shown} at {width}x{height} pixels"

    # -- Results --------------------------------------------------------------------------------

    def table(self, sets: Mapping[str, Metrics]) -> str:
        """Return the two metrics of one or more sets of images."""
        found = [metrics.compute() for metrics in sets.values()]
        rows = {"PSNR, dB": "psnr", "MSE, grey levels squared": "mse"}
        return text_table(
            sets, [(title, [one[key] for one in found]) for title, key in rows.items()]
        )

    def draw_epoch(
        self, predictor: Reconstructor, data: Any, count: int, epoch: int, save: Save
    ) -> None:
        """Draw some validation images: as given, corrupted, drawn again, and the difference."""
        if chosen := spread(len(data), count):
            save(f"epoch_{epoch:03d}.png", draw_board(predictor, data, chosen))

    def draw_final(
        self, predictor: Reconstructor, sets: Mapping[str, Any], count: int, save: Save
    ) -> dict[str, Any]:
        """Draw some images of each set, and what the layers of the decoder make of three."""
        for name, images in sets.items():
            if chosen := spread(len(images), count):
                save(f"{name}.png", draw_board(predictor, images, chosen))
        draw_drawn_layers(predictor, sets["val"], save)
        return {}

    report = staticmethod(sections)
