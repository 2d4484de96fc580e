"""An array where a Tensor belongs is refused in a sentence, by every function and every layer."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from minideconv import Tensor, nn
from minideconv import functional as F
from minideconv.backend import get_default_device, to_device

IMAGES = np.ones((2, 4, 6, 5), np.float32)


def images() -> np.ndarray:
    return to_device(IMAGES, get_default_device())


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
    "one_hot": ([np.array([0, 1])], {}),
    **{
        name: ([tensors(2, 4, 6, 5), *STATISTICS, tensors(4), tensors(4)], {"training": True})
        for name in ("batch_norm", "batch_norm_relu", "batch_norm_relu_pool")
    },
}


@pytest.mark.cpu  # names
def test_every_function_is_tried():
    takes_tensors = {
        name
        for name in F.__all__
        if "Tensor" in str(inspect.signature(getattr(F, name)).parameters)
    }
    assert takes_tensors - {"sync_batch_norm"} <= CALLS.keys()


@pytest.mark.cpu  # arrays on the host
@pytest.mark.parametrize("name", CALLS)
def test_an_array_is_refused_and_named(name):
    arguments, options = CALLS[name]
    function = getattr(F, name)
    names = list(inspect.signature(function).parameters)
    function(*arguments, **options)
    for place, argument in enumerate(arguments):
        if not isinstance(argument, Tensor):
            continue
        for wrong in (argument.numpy(), argument.tolist()):
            before = [array.copy() for array in STATISTICS]
            given = [*arguments[:place], wrong, *arguments[place + 1 :]]
            with pytest.raises(TypeError) as caught:
                function(*given, **options)
            what = "an array of shape" if wrong is not argument.tolist() else "a list"
            sentence = str(caught.value)
            assert sentence.startswith(f"{name}: {names[place]} is "), sentence
            assert sentence.endswith(f"; it must be a Tensor: Tensor({names[place]})")
            assert what in sentence or "a list" in sentence
            for array, was in zip(STATISTICS, before, strict=True):
                assert (array == was).all()  # nothing was half done


LAYERS = {
    "conv": lambda: nn.Conv2d(4, 3, 3),
    "transposed conv": lambda: nn.ConvTranspose2d(4, 3, 3),
    "batch norm": lambda: nn.BatchNorm2d(4),
    "batch norm, cumulative": lambda: nn.BatchNorm2d(4, momentum=None),
    "max pool": lambda: nn.MaxPool2d(2),
    "relu": nn.ReLU,
    "dropout": nn.Dropout,
    "linear": lambda: nn.Linear(5, 2),
    "upsample": lambda: nn.Upsample(scale_factor=2),
    "network": lambda: nn.Sequential(nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3), nn.ReLU()),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_refuses_an_array_and_keeps_its_state(name):
    layer = LAYERS[name]()
    before = layer.state_dict()
    with pytest.raises(TypeError, match=r"\w+: x is an array of shape .*; it must be a Tensor"):
        layer(images())
    after = layer.state_dict()
    assert all((after[key] == array).all() for key, array in before.items())


@pytest.mark.parametrize("wrong", [None, 3.0, "text", [1.0, 2.0]])
def test_what_is_no_array_is_refused_alike(wrong):
    kind = type(wrong).__name__
    with pytest.raises(TypeError, match=f"relu: x is a {kind}; it must be a Tensor"):
        F.relu(wrong)


def test_a_failed_batch_is_not_counted():
    layer = nn.BatchNorm2d(4)
    with pytest.raises(ValueError, match="channels"):
        layer(tensors(2, 3, 2, 2))
    assert int(layer.num_batches_tracked) == 0
    layer(tensors(2, 4, 2, 2))
    assert int(layer.num_batches_tracked) == 1
