"""Modules: layers with their parameters, and the containers that hold them."""

from minideconv.nn import init, utils
from minideconv.nn.batch_norm import BatchNorm2d, SyncBatchNorm2d
from minideconv.nn.containers import ModuleList, Sequential
from minideconv.nn.convolution import Conv2d, ConvTranspose2d
from minideconv.nn.folding import fold_batch_norm_
from minideconv.nn.fusion import no_fusion
from minideconv.nn.layers import Dropout, Linear, MaxPool2d, MaxUnpool2d, ReLU, Upsample
from minideconv.nn.module import Module, Parameter

__all__ = [
    "BatchNorm2d",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "Linear",
    "MaxPool2d",
    "MaxUnpool2d",
    "Module",
    "ModuleList",
    "Parameter",
    "ReLU",
    "Sequential",
    "SyncBatchNorm2d",
    "Upsample",
    "fold_batch_norm_",
    "init",
    "no_fusion",
    "utils",
]
