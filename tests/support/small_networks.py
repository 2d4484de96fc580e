"""Networks for the tests of what other programs compute: those of the package, small, and each
operation alone, in modules of a few lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from random_state import draw_state

from minideconv import Tensor, models, nn
from minideconv import functional as F
from minideconv.autograd import elementwise, shapes


class Example(NamedTuple):
    """A network by its builder, the size that it is traced at, and whether that may be open."""

    build: Callable[[], nn.Module]
    size: tuple[int, int]
    dynamic: bool


def _deconvnet(**options: Any) -> Callable[[], nn.Module]:
    size = options.pop("size", (32, 32))
    return lambda: models.deconvnet(5, width=2, input_size=size, fc=4, **options)


NETWORKS = {
    "deconvnet": Example(_deconvnet(stages=3), (32, 32), True),
    "deconvnet five stages, odd": Example(_deconvnet(stages=5, size=(45, 34)), (45, 34), True),
    "deconvnet same, coarse": Example(
        _deconvnet(
            size=(25, 34),
            stages=3,
            padding="same",
            fc_kernel=(3, 1),
            batch_norm="fc",
            deconvolutions=1,
            output_stride=2,
            coarse_scores=True,
            dropout=0.5,
        ),
        (25, 34),
        True,
    ),
    "deconvnet fixed": Example(_deconvnet(stages=3, upsampling="fixed"), (37, 34), False),
    "deconvnet learned": Example(_deconvnet(stages=3, upsampling="learned"), (37, 34), False),
    "deconvnet bilinear": Example(_deconvnet(stages=2, upsampling="bilinear"), (33, 42), True),
    "fcn8s": Example(lambda: models.fcn(8, num_classes=4, width=2, fc=5), (40, 33), True),
    "fcn16s": Example(
        lambda: models.fcn(16, num_classes=3, width=2, fc=5, skip_scale=0.3), (32, 45), True
    ),
    "fcn32s": Example(lambda: models.fcn(32, num_classes=3, width=2, fc=5), (32, 37), True),
    "fcn8s same": Example(
        lambda: models.fcn(
            8,
            num_classes=3,
            width=2,
            fc=5,
            fc_kernel=3,
            padding="same",
            batch_norm="all",
            skip_scale=0.1,
        ),
        (41, 64),
        True,
    ),
    "vgg16": Example(lambda: models.vgg16(4, width=2, fc=7, input_size=(40, 33)), (40, 33), True),
    "vgg16 bn": Example(
        lambda: models.vgg16(4, width=2, fc=7, input_size=32, batch_norm=True), (32, 32), True
    ),
}
"""Every network that a run may train, with options that change what is computed."""


def network(example: Example, dtype: Any = np.float32, seed: int = 0) -> nn.Module:
    """Build one, with drawn weights and statistics, in evaluation mode."""
    built = example.build().to(dtype=dtype).eval()
    draw_state(built, np.random.default_rng(seed))
    return built


class Function(nn.Module):
    """A function of a Tensor, with constants of the module's, as a network."""

    def __init__(self, function: Callable[..., Tensor], **arrays: np.ndarray) -> None:
        super().__init__()
        self.function = function
        for name, array in arrays.items():
            setattr(self, name, nn.Parameter(array))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def _drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _pooled(function: Callable[..., Any], **window: Any) -> Callable[..., Tensor]:
    def forward(module: Any, x: Tensor) -> Tensor:
        y, switches = F.max_pool2d(x, return_switches=True, **window)
        return function(y, switches)

    return forward


def _positive(x: Tensor) -> Tensor:
    return x * x + 0.5


