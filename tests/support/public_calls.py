"""A legal call of each public function, layer, method and schedule, for tests that spoil one."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv import Tensor, nn, optim
from minideconv import functional as F

IMAGES = np.ones((2, 4, 6, 5), np.float32)


def half(*shape: int) -> Tensor:
    return Tensor(np.full(shape, 0.5, np.float32))


def tensors(*shape: int) -> Tensor:
    return Tensor(np.ones(shape, np.float32))


SWITCHES = F.max_pool2d(Tensor(IMAGES), 2, return_switches=True)[1]
STATISTICS = (np.zeros(4, np.float32), np.ones(4, np.float32))

# A call of each function with tensors where they belong: all of it that is a Tensor is then tried
# as an array.
CALLS = {
    "conv2d": ([tensors(2, 4, 6, 5), tensors(3, 4, 3, 3), tensors(3)], {}),
    "conv_transpose2d": ([tensors(2, 4, 6, 5), tensors(4, 3, 3, 3), tensors(3)], {}),
    "linear": ([tensors(2, 4), tensors(3, 4), tensors(3)], {}),
    "max_pool2d": ([tensors(2, 4, 6, 5), 2], {}),
    "max_unpool2d": ([tensors(2, 4, 3, 2), SWITCHES], {}),
    "avg_pool2d": ([tensors(2, 4, 6, 5), 2], {}),
    "pad": ([tensors(2, 4, 6, 5), (1, 1)], {}),
    "interpolate": ([tensors(2, 4, 6, 5), 3], {}),
    "relu": ([tensors(2, 4)], {}),
    "softmax": ([tensors(2, 4), 1], {}),
    "log_softmax": ([tensors(2, 4), 1], {}),
    "dropout": ([tensors(2, 4)], {}),
    "cross_entropy": ([tensors(2, 4), np.array([0, 1])], {}),
    "conv2d_weight_grad": ([tensors(2, 4, 6, 5), tensors(2, 3, 4, 3), (3, 3)], {}),
    "adaptive_avg_pool2d": ([tensors(2, 4, 6, 5), 2], {}),
    "pixel_shuffle": ([tensors(2, 4, 6, 5), 2], {}),
    "one_hot": ([np.array([0, 1])], {}),
    "dropout2d": ([tensors(2, 4, 6, 5)], {}),
    "leaky_relu": ([tensors(2, 4)], {}),
    "sigmoid": ([tensors(2, 4)], {}),
    "softplus": ([tensors(2, 4)], {}),
    "tanh": ([tensors(2, 4)], {}),
    "group_norm": ([tensors(2, 4, 6, 5), 2], {}),
    "instance_norm": ([tensors(2, 4, 6, 5)], {}),
    "layer_norm": ([tensors(2, 4), (4,)], {}),
    "mse_loss": ([tensors(2, 4), np.ones((2, 4), np.float32)], {}),
    "l1_loss": ([tensors(2, 4), np.ones((2, 4), np.float32)], {}),
    "binary_cross_entropy": ([tensors(2, 4), np.ones((2, 4), np.float32)], {}),
    "binary_cross_entropy_with_logits": ([tensors(2, 4), np.ones((2, 4), np.float32)], {}),
    "dice_loss": ([tensors(2, 4), np.array([0, 1])], {}),
    "focal_loss": ([tensors(2, 4), np.array([0, 1])], {}),
    "nll_loss": ([tensors(2, 4), np.array([0, 1])], {}),
    **{
        name: ([tensors(2, 4, 6, 5), *STATISTICS, tensors(4), tensors(4)], {"training": True})
        for name in ("batch_norm", "batch_norm_relu", "batch_norm_relu_pool")
    },
}


def optimizer() -> optim.SGD:
    return optim.SGD(nn.Linear(2, 2).parameters(), 0.1)


LAYERS: dict[str, tuple[Any, ...]] = {
    "AdaptiveAvgPool2d": (2,), "AvgPool2d": (2,), "BCELoss": (), "BCEWithLogitsLoss": (),
    "BatchNorm1d": (4,), "BatchNorm2d": (4,), "CircularPad2d": (1,), "ConstantPad2d": (1, 0.0),
    "Conv2d": (4, 4, 3), "ConvTranspose2d": (4, 4, 3), "CrossEntropyLoss": (), "DiceLoss": (),
    "Dropout": (), "Dropout2d": (), "Flatten": (), "FocalLoss": (), "GroupNorm": (2, 4),
    "InstanceNorm2d": (4,), "L1Loss": (), "LayerNorm": (4,), "LeakyReLU": (), "Linear": (2, 3),
    "LogSoftmax": (1,), "MSELoss": (), "MaxPool2d": (2,), "MaxUnpool2d": (), "ModuleDict": (),
    "ModuleList": (), "NLLLoss": (), "PixelShuffle": (2,), "ReLU": (), "ReflectionPad2d": (1,),
    "ReplicationPad2d": (1,), "Softmax": (1,), "Upsample": (2,), "ZeroPad2d": (1,),
}  # fmt: skip
METHODS: dict[str, tuple[Any, ...]] = {
    "add_": (1.0,), "all": (), "any": (), "argmax": (), "argmin": (), "astype": ("float32",),
    "backward": (), "broadcast_to": (3, 4), "chunk": (2,), "clamp_": (0.0,), "copy_": (1.0,),
    "cumsum": (0,), "expand": (3, 4), "expand_as": (half(3, 4),), "fill_": (1.0,), "flatten": (),
    "gather": (0, np.zeros((1, 4), int)), "matmul": (half(4, 2),), "max": (), "mean": (),
    "min": (), "mm": (half(4, 2),), "mul_": (1.0,), "norm": (), "normal_": (), "permute": (1, 0),
    "prod": (), "repeat": (1, 2), "requires_grad_": (), "reshape": (12,), "size": (0,),
    "split": (2,), "squeeze": (), "std": (), "sub_": (1.0,), "sum": (), "swapaxes": (0, 1),
    "t": (), "to": ("cpu",), "transpose": (0, 1), "uniform_": (), "unsqueeze": (0,), "var": (),
    "view": (12,), "view_as": (half(3, 4),),
}  # fmt: skip
NEW: dict[str, tuple[Any, ...]] = {
    "Tensor": ([1.0],), "arange": (3,), "cat": ([half(2)],), "empty": (2,), "eye": (2,),
    "full": ((2,), 1.0), "full_like": (half(2), 1.0), "inference": (nn.ReLU(),),
    "linspace": (0, 1, 3), "manual_seed": (0,),
    "ones": (2,), "ones_like": (half(2),), "rand": (2,), "rand_like": (half(2),), "randint": (3,),
    "randn": (2,), "randn_like": (half(2),), "stack": ([half(2)],), "zeros": (2,),
    "zeros_like": (half(2),),
}  # fmt: skip
SCHEDULES: dict[str, tuple[Any, ...]] = {
    "CosineLR": (5,), "ExponentialLR": (0.5,), "FixedLR": (), "LambdaLR": (lambda step: 1.0,),
    "MultiStepLR": ([2],), "PolyLR": (5,), "ReduceLROnPlateau": (), "StepLR": (2,),
}  # fmt: skip
