"""Latency of one image: ``python -m benchmarks.inference [--networks NAME ...] [--rounds N]``

The small network that ``python -m minideconv.train`` trains by default, and FCN-8s at 224 pixels,
with one thread. Contenders, interleaved:

=============  =====================================================================================
network        the network's own forward, without a tape
folded         the same with its batch normalisations folded (`nn.folding`)
calls          a plan whose steps are calls of the engine: ReLU fused, no module is called
plan           `minideconv.inference`: weights packed beforehand, kernels bound to their arrays
onnxruntime    the network as an ONNX file (`export`), one thread
torch          its twin (`interop.torch`) in ``inference_mode``
torch compile  the same behind ``torch.compile``
=============  =====================================================================================

What is kept of each is the median, and what is compared are the ratios to `plan`. Contenders whose
package is missing are left out.
"""

from __future__ import annotations

import argparse
import copy
import importlib.metadata
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.modes import BenchmarkError, set_our_threads
from benchmarks.timing import Timed, alternate, summary
from minideconv import Tensor, inference, models, nn, no_grad, random
from minideconv.export import export_onnx
from minideconv.nn.folding import fold_batch_norm_
from minideconv.runtime import program
from minideconv.settings import command_line

__all__ = ["NETWORKS", "RESULTS", "contenders", "main", "measure", "table", "tables"]

RESULTS = Path(__file__).parent / "results" / "inference.json"

Call = Callable[[], np.ndarray]


def _default() -> nn.Module:
    options = models.registry.MODELS["deconvnet"].options()
    known = {"num_classes": 5, "input_size": 48}
    return models.build("deconvnet", models.registry.arguments("deconvnet", options, **known))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "default": (_default, 48),
    "fcn8s": (lambda: models.fcn(8, num_classes=21), 224),
}
"""Each network and the side of its image in pixels."""


def network_of(name: str) -> tuple[nn.Module, np.ndarray]:
    """Return a network with drawn weights and statistics, and one image."""
    random.manual_seed(0)
    build, side = NETWORKS[name]
    network, rng = build().eval(), np.random.default_rng(0)
    for key, array in network.arrays().items():
        if key.endswith("running_var"):
            array[...] = rng.uniform(0.5, 1.5, array.shape)
        elif key.startswith("score"):  # starts at zero, where every implementation is right
            array[...] = rng.standard_normal(array.shape) * 0.01
    return network, rng.standard_normal((1, 3, side, side), np.float32)


def contenders(
    network: nn.Module, x: np.ndarray, folder: Path, names: Sequence[str]
) -> dict[str, Call]:
    """Return what is timed, by name; each gives the scores."""
    makers = {
        "network": _network,
        "folded": lambda net, x, _: _network(_folded(net), x, _),
        "calls": _calls,
        "plan": _plan,
        "onnxruntime": _onnxruntime,
        "torch": _torch,
        "torch compile": partial(_torch, compiled=True),
    }
    needs = {"onnxruntime": "onnxruntime", "torch": "torch", "torch compile": "torch"}
    return {
        name: make(network, x, folder)
        for name, make in makers.items()
        if name in names and find_spec(needs.get(name, "numpy"))
    }


CONTENDERS = ("network", "folded", "calls", "plan", "onnxruntime", "torch", "torch compile")


def _network(network: nn.Module, x: np.ndarray, _: Path) -> Call:
    tensor = Tensor(x)

    def call() -> np.ndarray:
        with no_grad():
            scores: np.ndarray = network(tensor).data
        return scores

    return call


def _folded(network: nn.Module) -> nn.Module:
    folded = copy.deepcopy(network)
    fold_batch_norm_(folded)
    return folded


def _plan(network: nn.Module, x: np.ndarray, _: Path) -> Call:
    return partial(inference(network), x)


def _calls(network: nn.Module, x: np.ndarray, _: Path) -> Call:
    plan, kernel_of = inference(network), program.kernel_of
    program.kernel_of = lambda *_: None  # type: ignore[assignment]  # for this plan alone
    try:
        plan(x)
    finally:
        program.kernel_of = kernel_of
    return partial(plan, x)


def _onnxruntime(network: nn.Module, x: np.ndarray, folder: Path) -> Call:
    import onnxruntime

    path = folder / "network.onnx"
    export_onnx(network, path, x.shape[2:])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: x}

    def call() -> np.ndarray:
        scores: np.ndarray = session.run(None, given)[0]
        return scores

    return call