OPERATIONS: dict[str, Example] = {
    name: Example(make, size, dynamic)
    for name, (make, size, dynamic) in {
        "conv2d": (
            lambda: nn.Conv2d(3, 6, (3, 2), (2, 1), (1, 2), (1, 2), groups=3),
            (11, 14),
            True,
        ),
        "conv2d without bias": (lambda: nn.Conv2d(3, 4, (1, 5), bias=False), (6, 9), True),
        "conv_transpose2d": (
            lambda: nn.ConvTranspose2d(3, 6, (2, 4), (3, 2), (1, 0), (2, 1), groups=3),
            (5, 8),
            True,
        ),
        "conv_transpose2d dilated": (
            lambda: nn.ConvTranspose2d(3, 5, (2, 3), (2, 1), (0, 2), dilation=(3, 2)),
            (5, 8),
            True,
        ),
        "linear": (
            lambda: Function(
                lambda m, x: F.linear(x.reshape(x.shape[0], -1), m.w, m.b),
                w=_drawn(4, 60),
                b=_drawn(4),
            ),
            (4, 5),
            False,
        ),
        "linear of an image": (lambda: nn.Linear(7, 4), (5, 7), False),
        "batch_norm": (lambda: nn.BatchNorm2d(3, eps=1e-3), (4, 5), True),
        "batch_norm plain": (lambda: nn.BatchNorm2d(3, affine=False), (4, 5), True),
        "batch_norm_relu": (
            lambda: Function(
                lambda m, x: F.batch_norm_relu(x, m.mean.data, m.var.data**2 + 0.1, m.w, m.b),
                mean=_drawn(3),
                var=_drawn(3, seed=1) ** 2 + 0.1,
                w=_drawn(3),
                b=_drawn(3, seed=2),
            ),
            (4, 5),
            True,
        ),
        "max_pool2d": (lambda: nn.MaxPool2d((3, 2), (2, 3), (1, 0), (1, 2)), (9, 14), True),
        "max_pool2d ceil": (lambda: nn.MaxPool2d((2, 3), (2, 3), ceil_mode=True), (9, 13), True),
        "max_unpool2d": (
            lambda: Function(_pooled(lambda y, s: F.max_unpool2d(y * 2, s), kernel_size=(2, 3))),
            (8, 9),
            False,
        ),
        "max_unpool2d of what is left over": (
            lambda: Function(
                _pooled(
                    lambda y, s: F.max_unpool2d(y * 2, s),
                    kernel_size=(2, 3),
                    stride=(2, 4),
                )
            ),
            (7, 15),
            True,
        ),
        "avg_pool2d": (
            lambda: Function(
                lambda m, x: F.avg_pool2d(x, (3, 2), (2, 1), (1, 1), count_include_pad=False)
            ),
            (7, 6),
            True,
        ),
        "avg_pool2d counting": (
            lambda: Function(lambda m, x: F.avg_pool2d(x, (2, 3), (1, 2), (1, 1))),
            (7, 6),
            True,
        ),
        "interpolate": (
            lambda: Function(lambda m, x: F.interpolate(x, (13, 8), mode="bilinear")),
            (5, 11),
            True,
        ),
        "interpolate to corners": (
            lambda: Function(
                lambda m, x: F.interpolate(x, (7, 9), mode="bilinear", align_corners=True)
            ),
            (5, 4),
            True,
        ),
        "interpolate by a factor": (
            lambda: Function(
                lambda m, x: F.interpolate(x, scale_factor=(1.5, 2.0), mode="bilinear")
            ),
            (5, 7),
            True,
        ),
        "interpolate nearest": (
            lambda: Function(lambda m, x: F.interpolate(x, scale_factor=(3, 2))),
            (5, 4),
            True,
        ),
        "pad": (
            lambda: Function(lambda m, x: F.pad(x, (1, -1, 2, 0), value=0.5)),
            (5, 6),
            True,
        ),
        "pad reflect": (
            lambda: Function(lambda m, x: F.pad(x, (2, 1, 0, 3), "reflect")),
            (5, 6),
            True,
        ),
        "pad replicate": (
            lambda: Function(lambda m, x: F.pad(x, (2, 1, 0, 3), "replicate")),
            (5, 6),
            True,
        ),
        "batch_norm of groups": (lambda: nn.GroupNorm(3, 3), (4, 5), True),
        "batch_norm of wider groups": (
            lambda: nn.Sequential(nn.Conv2d(3, 6, 1), nn.GroupNorm(2, 6), nn.ReLU()),
            (4, 5),
            True,
        ),
        "batch_norm of maps": (lambda: nn.InstanceNorm2d(3, eps=1e-2), (4, 5), True),
        "batch_norm of layers": (lambda: nn.LayerNorm((4, 5)), (4, 5), False),
        "reshape of pixels taken apart": (
            lambda: nn.Sequential(nn.Conv2d(3, 12, 1), nn.PixelShuffle(2)),
            (4, 5),
            True,
        ),
        "relu": (lambda: nn.ReLU(), (4, 5), True),
        "leaky_relu": (lambda: nn.LeakyReLU(0.2), (4, 5), True),
        "softplus": (lambda: Function(lambda m, x: F.softplus(x * 9)), (4, 5), True),
        "softmax": (lambda: Function(lambda m, x: F.softmax(x, 1)), (4, 5), True),
        "log_softmax": (lambda: Function(lambda m, x: F.log_softmax(x, -1)), (4, 5), True),
        "dropout": (lambda: nn.Sequential(nn.Dropout(0.3), nn.ReLU()), (4, 5), True),
        "dropout2d": (
            lambda: nn.Sequential(nn.Dropout2d(0.3), nn.ReLU()),
            (4, 5),
            True,
        ),
        "getitem list": (lambda: Function(lambda m, x: x[:, [2, 0, 2], 1:]), (6, 7), True),
        "getitem array": (
            lambda: Function(lambda m, x: x[..., None, :, np.array([1, -2])]),
            (6, 7),
            True,
        ),
        "getitem": (lambda: Function(lambda m, x: x[:, None, 1:, ::2, -3:]), (6, 7), True),
        "getitem numbers": (lambda: Function(lambda m, x: x[..., 2, -1]), (6, 7), True),
        "getitem half": (
            lambda: Function(lambda m, x: x[:, :, 1 : x.shape[3] - 2, : x.shape[2] + 1]),
            (6, 7),
            True,
        ),
        "astype": (lambda: Function(lambda m, x: x.astype(np.float64) * 2.0), (4, 5), True),
        "reshape": (
            lambda: Function(lambda m, x: x.reshape(x.shape[0], 3, -1) * 2),
            (4, 5),
            False,
        ),
        "broadcast_to": (
            lambda: Function(
                lambda m, x: x * m.w.reshape(1, 3, 1, 1).broadcast_to(x.shape), w=_drawn(3)
            ),
            (4, 5),
            True,
        ),
        "transpose": (lambda: Function(lambda m, x: x.transpose(0, 2, 3, 1)), (4, 5), True),
        "concatenate": (
            lambda: Function(lambda m, x: shapes.concatenate([x, x * 2, x], axis=1)),
            (4, 5),
            True,
        ),
        "stack": (lambda: Function(lambda m, x: shapes.stack([x, x * 2], axis=2)), (4, 5), True),
        "matmul": (lambda: Function(lambda m, x: x @ m.w, w=_drawn(5, 2)), (4, 5), False),
        "cumsum": (lambda: Function(lambda m, x: x.cumsum(-1)), (4, 5), True),
        "sum": (lambda: Function(lambda m, x: x.sum(axis=(1, 3))), (4, 5), True),
        "mean": (lambda: Function(lambda m, x: x.mean(axis=2, keepdims=True)), (4, 5), True),
        "max": (lambda: Function(lambda m, x: x.max(axis=(2, 3))), (4, 5), True),
        "min": (lambda: Function(lambda m, x: x.min(axis=1, keepdims=True)), (4, 5), True),
        "clip": (lambda: Function(lambda m, x: x.clip(-0.5, 0.7)), (4, 5), True),
        "clip above": (lambda: Function(lambda m, x: x.clip(maximum=0.2)), (4, 5), True),
        "where": (
            lambda: Function(
                lambda m, x: elementwise.where(np.array([True, False, True, False, True]), x, 0.5)
            ),
            (4, 5),
            False,
        ),
        "add": (lambda: Function(lambda m, x: x + m.w, w=_drawn(3, 1, 1)), (4, 5), True),
        "sub": (lambda: Function(lambda m, x: 2.0 - x), (4, 5), True),
        "mul": (lambda: Function(lambda m, x: x * x), (4, 5), True),
        "div": (lambda: Function(lambda m, x: 1 / _positive(x)), (4, 5), True),
        "pow": (lambda: Function(lambda m, x: _positive(x) ** 1.5), (4, 5), True),
        "maximum": (lambda: Function(lambda m, x: elementwise.maximum(x, 0.3)), (4, 5), True),
        "minimum": (lambda: Function(lambda m, x: elementwise.minimum(x, x * x)), (4, 5), True),
        "neg": (lambda: Function(lambda m, x: -x), (4, 5), True),
        "exp": (lambda: Function(lambda m, x: x.exp()), (4, 5), True),
        "log": (lambda: Function(lambda m, x: _positive(x).log()), (4, 5), True),
        "sqrt": (lambda: Function(lambda m, x: _positive(x).sqrt()), (4, 5), True),
        "abs": (lambda: Function(lambda m, x: abs(x)), (4, 5), True),
        "tanh": (lambda: Function(lambda m, x: x.tanh()), (4, 5), True),
        "sigmoid": (lambda: Function(lambda m, x: x.sigmoid()), (4, 5), True),
        "sin": (lambda: Function(lambda m, x: x.sin()), (4, 5), True),
        "cos": (lambda: Function(lambda m, x: x.cos()), (4, 5), True),
        "round": (lambda: Function(lambda m, x: (4 * x).round()), (4, 5), True),
    }.items()
}
"""Each operation alone; the name begins with that of the operation."""


def inputs(example: Example, dtype: Any = np.float32) -> list[np.ndarray]:
    """Return batches that were not traced; of other sizes too, where the size is open."""
    height, width = example.size
    sizes = [(height, width)] * 2
    if example.dynamic:
        sizes += [(height + 3, width + 8), (height + 26, width + 1)]
    rng = np.random.default_rng(7)
    return [
        rng.standard_normal((n, 3, *size)).astype(dtype)
        for n, size in zip((1, 3, 2, 1), sizes, strict=False)
    ]
