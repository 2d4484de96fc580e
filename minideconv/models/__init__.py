"""Networks: tables of layers that read like the papers' figures, each with its options.

A network of the package is a file here and a line below; a network of your own is registered
wherever it is written (`register`).
"""

from __future__ import annotations

from minideconv.models.deconvnet import DeconvNet, deconvnet
from minideconv.models.fcn import FCN8s, FCN16s, FCN32s
from minideconv.models.registry import MODELS, NetworkOptions, arguments, build, register

__all__ = [
    "MODELS",
    "DeconvNet",
    "FCN8s",
    "FCN16s",
    "FCN32s",
    "NetworkOptions",
    "arguments",
    "build",
    "deconvnet",
    "register",
]
