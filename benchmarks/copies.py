"""What a layer costs after it was copied: ``python -m benchmarks.copies [--channels C]``.

The layer is DeconvNet's fc6, a 7 x 7 convolution to 8 C channels, with one image. Its weight (411
MB for C = 512) is stored taps first; where a copy has lost that order, every call sorts it again.
Milliseconds of processor time, the medians of five calls that take turns, and in brackets those of
a copy's first call.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import pickle
import statistics
import time
from typing import Any

import numpy as np

from benchmarks.machine import describe
from minideconv import Tensor, nn, no_grad, optim
from minideconv.nn import Parameter


def milliseconds(layer: Any, x: Tensor) -> float:
    start = time.process_time()
    with no_grad():
        layer(x)
    return 1e3 * (time.process_time() - start)


def copies(layer: nn.Conv2d) -> dict[str, nn.Conv2d]:
    """Return the layer, and one of each kind of copy."""

    def other(weight: Any) -> nn.Conv2d:
        made = copy.copy(layer)
        made.weight = weight
        return made

    in_c_order = np.ascontiguousarray(layer.weight.data)
    flat = other(Parameter(in_c_order.copy()))
    optim.SGD([flat.weight], lr=0.1).flatten()
    return {
        "the layer": layer,
        "deepcopy": copy.deepcopy(layer),
        "pickle": pickle.loads(pickle.dumps(layer, 4)),
        "Parameter of an array in C order": other(Parameter(in_c_order)),
        "the same, behind flatten()": flat,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.copies", description=__doc__.split("\n")[0])
    parser.add_argument("--channels", type=int, default=512, metavar="C", help="512: as in fc6")
    c = parser.parse_args().channels
    x = Tensor(np.random.default_rng(0).standard_normal((1, c, 7, 7), np.float32))
    layers = copies(nn.Conv2d(c, 8 * c, 7))
    milliseconds(layers["the layer"], x)  # compiles
    first = {name: milliseconds(layer, x) for name, layer in layers.items()}
    rounds = [{name: milliseconds(each, x) for name, each in layers.items()} for _ in range(5)]
    print(f"{datetime.date.today()}, {describe()['cpu']}, C = {c}")
    for name in layers:
        found = statistics.median(turn[name] for turn in rounds)
        print(f"{found:9.2f}  ({first[name]:9.2f})  {name}")


if __name__ == "__main__":
    main()
