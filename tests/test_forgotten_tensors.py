"""An array where a Tensor belongs is refused in a sentence, by every function and every layer."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from public_calls import CALLS, IMAGES, STATISTICS, tensors

from minideconv import Tensor, nn
from minideconv import functional as F
from minideconv.backend import get_default_device, to_device


def images() -> np.ndarray:
    return to_device(IMAGES, get_default_device())


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
