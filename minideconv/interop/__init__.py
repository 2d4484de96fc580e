"""Weights of other programs: readers of their files, and names and layouts of VGG-16 in each."""

from minideconv.interop.conventions import (
    CAFFE,
    DECONVNET,
    TORCHVISION,
    InputConvention,
    convert_first_convolution,
)
from minideconv.interop.known import KNOWN, KnownFile, fetch
from minideconv.interop.match_report import Match
from minideconv.interop.safetensors import write_safetensors
from minideconv.interop.tables import describe
from minideconv.interop.vgg import identify, match, to_naming
from minideconv.interop.vgg_names import NAMINGS, Naming
from minideconv.interop.weight_file import WeightFile, read_weights

__all__ = [
    "CAFFE",
    "DECONVNET",
    "KNOWN",
    "NAMINGS",
    "TORCHVISION",
    "InputConvention",
    "KnownFile",
    "Match",
    "Naming",
    "WeightFile",
    "convert_first_convolution",
    "describe",
    "fetch",
    "identify",
    "match",
    "read_weights",
    "to_naming",
    "write_safetensors",
]
