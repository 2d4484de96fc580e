"""Section `steps`: whole training steps on the GPU, ours and PyTorch's, on a batch that stays.

zero_grad, forward, cross entropy, backward, SGD with momentum and weight decay. Nothing reads the
loss: both libraries go on to the next step without waiting for the device. PyTorch has its images
and weights channels last, cuDNN in benchmark mode, a fused optimiser, and for bf16 autocast; ours
chooses its convolutions by measurement (`set_benchmark`, which the training program does not do by
itself), and is recorded into a CUDA graph. "without graph" is the same step started kernel by
kernel from Python, as PyTorch's "torch"
is; "torch graph" is PyTorch's step recorded by hand.

Weights are drawn once for each network, on the CPU; both libraries begin with them each time.
Ours are uploaded on the stream that computes with them: no other stream waits for an upload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from benchmarks.contenders import SGD, batch_of, network_of
from benchmarks.gpu_device import (
    Row,
    cuda_torch,
    free_memory,
    precisions_here,
    recorded_by_torch,
    take_turns,
    the_gpu,
)
from benchmarks.gpu_layers import TOLERANCE, torch_precision
from benchmarks.modes import BenchmarkError
from benchmarks.plans import Net
from minideconv import Tensor, optim
from minideconv import functional as F
from minideconv.backend import default_device, to_device
from minideconv.backend.precisions import precision
from minideconv.engine.cuda import checks, memory
from minideconv.engine.cuda.benchmark import get_benchmark, set_benchmark
from minideconv.engine.cuda.graph import Recorder

__all__ = ["our_step", "steps"]

Step = Callable[[], Any]


def steps(
    nets: Sequence[Net],
    precisions: Sequence[str],
    rounds: int,
    least: float,
    try_all: bool,
) -> Iterator[Row]:
    """Measure the step of each network in each precision, recorded as a graph and not.

    Raises
    ------
    BenchmarkError
        At the end, if PyTorch failed or had another first loss.
    """
    problems: list[str] = []
    before = get_benchmark()
    set_benchmark(try_all)
    try:
        for net, chosen in product(nets, precisions_here(precisions)):
            what = f"{net.name}, batch {net.batch}, {chosen}"
            try:
                yield _row(net, chosen, rounds, least, what, problems)
            except Exception as error:
                if memory.bytes_asked(error) is None:
                    raise
                print(f"  {what}: left out, it needs more memory than there is", flush=True)
            free_memory()
    finally:
        set_benchmark(before)
    if problems:
        raise BenchmarkError("; ".join(problems))


def _row(net: Net, chosen: str, rounds: int, least: float, what: str, problems: list[str]) -> Row:
    contenders, peaks, loss = _our_contenders(net, chosen)
    try:
        theirs = _torchs_contenders(net, chosen, peaks, contenders)
    except RuntimeError as error:
        problems.append(f"{what}: PyTorch failed: {str(error).partition(chr(10))[0]}")
    else:
        if theirs is not None and not abs(loss - theirs) <= 10 * TOLERANCE[chosen] * abs(loss):
            problems.append(f"{what}: first loss {loss}, PyTorch's {theirs}")
    free_memory()
    times = take_turns(contenders, rounds, least)
    return {
        "name": net.name,
        "batch": net.batch,
        "input": net.input_size,
        "precision": chosen,
        "ms": times,
        "images_per_s": round(1e3 * net.batch / times["ours"], 1),
        "peak_gib": peaks,
    }


def _our_contenders(net: Net, chosen: str) -> tuple[dict[str, Step], dict[str, float], float]:
    """Return our steps by name, the memory that one takes at most, and the first loss."""
    stream = the_gpu().cuda.Stream(non_blocking=True)
    contenders: dict[str, Step] = {}
    with stream:
        step = our_step(net, chosen)
        loss = step().item()
        with memory.measured() as peak:  # not the first one, which tries algorithms
            step()
        step()
        memory.release()
        contenders["ours"] = _on(stream, Recorder().record(step))
    contenders["without graph"] = _on(stream, step)
    return contenders, {"ours": _gib(peak.nbytes)}, loss


def _torchs_contenders(
    net: Net, chosen: str, peaks: dict[str, float], contenders: dict[str, Step]
) -> float | None:
    """Add PyTorch's steps and memory, where PyTorch is there; return its first loss."""
    torch = cuda_torch()
    if torch is None:
        return None
    held = torch.cuda.memory_allocated()
    step, loss = _torch(torch, net, chosen)
    torch.cuda.reset_peak_memory_stats()
    step()  # not the first one either
    peaks["torch"] = _gib(torch.cuda.max_memory_allocated() - held)
    contenders["torch"] = step
    if (graph := recorded_by_torch(torch, step)) is not None:
        contenders["torch graph"] = graph
    return loss


def _gib(nbytes: int) -> float:
    return round(nbytes / 2**30, 3)


def _on(stream: Any, step: Step) -> Step:
    """Return a step that works on `stream`: the common one cannot be recorded."""

    def run() -> Any:
        with stream:
            return step()

    return run


@lru_cache(maxsize=1)  # the paper's network has 1 GB of weights
def _drawn(net: Net) -> Any:
    """Return a network on the CPU, whose weights are the first ones of all contenders."""
    with default_device("cpu"):
        return network_of(net)


def _first_weights(net: Net) -> Any:
    return _drawn(replace(net, name="of any batch", batch=0))


def our_step(net: Net, chosen: str) -> Step:
    """Return our step of a network; its arrays are made on the current stream."""
    network, (images, labels) = deepcopy(_first_weights(net)).to("gpu"), batch_of(net)
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


def _torch(torch: Any, net: Net, chosen: str) -> tuple[Step, float]:
    from benchmarks.torch_nets import TorchDeconvNet, copy_weights

    with torch.device("cuda"):  # its own first weights, which are not used, are drawn there
        network = TorchDeconvNet(**net.arguments())
    copy_weights(network, _first_weights(net))
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
