"""Section `steps`: whole training steps on the GPU, ours and PyTorch's, on a batch that stays.

zero_grad, forward, cross entropy, backward, SGD with momentum and weight decay. Nobody reads the
loss: both libraries go on to the next step without waiting for the device. PyTorch has its images
and weights channels last, cuDNN in benchmark mode, a fused optimiser, and for bf16 autocast; ours
chooses its convolutions by measurement, and is recorded into a CUDA graph, as the training program
does it. "without graph" is the same step started kernel by kernel from Python, as PyTorch's "torch"
is; "torch graph" is PyTorch's step recorded by hand.

Weights are drawn once for each network, on the CPU; both libraries begin with them each time.
Ours are uploaded on the stream that computes with them: no other stream waits for an upload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks.contenders import SGD, batch_of, network_of
from benchmarks.gpu_device import Row, cuda_torch, recorded_by_torch, take_turns, the_gpu
from benchmarks.gpu_layers import TOLERANCE, torch_precision
from benchmarks.modes import BenchmarkError
from benchmarks.plans import Net
from minideconv import Tensor, optim
from minideconv import functional as F
from minideconv.backend import cupy, default_device, to_device
from minideconv.engine.cuda import checks, memory
from minideconv.engine.cuda.benchmark import set_benchmark
from minideconv.engine.cuda.graph import Recorder
from minideconv.precisions import precision

__all__ = ["our_step", "steps"]

Step = Callable[[], Any]


def steps(
    nets: Sequence[Net],
    precisions: Sequence[str],
    rounds: int,
    least: float,
    try_all: bool,
) -> Iterator[Row]:
    """Measure the step of each network in each precision, recorded as a graph and not."""
    set_benchmark(try_all)
    for net in nets:
        drawn = _drawn_for(net)
        for chosen in precisions:
            contenders, peaks = _contenders(net, drawn, chosen)
            yield {
                "name": net.name,
                "batch": net.batch,
                "input": net.input_size,
                "precision": chosen,
                "ms": (times := take_turns(contenders, rounds, least)),
                "images_per_s": round(1e3 * net.batch / times["ours"], 1),
                "peak_gib": peaks,
            }
            contenders.clear()  # before the next ones ask for memory
            cupy().get_default_memory_pool().free_all_blocks()


def _contenders(net: Net, drawn: Any, chosen: str) -> tuple[dict[str, Step], dict[str, float]]:
    """Return the steps by name, and the memory that each library had at most, in GiB."""
    torch, stream = cuda_torch(), the_gpu().cuda.Stream(non_blocking=True)
    contenders: dict[str, Step] = {}
    with stream:
        step = _ours(net, drawn, chosen)
        loss = step().item()
        with memory.measured() as peak:  # not the first one, which tries algorithms
            step()
        step()
        memory.release()
        contenders["ours"] = _on(stream, Recorder().record(step))
    contenders["without graph"] = _on(stream, step)
    peaks = {"ours": _gib(peak.nbytes)}
    if torch is not None:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        contenders["torch"], theirs = _torch(torch, net, drawn, chosen)
        peaks["torch"] = _gib(torch.cuda.max_memory_allocated() - held)
        if not abs(loss - theirs) <= 10 * TOLERANCE[chosen] * abs(theirs):
            raise BenchmarkError(f"{net.name}, {chosen}: first loss {loss}, PyTorch's {theirs}")
        try:
            contenders["torch graph"] = recorded_by_torch(torch, contenders["torch"])
        except RuntimeError as error:
            print(f"PyTorch's step cannot be recorded here: {str(error).partition('.')[0]}")
    return contenders, peaks


def _gib(nbytes: int) -> float:
    return round(nbytes / 2**30, 3)


def _on(stream: Any, step: Step) -> Step:
    """Return a step that works on `stream`: the common one cannot be recorded."""

    def run() -> Any:
        with stream:
            return step()

    return run


def our_step(net: Net, chosen: str) -> Step:
    """Return our step of a network; its arrays are made on the current stream."""
    return _ours(net, _drawn_for(net), chosen)


def _drawn_for(net: Net) -> Any:
    return _drawn(replace(net, name="of any batch", batch=0))


@lru_cache(maxsize=1)  # the paper's network has 1 GB of weights
def _drawn(net: Net) -> Any:
    """Return a network on the CPU, whose weights are the first ones of all contenders."""
    with default_device("cpu"):
        return network_of(net)


def _ours(net: Net, drawn: Any, chosen: str) -> Step:
    """Return our step; the arrays are made on the current stream."""
    network, (images, labels) = deepcopy(drawn).to("gpu"), batch_of(net)
    optimizer = optim.SGD(network.parameters(), **SGD)
    optimizer.flatten()
    x, target = Tensor(to_device(images, "gpu")), to_device(labels.astype(np.uint8), "gpu")

    def run() -> Any:
        with precision(chosen), checks.deferred():
            optimizer.zero_grad()
            loss = F.cross_entropy(network(x), target, ignore_index=255)
            loss.backward()
            optimizer.step()
        return loss

    return run


def _torch(torch: Any, net: Net, drawn: Any, chosen: str) -> tuple[Step, float]:
    from benchmarks.torch_nets import TorchDeconvNet, copy_weights

    with torch.device("cuda"):  # its own first weights, which are not used, are drawn there
        network = TorchDeconvNet(**net.arguments())
    copy_weights(network, drawn)
    network = network.to(memory_format=torch.channels_last)
    images, labels = (torch.from_numpy(array).cuda() for array in batch_of(net))
    x = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), **SGD, fused=True)
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(chosen)

    def run() -> Any:
        torch_precision(torch, chosen)
        optimizer.zero_grad()
        # Without a cache: a recorded step must cast its weights anew in each replay.
        with torch.autocast("cuda", half, enabled=half is not None, cache_enabled=False):
            scores = network(x)
            loss = torch.nn.functional.cross_entropy(scores, labels, ignore_index=255)
        loss.backward()
        optimizer.step()
        return loss

    return run, run().item()
