"""What a network's first convolution was trained to be fed: order of colours, scale, mean."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

import numpy as np

from minideconv.errors import UsageError

__all__ = [
    "CAFFE",
    "DECONVNET",
    "INPUT",
    "TORCHVISION",
    "InputConvention",
    "convert_first_convolution",
]

INPUT = "input"
"""The entry of a file's metadata in which its `InputConvention` stands."""

Three = tuple[float, float, float]


@dataclass(frozen=True)
class InputConvention:
    """How a photograph becomes a network's input: ``(white * pixel / 255 - mean) / std``.

    Parameters
    ----------
    channels : {"RGB", "BGR"}
        The order of the colours.
    white : float
        What the brightest pixel, 255, is before the mean is subtracted: 255 or 1.
    mean, std : (float, float, float)
        Per channel, in the order of `channels` and in the units of `white`.

    Examples
    --------
    >>> white_pixel = np.full((1, 1, 3), 255, np.uint8)
    >>> CAFFE.apply(white_pixel).ravel().astype(float).round(3).tolist()
    [151.061, 138.221, 131.32]
    """

    channels: str = "RGB"
    white: float = 255.0
    mean: Three = (0.0, 0.0, 0.0)
    std: Three = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if self.channels not in ("RGB", "BGR"):
            raise UsageError(f"InputConvention: channels is {self.channels!r}; use RGB or BGR")
        for name in ("mean", "std"):
            # A list, as JSON has it, is as good.
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        numbers = np.array([self.white, *self.mean, *self.std])
        right = len(self.mean) == len(self.std) == 3 and np.isfinite(numbers).all()
        if not right or min(self.white, *self.std) <= 0:
            raise UsageError(
                f"InputConvention: white {self.white}, mean {self.mean} and std {self.std} must be"
                " finite, three of each, white and std above 0"
            )

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Return a picture, uint8 (H, W, 3) in RGB, as the network wants it: float32 (3, H, W)."""
        pixels = image[..., ::-1] if self.channels == "BGR" else image
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        scaled: np.ndarray = pixels * np.float32(self.white / 255)
        scaled = (scaled - mean) / std
        return np.ascontiguousarray(scaled.transpose(2, 0, 1), np.float32)

    @property
    def black_at(self) -> np.ndarray:
        """The colour that becomes zero, as 0..255 in RGB."""
        colour = np.array(self.mean) * 255 / self.white
        return colour[::-1] if self.channels == "BGR" else colour

    @property
    def gain(self) -> np.ndarray:
        """How much the input changes with one grey level, per channel in RGB."""
        steps = self.white / 255 / np.array(self.std)
        return steps[::-1] if self.channels == "BGR" else steps

    def keeping_mean_of(self, other: InputConvention) -> InputConvention:
        """Return this convention with the other's mean colour: the nearest one that is exact."""
        mean = other.black_at * self.white / 255
        mean = mean[::-1] if self.channels == "BGR" else mean
        return replace(self, mean=tuple(mean.tolist()))

    def to_json(self) -> str:
        """Return it as JSON, to be kept beside the weights."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> InputConvention:
        """Return what `to_json` wrote.

        Raises
        ------
        UsageError
            If it is something else.
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"InputConvention: this is none: {text[:80]!r}") from error

    def __str__(self) -> str:
        mean, std = (", ".join(f"{v:g}" for v in three) for three in (self.mean, self.std))
        divided = "" if self.std == (1.0, 1.0, 1.0) else f", divided by ({std})"
        return f"{self.channels}, 0..{self.white:g}, less ({mean}){divided}"


CAFFE = InputConvention("BGR", 255.0, (103.939, 116.779, 123.68))
"""VGG-16 as Oxford released it, and what was converted from it (Keras, ONNX of Keras)."""

DECONVNET = InputConvention("BGR", 255.0, (104.00698793, 116.66876762, 122.67891434))
"""DeconvNet's and FCN's released networks."""

TORCHVISION = InputConvention("RGB", 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""torchvision's own networks."""


def convert_first_convolution(
    weight: np.ndarray, source: InputConvention, target: InputConvention
) -> np.ndarray:
    """Return the weight that computes from `target`'s input what `weight` does from `source`'s.

    Both inputs are the same pixels p, so one is a multiple of the other, channel by channel, and a
    difference of the means:

        source's x = gain * (p - black),    x' = gain' * (p - black')
        x = gain / gain' * x' + gain * (black' - black)

    The factor goes into the weight, and the order of the colours too. The difference could go into
    the bias, if there were no border: around the image a convolution sees zeros, which are the
    colour `black` for one network and `black'` for the other, so no bias makes both right. Means
    that differ are therefore refused; `InputConvention.keeping_mean_of` gives a target that has the
    source's. (torchvision's mean is 0.15 to 0.5 grey levels from Caffe's: not the same.)

    Parameters
    ----------
    weight : array, shape (K, 3, kh, kw)
        Of the first convolution.
    source, target : InputConvention
        What it was trained with, and what it will be fed.

    Raises
    ------
    UsageError
        If the two do not subtract the same colour, or the weight has not three channels.
    """
    if weight.ndim != 4 or weight.shape[1] != 3:
        raise UsageError(
            f"convert_first_convolution: weight has shape {weight.shape}; it must be (K, 3, kh, kw)"
        )
    # Means are written down with six digits; what is closer than a thousandth of a grey level is
    # the same number in other units.
    if np.abs(source.black_at - target.black_at).max() > 1e-3:
        black = [", ".join(f"{v:.3f}" for v in c.black_at) for c in (source, target)]
        raise UsageError(
            "convert_first_convolution: the weights were trained with the mean colour"
            f" ({black[0]}) in RGB, and the target subtracts ({black[1]}); with a border of zeros"
            " no weight makes up for that, so let the target subtract the former, as"
            " target.keeping_mean_of(source) does"
        )
    factor = source.gain / target.gain
    if source.channels == "BGR":
        factor = factor[::-1]
    converted = (weight * factor[:, None, None]).astype(weight.dtype)
    same_order = source.channels == target.channels
    return np.ascontiguousarray(converted if same_order else converted[:, ::-1])
