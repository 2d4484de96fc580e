"""One training step of the paper's network: ``python -m benchmarks.full_step [--batch 2]``.

Forward, backward and update (SGD with momentum) of the 251,805,653-parameter DeconvNet on 224 x 224
images. Prints seconds and the process's peak memory as JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np

from minideconv import functional as F
from minideconv import optim, parallel
from minideconv.autograd import Tensor
from minideconv.models import deconvnet


def measure(batch: int, steps: int, threads: int | None) -> dict[str, float]:
    used = parallel.set_num_threads(threads)
    net = deconvnet()
    sgd = optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    rng = np.random.default_rng(0)
    x = Tensor(rng.normal(size=(batch, 3, 224, 224)).astype(np.float32))
    labels = rng.integers(0, 21, (batch, 224, 224))
    seconds, losses = [], []
    for _ in range(steps):
        start = time.perf_counter()
        loss = F.cross_entropy(net(x), labels)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    return {
        "parameters": net.num_parameters(),
        "batch": batch,
        "threads": used,
        "losses": losses,
        "seconds_per_step": sorted(seconds)[len(seconds) // 2],
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.batch, arguments.steps, arguments.threads), indent=1))
