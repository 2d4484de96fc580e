"""Borders: padding layers, `padding="same"` and the padding modes of convolutions, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_orders import close, compare

from minideconv import Tensor, nn
from minideconv import functional as F
from minideconv.testing import check_gradients, seeds, values

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

IMAGES = (2, 4, 5, 7)

LAYERS = [
    ("ZeroPad2d", (1,)),
    ("ZeroPad2d", ((1, 2, 0, 3),)),
    ("ZeroPad2d", ((-1, 2, 0, -2),)),
    ("ConstantPad2d", ((0, 1, 2, 0), -1.5)),
    ("ReflectionPad2d", (4,)),
    ("ReflectionPad2d", ((6, 0, 1, 4),)),
    ("ReplicationPad2d", (2,)),
    ("ReplicationPad2d", ((0, 9, 1, 3),)),
    ("CircularPad2d", (3,)),
    ("CircularPad2d", ((7, 0, 1, 5),)),
    ("CircularPad2d", ((1, 2, 3, 4),)),
]


@pytest.mark.parametrize(("name", "arguments"), LAYERS)
def test_padding_layers(torch, name, arguments):
    ours, theirs = (getattr(library, name)(*arguments) for library in (nn, torch.nn))
    compare(torch, ours, theirs, [values(IMAGES, 1, "normal")], 0, orders=2)


@st.composite
def convolutions(draw):
    """Options of a Conv2d, and a size on which "reflect" and "circular" have enough pixels."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(
        st.sampled_from(["same", "valid"]) | st.tuples(st.integers(0, 3), st.integers(0, 3))
    )
    strides = st.just((1, 1)) if padding == "same" else st.tuples(*[st.integers(1, 3)] * 2)
    options = {
        "kernel_size": kernel,
        "stride": draw(strides),
        "padding": padding,
        "dilation": dilation,
        "groups": draw(st.sampled_from([1, 2])),
        "padding_mode": draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
    }
    size = draw(st.tuples(st.integers(7, 9), st.integers(7, 9)))
    return options, (draw(st.integers(1, 2)), 4, *size)


@settings(max_examples=60)
@given(convolutions(), seeds())
def test_convolution(torch, case, seed):
    options, shape = case
    ours, theirs = (library.Conv2d(4, 6, **options) for library in (nn, torch.nn))
    ours.to(dtype=np.float64)
    theirs.double()
    theirs.load_state_dict({n: torch.tensor(a) for n, a in ours.state_dict().items()})
    x = values(shape, seed, "normal")
    mine, its = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(mine), theirs(its)
    close(y, z)
    dy = values(y.shape, seed + 1, "normal")
    y.backward(dy)
    z.backward(torch.tensor(dy))
    close(mine.grad, its.grad)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(p.grad, q.grad)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "dilation"), [((3, 2), 1), ((2, 4), (1, 3)), ((1, 5), 2)])
def test_the_function(torch, padding, kernel, dilation):
    arrays = [values((2, 4, 14, 15), 1, "normal"), values((6, 4, *kernel), 2, "normal")]
    compare(
        torch,
        lambda x, w: F.conv2d(x, w, padding=padding, dilation=dilation),
        lambda x, w: torch.nn.functional.conv2d(x, w, padding=padding, dilation=dilation),
        arrays,
        0,
        orders=2,
    )
    if padding == "same":
        y = F.conv2d(Tensor(arrays[0]), Tensor(arrays[1]), padding="same", dilation=dilation)
        assert y.shape[2:] == arrays[0].shape[2:]


def test_the_one_more_at_the_other_end_is_another_function():
    x, w = values((1, 2, 4, 5), 1, "normal"), values((3, 2, 2, 2), 2, "normal")
    other = F.conv2d(F.pad(Tensor(x), (1, 0, 1, 0)), Tensor(w))
    same = F.conv2d(Tensor(x), Tensor(w), padding="same")
    assert other.shape == same.shape
    assert abs(other.numpy() - same.numpy()).max() > 0.1


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_gradients_numerically(mode):
    layer = nn.Conv2d(2, 3, (2, 3), padding="same", padding_mode=mode).to(dtype=np.float64)
    check_gradients(layer, [values((2, 2, 3, 4), 1, "normal")])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(2, 3, 3, padding="full"), "Conv2d: padding is 'full'; it must be 'sam"),
        (
            lambda: nn.Conv2d(2, 3, 3, stride=2, padding="same"),
            r"Conv2d: padding is 'same' and stride is \(2, 2\); it must be 1",
        ),
        (
            lambda: nn.Conv2d(2, 3, 3, padding_mode="mirror"),
            "Conv2d: padding_mode is 'mirror'; it must be one of 'zeros', 'reflect', 'replicate'",
        ),
        (lambda: nn.Conv2d(2, 3, 3, padding=-1, padding_mode="reflect"), "padding is .*-1.*least"),
        (
            lambda: F.conv2d(
                Tensor(np.zeros((1, 2, 3, 3))), Tensor(np.zeros((3, 2, 3, 3))), padding="full"
            ),
            "conv2d: padding is 'full'; it must be 'same', 'valid', an integer or a pair",
        ),
        (
            lambda: nn.Conv2d(2, 3, 3, padding=5, padding_mode="reflect")(
                Tensor(np.zeros((1, 2, 4, 4), np.float32))
            ),
            "pad: mode 'reflect' can add at most 3 pixels",
        ),
        (lambda: nn.ZeroPad2d((1, 2)), r"ZeroPad2d: padding is \(1, 2\); it must be an integer or"),
        (lambda: nn.CircularPad2d(1.5), "CircularPad2d: padding is 1.5; it must be an integer or"),
        (lambda: nn.ReflectionPad2d("1234"), "ReflectionPad2d: padding is '1234'; it must be an"),
    ],
)
def test_what_cannot_be_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_transposed_convolution_takes_numbers():
    with pytest.raises(TypeError, match="ConvTranspose2d: padding is 'same'; it must be an intege"):
        nn.ConvTranspose2d(2, 3, 3, padding="same")


def test_repr_and_what_a_twin_computes(torch):
    from minideconv.interop.torch import torch_twin

    net = nn.Sequential(
        nn.Conv2d(3, 4, (2, 3), padding="same", padding_mode="circular"),
        nn.Conv2d(4, 2, 2, padding="same"),
        nn.ReflectionPad2d((1, 0, 2, 1)),
    ).to(dtype=np.float64)
    assert "padding='same'" in repr(net)
    assert "ReflectionPad2d((1, 0, 2, 1))" in repr(net)
    x = values((1, 3, 6, 7), 1, "normal")
    twin = torch_twin(net.eval(), (6, 7), dynamic_size=False).double()
    y = net(Tensor(x))
    assert y.shape == (1, 2, 9, 8)
    close(y, twin(torch.tensor(x)))
