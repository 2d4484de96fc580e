"""What may stand around the network in the file: grey levels in, probabilities and labels out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minideconv.errors import UsageError
from minideconv.export.onnx_graph import OnnxBuilder
from minideconv.export.onnx_model import Port
from minideconv.interop.onnx_fields import TYPES
from minideconv.nn.graph import Value

__all__ = ["LAYOUTS", "POSTPROCESSING", "Preprocessing", "postprocess", "preprocess"]

LAYOUTS = ("nhwc", "nchw")
POSTPROCESSING = {"softmax": ("softmax",), "argmax": ("argmax",), "both": ("softmax", "argmax")}
"""What each value of ``--with-postprocessing`` adds."""

_CODES = {name: code for code, name in TYPES.items()}


@dataclass(frozen=True)
class Preprocessing:
    """From grey levels to the network's numbers: (x - mean) / scale, perhaps blue first.

    Parameters
    ----------
    mean : (float, float, float)
        Colour in RGB, 0..255, that is subtracted.
    scale : float
        What the rest is divided by, above 0.
    bgr : bool
        Whether the channels are then reversed.
    layout : {"nhwc", "nchw"}
        Of the images: (N, H, W, 3), as decoders give them, or (N, 3, H, W).
    """

    mean: tuple[float, float, float]
    scale: float
    bgr: bool = False
    layout: str = "nhwc"

    @classmethod
    def of(cls, normalization: Mapping[str, Any], layout: str) -> Preprocessing:
        """Return what a checkpoint's header says about its network's input.

        Raises
        ------
        UsageError
            If it says something else.
        """
        try:
            mean = tuple(float(v) for v in normalization["mean"])
            scale, bgr = float(normalization["scale"]), bool(normalization["bgr"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                "the checkpoint does not say how its network's input is normalised, so"
                " --with-preprocessing cannot be had"
            ) from error
        return cls((mean[0], mean[1], mean[2]), scale, bgr, layout)


def preprocess(builder: OnnxBuilder, image: Value, steps: Preprocessing | None) -> None:
    """Write the model's input, and what makes the network's of it.

    Without `steps` the input is called "input" and is the network's own. With them it is called
    "images" and is uint8, RGB.
    """
    if steps is None:
        builder.enter(image, "input")
        builder.model.inputs.append(builder.port(image, "input"))
        return
    if image.length(1) != 3:
        raise UsageError(
            f"export: the network has {image.length(1)} input channels; preprocessing is for the 3"
            " of a colour image"
        )
    port = builder.port(image, "images")
    last = steps.layout == "nhwc"
    n, c, h, w = port.dims
    dims = (n, h, w, c) if last else (n, c, h, w)
    builder.model.inputs.append(Port("images", "uint8", dims))
    per_channel = (3,) if last else (3, 1, 1)
    # Step by step as `Normalize.batch`, so that the network sees the same bits.
    mean = builder.constant(np.reshape(steps.mean, per_channel), np.float32)
    factor = builder.constant(1 / steps.scale, np.float32)
    y = builder.step("Cast", "images", to=_CODES["float32"])
    y = builder.step("Mul", builder.step("Sub", y, mean), factor)
    if steps.bgr:
        y = builder.step("Gather", y, builder.constant([2, 1, 0], np.int64), axis=3 if last else 1)
    if last:
        y = builder.step("Transpose", y, perm=(0, 3, 1, 2))
    dtype = np.dtype(image.dtype).name
    if dtype != "float32":
        y = builder.step("Cast", y, to=_CODES[dtype])
    builder.enter(image, y)


def postprocess(builder: OnnxBuilder, scores: Value, steps: tuple[str, ...]) -> None:
    """Write the model's outputs: "scores", and as asked for "probabilities" and "labels".

    The classes are axis 1. Labels are the class of the highest score, of equal ones the first.
    """
    name = builder.name(scores)
    builder.model.outputs.append(builder.port(scores, "scores"))
    classes = scores.length(1) if scores.ndim > 1 else None
    if steps and classes is None:
        raise UsageError(
            f"export: the network's output has shape {scores.shapes[0]}; postprocessing needs the"
            " classes along axis 1"
        )
    for step in steps:
        if step == "softmax":
            builder.finish(builder.step("Softmax", name, axis=1), "probabilities")
            builder.model.outputs.append(builder.port(scores, "probabilities"))
            continue
        assert classes is not None
        best = builder.step("ArgMax", name, axis=1, keepdims=0)
        dtype = "int64" if classes > 256 else "uint8"
        if dtype == "uint8":
            best = builder.step("Cast", best, to=_CODES[dtype])
        builder.finish(best, "labels")
        n, _, *rest = builder.port(scores, "").dims
        builder.model.outputs.append(Port("labels", dtype, (n, *rest)))
    builder.finish(name, "scores")
