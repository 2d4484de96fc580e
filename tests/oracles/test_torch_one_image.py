"""One image (C, H, W) without a batch: values and gradients are PyTorch's, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from torch_orders import compare

from minideconv import Tensor, nn
from minideconv import functional as F
from minideconv.testing import check_gradients, values

IMAGE = (4, 5, 7)
WEIGHT = values((6, 2, 3, 2), 1, "normal")
TRANSPOSED = values((4, 3, 2, 3), 2, "normal")
BIAS = values((6,), 3, "normal")

CASES = {
    "conv2d": ([WEIGHT, BIAS], {"stride": (2, 1), "padding": (1, 0), "groups": 2}),
    "conv2d, same": ([WEIGHT, BIAS], {"padding": "same", "dilation": (1, 2), "groups": 2}),
    "conv_transpose2d": (
        [TRANSPOSED, BIAS],
        {"stride": (2, 3), "output_padding": (1, 2), "padding": (0, 1), "groups": 2},
    ),
    "max_pool2d": ([], {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 0)}),
    "avg_pool2d": ([], {"kernel_size": (2, 3), "stride": (1, 2), "ceil_mode": True}),
    "adaptive_avg_pool2d": ([], {"output_size": (3, 2)}),
    "adaptive_avg_pool2d, one": ([], {"output_size": 1}),
}


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", CASES)
def test_one_image(torch, name):
    (arrays, options), name = CASES[name], name.partition(",")[0]

    def function(library):
        return lambda x, *rest: getattr(library, name)(x, *rest, **options)

    x = values(IMAGE, 4, "distinct").astype(float)
    compare(torch, function(F), function(torch.nn.functional), [x, *arrays], 0, orders=2)
    ours = function(F)
    alone = ours(Tensor(x), *map(Tensor, arrays)).numpy()
    batch = ours(Tensor(x[None]), *map(Tensor, arrays)).numpy()
    np.testing.assert_array_equal(alone, batch[0])


@pytest.mark.parametrize("name", CASES)
def test_gradients_numerically(name):
    (arrays, options), name = CASES[name], name.partition(",")[0]
    x = values(IMAGE, 4, "distinct").astype(float)
    check_gradients(lambda x, *rest: getattr(F, name)(x, *rest, **options), [x, *arrays])


def test_layers(torch):
    own = nn.Sequential(
        nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.ConvTranspose2d(6, 3, 2, stride=2),
        nn.AvgPool2d(2),
    ).to(dtype=np.float64)
    x = Tensor(values(IMAGE, 1, "normal"))
    np.testing.assert_allclose(own(x).numpy(), own(x.unsqueeze(0)).numpy()[0], rtol=1e-12)
    last = nn.ConvTranspose2d(4, 3, 2, stride=2).to(dtype=np.float64)
    assert last(x, output_size=(11, 15)).shape == (3, 11, 15)


@pytest.mark.parametrize("shape", [(5, 7), (1, 2, 4, 5, 7)])
@pytest.mark.parametrize("name", CASES)
def test_other_numbers_of_axes_are_refused(name, shape):
    (arrays, options), function = CASES[name], name.partition(",")[0]
    with pytest.raises(ValueError, match=rf"{function}: x has shape .* must have 4 axes"):
        getattr(F, function)(Tensor(np.zeros(shape)), *map(Tensor, arrays), **options)


def test_one_image_has_no_switches():
    with pytest.raises(ValueError, match=r"max_pool2d: x has shape .* must have 4 axes"):
        F.max_pool2d(Tensor(np.zeros(IMAGE)), 2, return_switches=True)
