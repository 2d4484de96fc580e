"""What can never work is refused when the layer is made, not when it is called."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import Tensor, nn

WRONG = {
    "Conv2d": [
        ((3, 4, 3), {"stride": 0}, "stride is"),
        ((3, 4, 3), {"stride": (1, -1)}, "stride is"),
        ((3, 4, 3), {"padding": -1}, "padding is"),
        ((3, 4, 3), {"dilation": 0}, "dilation is"),
        ((3, 4, 0), {}, "kernel_size is"),
        ((3, 4, "a"), {}, "kernel_size is 'a'"),
        ((3, 4, (3, 3, 3)), {}, "kernel_size is"),
        ((3, 4, 3), {"stride": 1.5}, "stride is 1.5"),
        ((3.0, 4, 3), {}, "in_channels is 3.0; it must be an integer"),
        ((3, 4, 3), {"groups": 2}, "groups is 2"),
        ((3, 4, 3, 1, 1, False), {}, "dilation is False"),
        ((3, 4, 3), {"bias": "no"}, "bias is 'no'"),
    ],
    "ConvTranspose2d": [
        ((3, 4, 3), {"stride": 0}, "stride is"),
        ((3, 4, 3), {"padding": -1}, "padding is"),
        ((3, 4, 0), {}, "kernel_size is"),
        ((3, 4, 3), {"output_padding": 1}, "output_padding is 1"),
    ],
    "MaxPool2d": [
        (("a",), {}, "kernel(_size)? is 'a'"),
        ((0,), {}, "kernel_size is"),
        ((2,), {"stride": 0}, "stride is"),
        ((2,), {"padding": 2}, "padding is 2"),
        ((2,), {"padding": -1}, "padding is"),
        ((2,), {"dilation": 0}, "dilation is"),
        ((None,), {}, "kernel(_size)? is None"),
        ((2, 2, 0, 1, 3), {}, "return_switches is 3"),
        ((2,), {"ceil_mode": None}, "ceil_mode is None"),
    ],
    "MaxUnpool2d": [(("last",), {}, "duplicates is 'last'")],
    "BatchNorm2d": [
        ((0,), {}, "num_features is 0"),
        ((2.5,), {}, "num_features is 2.5; it must be an integer"),
        ((2,), {"eps": -1}, "eps is -1"),
        ((2,), {"eps": 0}, "eps is 0"),
        ((2,), {"eps": np.nan}, "eps is nan"),
        ((2,), {"eps": "small"}, "eps is 'small'"),
        ((2,), {"momentum": 2}, "momentum is 2"),
        ((2,), {"momentum": "a"}, "momentum is 'a'"),
    ],
    "AvgPool2d": [
        ((0,), {}, "kernel_size is"),
        (("x",), {}, "kernel_size is 'x'"),
        ((True,), {}, "kernel_size is True"),
        ((2,), {"stride": -1}, "stride is"),
        ((2,), {"padding": 2}, "padding is 2"),
        ((2,), {"ceil_mode": 1}, "ceil_mode is 1; it must be True or False"),
        ((2, 2, 0, False, 3), {}, "count_include_pad is 3"),
    ],
    "AdaptiveAvgPool2d": [
        ((-1,), {}, "output_size is"),
        (("a",), {}, "output_size is 'a'"),
        (((1, 2, 3),), {}, "output_size is"),
        ((None,), {}, "output_size is None"),
    ],
    "BatchNorm1d": [((0,), {}, "num_features is 0"), ((4,), {"eps": -1}, "eps is -1")],
    "GroupNorm": [
        ((2, 4), {"eps": -1}, "eps is -1"),
        ((2, 4), {"affine": "no"}, "affine is 'no'"),
        ((2.0, 4), {}, "num_groups is 2.0"),
    ],
    "InstanceNorm2d": [
        ((4,), {"eps": -1}, "eps is -1"),
        ((4,), {"affine": 0.1}, "affine is 0.1"),
        ((4, 1e-5, True), {}, "momentum is True; .* affine=True"),
        ((4,), {"track_running_stats": True}, "track_running_stats is True"),
    ],
    "LayerNorm": [
        ((4,), {"eps": -1}, "eps is -1"),
        (((),), {}, r"normalized_shape is \(\)"),
        ((None,), {}, "normalized_shape is None"),
        ((("a", 2),), {}, "normalized_shape is"),
        ((0,), {}, "normalized_shape is"),
        ((4,), {"bias": 4}, "bias is 4"),
    ],
    "ReLU": [(("a",), {}, "inplace is 'a'")],
    "LeakyReLU": [
        (("a",), {}, "negative_slope is 'a'"),
        ((True,), {}, "negative_slope is True"),
    ],
    "Softmax": [(("a",), {}, "dim is 'a'"), ((None,), {}, "dim is None")],
    "LogSoftmax": [((1.5,), {}, "dim is 1.5")],
    "Flatten": [
        ((3, 1), {}, "start_dim is 3 and end_dim 1"),
        ((-1, -2), {}, "start_dim is -1"),
        (("a",), {}, "start_dim is 'a'"),
    ],
    "PixelShuffle": [
        ((0,), {}, "upscale_factor is 0"),
        ((-2,), {}, "upscale_factor is -2"),
        (("a",), {}, "upscale_factor is 'a'"),
    ],
    "ConstantPad2d": [
        ((1, "a"), {}, "value is 'a'"),
        (("a", 0.0), {}, "padding is 'a'"),
        ((True, 0.0), {}, "padding is True"),
    ],
    "ZeroPad2d": [(((1, 2, 3),), {}, "padding is")],
    "Dropout2d": [((2,), {}, "p is 2"), ((0.5, True), {}, "rng is True")],
    "ModuleDict": [((3,), {}, "modules is 3")],
    "CrossEntropyLoss": [
        ((), {"reduction": "avg"}, "reduction is 'avg'"),
        ((), {"label_smoothing": 2}, "label_smoothing is 2"),
        ((), {"label_smoothing": "a"}, "label_smoothing is 'a'"),
        (("a",), {}, "weight is 'a'"),
        ((np.ones((2, 2)),), {}, r"weight has shape \(2, 2\)"),
        (([],), {}, r"weight has shape \(0,\)"),
        ((None, False), {}, "ignore_index is False; it must be an integer; name what you mean"),
    ],
    "NLLLoss": [
        ((None, True), {}, "ignore_index is True"),
        ((), {"reduction": None}, "reduction is None"),
    ],
    "MSELoss": [(("foo",), {}, "reduction is 'foo'"), ((True,), {}, "reduction is True")],
    "L1Loss": [(("foo",), {}, "reduction is 'foo'")],
    "BCELoss": [(("a",), {}, "weight is 'a'"), ((None, False), {}, "reduction is False")],
    "BCEWithLogitsLoss": [((), {"pos_weight": "a"}, "pos_weight is 'a'")],
    "DiceLoss": [
        ((), {"smooth": -1}, "smooth is -1"),
        ((), {"ignore_index": 1.5}, "ignore_index is 1.5"),
    ],
    "FocalLoss": [((-1,), {}, "gamma is -1"), ((np.nan,), {}, "gamma is nan")],
    "Upsample": [
        ((), {}, "neither of size and scale_factor"),
        ((4,), {"scale_factor": 2}, "both of size and scale_factor"),
        ((), {"scale_factor": 2, "mode": "cubic"}, "mode is 'cubic'"),
        ((), {"scale_factor": -1}, "scale_factor is -1"),
        ((), {"scale_factor": 0}, "scale_factor is 0"),
        ((), {"scale_factor": "2"}, "scale_factor is '2'"),
        ((), {"scale_factor": 2, "align_corners": True}, "align_corners is True"),
        ((0,), {}, "size is"),
        ((2.5,), {}, "size is 2.5"),
    ],
    "Dropout": [
        ((1.5,), {}, "p is 1.5"),
        (("half",), {}, "p is 'half'"),
        ((np.nan,), {}, "p is nan"),
        ((0.5, True), {}, "rng is True"),
    ],
    "Linear": [
        ((-1, 2), {}, "in_features is -1"),
        ((2, 0), {}, "out_features is 0"),
        ((2.5, 2), {}, "in_features is 2.5; it must be an integer"),
    ],
}
CASES = [(name, *case) for name, cases in WRONG.items() for case in cases]


@pytest.mark.parametrize(("name", "arguments", "options", "sentence"), CASES)
def test_what_can_never_work_is_refused_at_once(name, arguments, options, sentence):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: {sentence}"):
        getattr(nn, name)(*arguments, **options)


def test_numbers_of_numpy_are_numbers():
    layer = nn.BatchNorm2d(np.int64(2), eps=np.float32(1e-3), momentum=np.float32(0.1))
    layer(Tensor(np.ones((2, 2, 2, 2), np.float32)))
    nn.Conv2d(np.int32(2), 3, (np.int64(3), 3), stride=np.int64(2))
    nn.Dropout(np.float32(0.5))
    nn.MaxPool2d(np.int64(2))
    nn.Upsample(scale_factor=np.float64(2), mode="bilinear", align_corners=True)
