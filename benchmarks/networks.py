"""Section `networks`: whole networks, trained and used, beside PyTorch's and ONNX Runtime's.

The others compute what ours does with the same numbers: PyTorch a network that
`interop.torch.torch_twin` builds, ONNX Runtime the file that `export` writes. Their first scores,
or losses, are compared with ours before anything is timed.

=====================  =============================================================================
fast, numpy            ours; scores without a tape
plan                   ours, the plan that `minideconv.inference` records; scores only
default_nchw           PyTorch as it is usually written
tuned_channels_last    channels last, ReLU in place, the fused optimiser; for scores, batch
                       normalisation folded into the convolutions
compile                the same through ``torch.compile``
onnxruntime            ONNX Runtime with all its optimisations; scores only
=====================  =============================================================================
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.children import race
from benchmarks.contenders import SEED, SGD, step
from benchmarks.convolutions import check_equal
from benchmarks.modes import available, set_threads, switch, the_torch
from benchmarks.plans import Net, Plan, Whole
from benchmarks.timing import Timed, alternate, summary
from benchmarks.unet import UNet
from minideconv import Tensor, models, nn, no_grad, optim, random
from minideconv import functional as F

__all__ = ["CLASSES", "network_of", "present", "rows", "task"]

CLASSES: dict[str, Any] = {"deconvnet": models.deconvnet, "fcn8s": models.FCN8s, "unet": UNet}
TRAINING, INFERENCE = "training step", "inference"
RATE = 1e-5  # of SGD: the FCN has no normalisation, and its loss must stay a number


def rows(plan: Plan, threads: int) -> Iterator[dict[str, Any]]:
    """Measure every network of the plan, and one step with all threads and with one."""
    for whole in plan.wholes:
        names = present(whole)
        measured = _in_processes if whole.processes else _in_this_process
        times, parameters = measured(names, whole, plan.rounds, threads)
        yield {
            "name": whole.name,
            "pass": whole.what,
            "batch": whole.batch,
            "input_size": whole.size,
            "parameters": parameters,
            "times": times,
        }
    if threads > 1:
        for net in plan.small_steps[:1]:
            yield _threads(net, plan.rounds, threads)


def present(whole: Whole) -> list[str]:
    """Return the contenders that can run here and do this."""
    import minideconv

    missing = set()
    if not hasattr(minideconv, "inference"):
        missing.add("plan")
    if find_spec("onnxruntime") is None:
        missing.add("onnxruntime")
    if shutil.which("g++") is None:  # what torch.compile translates with
        missing.add("compile")
    if whole.what == TRAINING:
        missing |= {"plan", "onnxruntime"}
    return [name for name in available(whole.contenders) if name not in missing]


def _in_this_process(
    names: list[str], whole: Whole, rounds: int, threads: int
) -> tuple[dict[str, Any], int]:
    contenders, parameters = {}, 0
    for name in names:
        run, parameters = task(name, whole, threads)
        prepare = (lambda name=name: switch(_mode(name))) if _mode(name) else (lambda: None)
        contenders[name] = Timed(run, prepare)
    expected = np.asarray(contenders[names[0]].first)
    for name, contender in contenders.items():
        what = f"{whole.name}, {whole.what}: {name} and {names[0]}"
        check_equal(what, np.atleast_1d(contender.first), np.atleast_1d(expected))
        del contender.first
    samples = alternate(contenders, rounds, threads)
    return {name: summary(got, threads) for name, got in samples.items()}, parameters


def _in_processes(
    names: list[str], whole: Whole, rounds: int, threads: int
) -> tuple[dict[str, Any], int]:
    samples, _, parameters = race(names, whole, threads, rounds, agree=1e-3)
    return {name: summary(got, threads) for name, got in samples.items()}, parameters


def _mode(name: str) -> str:
    """Return the mode of ours in which a contender computes; "" for the others."""
    return {"fast": "fast", "plan": "fast", "numpy": "numpy"}.get(name, "")


def _threads(net: Net, rounds: int, threads: int) -> dict[str, Any]:
    """Whether a second core pays: a step with all threads and with one, both by the wall clock."""
    contenders, names = {}, available(("fast", "tuned_channels_last"))
    parameters = 0
    for name in names:
        for count, title in ((threads, name), (1, f"{name}_one")):
            set_threads(count)
            run, parameters = step(name, net)

            def prepare(name: str = name, count: int = count) -> None:
                set_threads(count)
                if _mode(name):
                    switch(_mode(name))

            contenders[title] = Timed(run, prepare, least=0.1)
    samples = alternate(contenders, rounds, threads)
    set_threads(threads)
    return {
        "name": net.name,
        "pass": f"training step, {threads} threads and one",
        "batch": net.batch,
        "input_size": net.input_size,
        "parameters": parameters,
        "times": {name: summary(got, threads) for name, got in samples.items()},
    }


# ---------------------------------------------------------------------------------------------
# The contenders


def network_of(whole: Whole) -> nn.Module:
    """Return our network, with the same random weights every time."""
    random.manual_seed(SEED)
    network: nn.Module = CLASSES[whole.model](**whole.arguments)
    for name, parameter in network.named_parameters():
        if name.startswith("score") and name.endswith("weight"):  # FCN's start at zero
            nn.init.kaiming_normal_(parameter)
    return network


def task(name: str, whole: Whole, threads: int) -> tuple[Callable[[], Any], int]:
    """Build a contender; return what gives its scores, or takes a step and gives the loss."""
    network = network_of(whole)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((whole.batch, 3, whole.size, whole.size), np.float32)
    labels = rng.integers(0, whole.arguments["num_classes"], (whole.batch, *images.shape[2:]))
    if _mode(name):
        switch(_mode(name))
        build = _our_step if whole.what == TRAINING else _our_scores
        run = build(name, network, images, labels)
    elif name == "onnxruntime":
        run = _onnx_scores(network, images, threads)
    else:
        build = _torch_step if whole.what == TRAINING else _torch_scores
        run = build(name, network, images, labels)
    return run, network.num_parameters()


def _our_step(name: str, network: nn.Module, images: Any, labels: Any) -> Callable[[], float]:
    x = Tensor(images)
    sgd = optim.SGD(_learning(network), **SGD | {"lr": RATE})

    def run() -> float:
        sgd.zero_grad()
        loss = F.cross_entropy(network(x), labels)
        loss.backward()
        sgd.step()
        return loss.item()

    return run


def _learning(network: Any) -> list[Any]:
    return [p for p in network.parameters() if p.requires_grad]


def _our_scores(name: str, network: nn.Module, images: Any, labels: Any) -> Callable[[], Any]:
    network.eval()
    if name == "plan":
        from minideconv import inference

        plan = inference(network)
        return lambda: np.asarray(plan(images))
    x = Tensor(images)

    def run() -> Any:
        with no_grad():
            return network(x).data

    return run


def _onnx_scores(network: nn.Module, images: np.ndarray, threads: int) -> Callable[[], Any]:
    import onnxruntime

    from minideconv.export import export_onnx

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        export_onnx(network, path, images.shape[2])
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda: session.run(["scores"], {given.name: images})[0]


def _twin(name: str, network: nn.Module, images: np.ndarray) -> tuple[Any, Any]:
    """Return PyTorch's network and images, in the layout and as fast as the contender has them."""
    from minideconv.interop.torch import torch_twin

    torch = the_torch()
    twin, x = torch_twin(network, images.shape[2], dynamic_size=False), torch.from_numpy(images)
    frozen = {key for key, p in network.named_parameters() if not p.requires_grad}
    for key, parameter in twin.named_parameters():
        parameter.requires_grad_(key not in frozen)
    if name == "default_nchw":
        return twin, x
    for node in twin.graph.nodes:
        if node.target is torch.relu and len(node.all_input_nodes[0].users) == 1:
            node.target = torch.relu_
    twin.recompile()
    return _channels_last(twin), _channels_last(x)


