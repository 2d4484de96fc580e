"""Modules: layers with their parameters, and the containers that hold them."""

from minideconv import functional
from minideconv.autograd.other_names import refusing
from minideconv.nn import init, utils
from minideconv.nn.activations import (
    Dropout2d,
    Identity,
    LeakyReLU,
    LogSoftmax,
    Sigmoid,
    Softmax,
    Tanh,
)
from minideconv.nn.batch_norm import BatchNorm2d, SyncBatchNorm2d
from minideconv.nn.containers import ModuleDict, ModuleList, Sequential
from minideconv.nn.convolution import Conv2d, ConvTranspose2d
from minideconv.nn.folding import fold_batch_norm_
from minideconv.nn.fusion import no_fusion
from minideconv.nn.layers import Dropout, Linear, MaxPool2d, MaxUnpool2d, ReLU, Upsample
from minideconv.nn.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
)
from minideconv.nn.module import Module, Parameter
from minideconv.nn.normalisation import BatchNorm1d, GroupNorm, InstanceNorm2d, LayerNorm
from minideconv.nn.padding import (
    CircularPad2d,
    ConstantPad2d,
    ReflectionPad2d,
    ReplicationPad2d,
    ZeroPad2d,
)
from minideconv.nn.rearranging import AdaptiveAvgPool2d, AvgPool2d, Flatten, PixelShuffle

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "CircularPad2d",
    "ConstantPad2d",
    "Conv2d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "DiceLoss",
    "Dropout",
    "Dropout2d",
    "Flatten",
    "FocalLoss",
    "GroupNorm",
    "Identity",
    "InstanceNorm2d",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "MaxUnpool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "PixelShuffle",
    "ReLU",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "SyncBatchNorm2d",
    "Tanh",
    "Upsample",
    "ZeroPad2d",
    "fold_batch_norm_",
    "functional",
    "init",
    "no_fusion",
    "utils",
]

__getattr__ = refusing(__name__)
