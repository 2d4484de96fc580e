"""Networks: tables of layers that read like the papers' figures, each with its options.

A network of the package is a file here and a line below; a network of your own is registered
wherever it is written (`register`).
"""

from __future__ import annotations

# In the order in which `--model` names them.
from minideconv.models.deconvnet import DeconvNet, deconvnet
from minideconv.models.fcn import FCN8s, FCN16s, FCN32s, fcn

# isort: split
from minideconv.models.autoencoder import SWWAE, Autoencoder, StackedReconstruction
from minideconv.models.probe import Probe
from minideconv.models.registry import MODELS, NetworkOptions, arguments, build, register
from minideconv.models.trunk import Features, freeze, stages_of, trunk_parameters
from minideconv.models.vgg import VGG16, vgg16

__all__ = [
    "MODELS",
    "SWWAE",
    "VGG16",
    "Autoencoder",
    "DeconvNet",
    "FCN8s",
    "FCN16s",
    "FCN32s",
    "Features",
    "NetworkOptions",
    "Probe",
    "StackedReconstruction",
    "arguments",
    "build",
    "deconvnet",
    "fcn",
    "freeze",
    "register",
    "stages_of",
    "trunk_parameters",
    "vgg16",
]