def _folded(twin: Any) -> Any:
    """Fold each batch normalisation of a graph in evaluation mode into the convolution before."""
    torch = the_torch()
    for node in list(twin.graph.nodes):
        before = node.args[0] if node.op == "call_module" else None
        if getattr(before, "op", "") != "call_module" or len(before.users) > 1:
            continue
        layer, norm = (twin.get_submodule(n.target) for n in (before, node))
        if isinstance(norm, torch.nn.BatchNorm2d):
            transposed = isinstance(layer, torch.nn.ConvTranspose2d)
            folded = torch.nn.utils.fusion.fuse_conv_bn_eval(layer, norm, transposed)
            twin.set_submodule(before.target, folded)
            node.replace_all_uses_with(before)
            twin.graph.erase_node(node)
    twin.recompile()
    return twin


def _channels_last(found: Any) -> Any:
    torch = the_torch()
    if isinstance(found, torch.Tensor):
        return found.contiguous(memory_format=torch.channels_last)
    return found.to(memory_format=torch.channels_last)


def _torch_step(name: str, network: nn.Module, images: Any, labels: Any) -> Callable[[], float]:
    torch = the_torch()
    twin, x = _twin(name, network, images)
    target = torch.from_numpy(labels)
    twin.train()
    learning = [p for p in twin.parameters() if p.requires_grad]
    sgd = torch.optim.SGD(learning, **SGD | {"lr": RATE}, fused=name != "default_nchw")

    def loss_of(x: Any) -> Any:
        return torch.nn.functional.cross_entropy(twin(x), target)

    forward = torch.compile(loss_of) if name == "compile" else loss_of

    def run() -> float:
        sgd.zero_grad()
        loss = forward(x)
        loss.backward()
        sgd.step()
        found: float = loss.item()
        return found

    return run


def _torch_scores(name: str, network: nn.Module, images: Any, labels: Any) -> Callable[[], Any]:
    torch = the_torch()
    network.eval()
    twin, x = _twin(name, network, images)
    if name != "default_nchw":
        twin = _channels_last(_folded(twin))
    forward = torch.compile(twin) if name == "compile" else twin

    def run() -> Any:
        with torch.no_grad():
            return forward(x).numpy()

    return run
