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
