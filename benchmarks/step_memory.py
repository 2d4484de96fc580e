"""Memory of a step of the paper's network: ``python -m benchmarks.step_memory [--batch 2]``.

Forward, backward and update (SGD with momentum) on 224 x 224 images, with the activations of
``--recompute`` stages computed twice. Prints processor seconds, and peak memory of the process and
of the step's arrays in GiB, as JSON. The first of three steps compiles and makes the momenta; it
counts for memory only.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from minideconv import functional as F
from minideconv import optim
from minideconv.autograd import Tensor
from minideconv.backend import parallel
from minideconv.engine.cpu import memory, resident
from minideconv.models import deconvnet


def measure(batch: int, recompute: int) -> dict[str, float]:
    parallel.set_num_threads(1)
    net = deconvnet(recompute=recompute)
    sgd = optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    rng = np.random.default_rng(0)
    x = Tensor(rng.normal(size=(batch, 3, 224, 224)).astype(np.float32))
    labels = rng.integers(0, 21, (batch, 224, 224))
    resident.reset_peak()
    seconds = []
    for _ in range(3):
        start = time.process_time()
        F.cross_entropy(net(x), labels).backward()
        sgd.step()
        sgd.zero_grad()
        seconds.append(time.process_time() - start)
    return {
        "batch": batch,
        "recompute": recompute,
        "seconds": round(min(seconds[1:]), 2),
        "process": round(resident.peak() / 2**30, 2),
        "arrays": round(memory.use().peak / 2**30, 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--recompute", type=int, default=0, metavar="STAGES")
    given = parser.parse_args()
    print(json.dumps(measure(given.batch, given.recompute)))