def _torch(network: nn.Module, x: np.ndarray, _: Path, compiled: bool = False) -> Call:
    import torch

    from minideconv.interop.torch import torch_twin

    torch.set_num_threads(1)
    twin, tensor = torch_twin(network, x.shape[2:], dynamic_size=False), torch.from_numpy(x)
    function = torch.compile(twin) if compiled else twin

    def call() -> np.ndarray:
        with torch.inference_mode():
            scores: np.ndarray = function(tensor).numpy()
        return scores

    return call


def _more_versions() -> dict[str, str]:
    try:
        return {"onnxruntime": importlib.metadata.version("onnxruntime")}
    except importlib.metadata.PackageNotFoundError:
        return {}


def measure(name: str, rounds: int, names: Sequence[str] = CONTENDERS) -> dict[str, Any]:
    """Return each contender's times in milliseconds, and its ratio to those of the plan.

    Raises
    ------
    BenchmarkError
        If one of them gives other scores.
    """
    network, x = network_of(name)
    with tempfile.TemporaryDirectory() as folder:
        calls = contenders(network, x, Path(folder), names)
        timed = {key: Timed(call) for key, call in calls.items()}
        wanted = timed["plan"].first
        for key, each in timed.items():
            error = float(np.abs(each.first - wanted).max() / np.abs(wanted).max())
            if not error < 1e-3:
                raise BenchmarkError(
                    f"{name}: {key} gives other scores, by {error:.1e} of the largest"
                )
        samples = alternate(timed, rounds, 1)
    ours = [sample.cpu for sample in samples["plan"]]
    rows = {}
    for key, found in samples.items():
        ratios = [a / b.cpu for a, b in zip(ours, found, strict=True)]
        rows[key] = {**summary(found, 1), "plan_ratio": round(statistics.median(ratios), 3)}
    return {
        "network": name,
        "side": x.shape[2],
        "date": date.today().isoformat(),
        "machine": machine.describe(),
        "versions": machine.versions() | _more_versions(),
        "rounds": rounds,
        "contenders": rows,
    }


def table(found: dict[str, Any]) -> str:
    """Return the results of one network as Markdown."""
    lines = [
        f"| {found['network']}, {found['side']} pixels | ms | plan / this |",
        "|---|---:|---:|",
    ]
    for key, row in found["contenders"].items():
        lines.append(f"| {key} | {row['ms']:.4g} | {row['plan_ratio']:.2f} |")
    return "\n".join(lines)


def tables(found: dict[str, Any]) -> str:
    """Return what a results file holds as Markdown: for each network a table, when and on what."""
    head = (
        "One image, one thread, processor time, medians of interleaved turns, as"
        " `python -m benchmarks.inference` prints and stores them."
    )
    return "\n\n".join([head, *map(_described, found["networks"])]) + "\n"


def _described(found: dict[str, Any]) -> str:
    where = f"{found['machine']['cpu']} ({', '.join(found['machine']['vectors'])})"
    versions = ", ".join(f"{k} {v}" for k, v in found["versions"].items() if v != "missing")
    return f"{table(found)}\n\n{found['date']}, {where}, {found['rounds']} turns; {versions}."


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="benchmarks.inference",
        description=__doc__.split("\n")[0],
        formatter_class=command_line.HelpFormatter,
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS),
                        metavar="NAME", help=f"which of {', '.join(NETWORKS)} [all]")  # fmt: skip
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS),
                        metavar="NAME", help="which contenders besides the plan [all]")  # fmt: skip
    parser.add_argument("--rounds", type=command_line.positive, default=25, metavar="N",
                        help="turns of each contender [25]")  # fmt: skip
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE.json",
                        help="results; those of other networks stay there")  # fmt: skip
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    given = _parser().parse_args(arguments)
    set_our_threads(1)
    kept: dict[str, Any] = {}
    if given.out.exists():
        kept = {each["network"]: each for each in json.loads(given.out.read_text())["networks"]}
    for name in given.networks:
        kept[name] = measure(name, given.rounds, {"plan", *given.contenders})
        print(table(kept[name]), flush=True)
        found = {"networks": [kept[key] for key in NETWORKS if key in kept]}
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(command_line.run_program("benchmarks.inference", main, sys.argv[1:]))
