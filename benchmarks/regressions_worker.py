"""One version of minideconv, measured by this checkout's programs: see `benchmarks.regressions`.

Started as a file, with the folder of the version to measure. Requests and answers are lines of
JSON: ``list`` names the rows; ``build`` makes one ready and drops the last; ``run`` takes a turn of
it and answers in seconds of processor time for one call.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = sys.argv[1]
# The package from there, and behind it everything else from here.
sys.path.insert(0, FOLDER)
import minideconv  # noqa: E402

sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import convolutions, memory_bound, optimizers, tape  # noqa: E402
from benchmarks.contenders import step  # noqa: E402
from benchmarks.layers import distinct, layers_of  # noqa: E402
from benchmarks.modes import available, set_our_threads, switch, the_torch  # noqa: E402
from benchmarks.plans import DEFAULT, FULL, PAPER, SMALL  # noqa: E402
from benchmarks.timing import Timed  # noqa: E402
from minideconv.nn import Parameter  # noqa: E402

Build = Callable[[], Callable[[], Any]]


def steps() -> dict[str, Build]:
    """Whole training steps."""
    mode = available(("fast", "numpy"))[0]
    return {
        f"{net.name}, batch {net.batch}": lambda net=net: step(mode, net)[0]
        for net in (DEFAULT, SMALL, PAPER)
    }


def conv() -> dict[str, Build]:
    """Every distinct convolution, forward and both gradients."""
    found: dict[str, Build] = {}
    for net in FULL.layer_nets:
        for layer, names in distinct(layers_of(net)):
            for which in convolutions.PASSES:
                if which != "input gradient" or layer.name != "conv1_1":
                    name = f"{net.name}, {names[0]} ({layer}), {which}"
                    found[name] = lambda layer=layer, which=which: convolutions.our_calls(
                        layer, convolutions.arrays_of(layer)
                    )[which]
    return found


def memory() -> dict[str, Build]:
    """Operations that move much and compute little."""
    found: dict[str, Build] = {}
    for shape, case in memory_bound.cases(FULL.maps, FULL.scores, memory_bound.CPU):
        found[f"{case.name}, {'x'.join(map(str, shape))}"] = lambda case=case: case.ours
    return found


def optim() -> dict[str, Build]:
    """Both optimisers on large arrays and on those of the default network."""
    small = [p.shape for p in minideconv.models.deconvnet(**DEFAULT.arguments()).parameters()]
    return {
        f"{name}, {what}": lambda name=name, shapes=shapes: optimizers.our_step(
            name, optimizers.values_of(shapes)
        )[0]
        for name in optimizers.OPTIONS
        for what, shapes in (("large arrays", [(4096, 1024)] * 4), (DEFAULT.name, small))
    }


def on_the_tape() -> dict[str, Build]:
    """Operations on a few numbers: on arrays, recorded, and recorded with their backward."""
    import numpy as np

    x = np.random.default_rng(0).standard_normal(tape.SIZE, np.float32)
    found: dict[str, Build] = {}
    for case in tape.cases(the_torch()):
        mine = Parameter(x.copy())
        for what, make in {
            "arrays": lambda case=case: tape.chained(case.alone, x, case.chain),
            "forward": lambda case=case, p=mine: tape.chained(case.ours, p, case.chain),
            "forward and backward": lambda case=case, p=mine: tape.both(case.ours, p, case.chain),
        }.items():
            found[f"{case.name}, {what}"] = make
    return found


SECTIONS = {"steps": steps, "conv": conv, "memory": memory, "optim": optim, "tape": on_the_tape}


def serve(answers: Any) -> None:
    """Answer requests until there are no more."""
    built: dict[str, dict[str, Build]] = {}
    timed = None

    def section(name: str) -> dict[str, Build]:
        if name not in built:
            built.clear()  # the arrays of the last section
            built[name] = SECTIONS[name]()
        return built[name]

    for line in sys.stdin:
        request, result = json.loads(line), None
        try:
            if request["do"] == "list":
                result = [f"{name}: {row}" for name in SECTIONS for row in section(name)]
            elif request["do"] == "build":
                timed = None
                name, row = request["row"].split(": ", 1)
                # A step of the large network is long; what takes microseconds is repeated.
                timed = Timed(section(name)[row](), least=0.02)
                timed.first = None
            elif timed is not None:
                result = timed().cpu
        except Exception as error:
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers)
        else:
            print(json.dumps({"result": result}), file=answers)
        answers.flush()


if __name__ == "__main__":
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed must not be taken for an answer
    assert Path(minideconv.__file__).is_relative_to(FOLDER), minideconv.__file__
    set_our_threads(1)
    switch(available(("fast", "numpy"))[0])
    serve(output)
