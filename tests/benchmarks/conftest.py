"""The benchmark is a program of the checkout, not of the package: found from the repository's root.

It switches algorithms and threads for the whole process; every test here puts them back.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from minideconv import train
from minideconv.backend import parallel
from minideconv.backend.algorithms import compiled, get_algorithm, set_algorithm, use_compiled

ROOT = Path(__file__).resolve().parents[2]
OTHERS = ("fast", "numpy", "default_nchw", "tuned_channels_last")  # no compiler, in seconds
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


@pytest.fixture(autouse=True)
def _settings_as_before():
    before = get_algorithm(), compiled(), parallel.get_num_threads()
    yield
    set_algorithm(before[0])
    use_compiled(before[1])
    parallel.set_num_threads(before[2])


@pytest.fixture(scope="session")
def net():
    """A network of a few hundred parameters."""
    from benchmarks.plans import Net

    return Net("tiny network", 2, width=2, input_size=8, fc=4, stages=2, num_classes=3)


@pytest.fixture(scope="session")
def tiny(net):
    """A plan of which every section takes seconds."""
    from benchmarks.geometries import Geometry
    from benchmarks.plans import Big, Plan, Whole

    return Plan(
        rounds=1,
        layer_nets=(net,),
        small_steps=(net,),
        big_steps=(
            Big(net, ("numpy", "default_nchw")),
            Big(net, ("numpy",), every_thread_number=False),
        ),
        maps=((2, 4, 8, 8),),
        scores=((2, 3, 6, 6),),
        parameters=2**14,
        floor_size=64,
        floor_bytes=2**16,
        tape_repeats=1,
        growth={"batch": (2,)},
        imports=1,
        geometries=(
            Geometry("transposed", True, 6, 4, 5, 4, 0.8, stride=2, padding=1, batch=2),
            Geometry("grouped", False, 8, 8, 7, 3, 1.0, padding=1, groups=2, batch=1),
            Geometry("plain", False, 4, 4, 6, 3, 1.0, padding=1, batch=2, plain=True),
        ),
        pooled=((2, 4, 8, 8),),
        wholes=(
            Whole(
                "U", "unet", 8, 2, "training step", {"num_classes": 3, "width": 2}, False, OTHERS
            ),
            Whole(
                "F",
                "fcn8s",
                16,
                1,
                "inference",
                {"num_classes": 3, "width": 2, "fc": 4},
                True,
                ("numpy", "default_nchw"),
            ),
        ),
        photograph=(60, 80),
        coded=(48, 8),
    )


TINY = [
    *("--train-images", "4", "--val-images", "3", "--image-size", "40", "--difficulty", "easy"),
    *("--input-size", "32", "--width", "2", "--fc", "4", "--device", "cpu", "-b", "2"),
    *("--stage", "whole", "--epochs", "1", "--recalibrate", "1", "--images", "0", "-q"),
]


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Run folders of a small FCN-8s and a small DeconvNet, trained on drawn pictures."""
    folder = tmp_path_factory.mktemp("runs")
    for model in ("fcn8s", "deconvnet"):
        assert train.main([*TINY, "--model", model, "--output-dir", str(folder / model)]) == 0
    return [str(folder / model) for model in ("fcn8s", "deconvnet")]
