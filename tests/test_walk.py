"""Can a reader follow one call from the Tensor to the matrix product?

The files of the package that a call runs through are those that a reader has to open.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import minideconv
from minideconv import Tensor
from minideconv import functional as F
from minideconv.backend.algorithms import algorithm

PACKAGE = Path(minideconv.__file__).parent


def walk(function, until=""):
    """Call `function`; return ``{file: functions}`` in the order in which they are met.

    What is met after the function `until` is left out.
    """
    met: dict[str, dict[str, None]] = {}

    def enter(frame, event, _):
        path = Path(frame.f_code.co_filename)
        there = any(until in functions for functions in met.values())
        if event == "call" and PACKAGE in path.parents and not there:
            met.setdefault(str(path.relative_to(PACKAGE)), {})[frame.f_code.co_name] = None

    before = sys.getprofile()
    sys.setprofile(enter)
    try:
        function()
    finally:
        sys.setprofile(before)
    return {file: list(functions) for file, functions in met.items()}


def convolution():
    x = Tensor(np.ones((1, 2, 5, 5), np.float32))
    weight = Tensor(np.ones((3, 2, 3, 3), np.float32), requires_grad=True)
    bias = Tensor(np.ones(3, np.float32), requires_grad=True)
    return lambda: F.conv2d(x, weight, bias, padding=1)


@pytest.mark.cpu  # a GPU's arrays are walked through more of `backend`
def test_from_the_tensor_to_the_product():
    with algorithm("reference"):
        call = convolution()
        call()  # what is done once, as reading the environment, is no part of the walk
        met, product = walk(call), walk(call, until="multiply")
    for file, functions in met.items():
        print(f"{file:28s} {' '.join(functions)}")
    assert next(iter(met)) == "functional/convolution.py"
    assert {"ops/conv.py", "autograd/record.py", "autograd/tensor.py"} <= met.keys()
    assert "multiply" in product["ops/conv.py"]  # the function around ``matrix @ cols``
    assert len(product) <= 9  # one of them, backend/choice.py, asks what the thread has chosen
    assert len(met) <= 11  # with the tape, which comes after the product
