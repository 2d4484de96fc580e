"""Section `networks`: every contender computes the same network, here or in its own process."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import children, networks, tables
from benchmarks.children import race
from benchmarks.modes import BenchmarkError, available
from benchmarks.networks import present, task
from benchmarks.plans import FULL, WHOLE_CONTENDERS, Whole
from benchmarks.timing import Sample, cores
from benchmarks.unet import UNet
from minideconv import Tensor

UNET = Whole("U", "unet", 16, 2, "inference", {"num_classes": 3, "width": 2, "stages": 2})
FCN = Whole("F", "fcn8s", 16, 1, "inference", {"num_classes": 3, "width": 2, "fc": 4, "dropout": 0})
DECONVNET = Whole(
    "D", "deconvnet", 8, 2, "inference",
    {"num_classes": 3, "width": 2, "input_size": 8, "fc": 4, "stages": 2},
)  # fmt: skip


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="needs torch: pip install torch==2.13.0")


def test_the_unet_doubles_its_maps_with_2x2_and_stride_2():
    network = UNet(num_classes=5, width=2, stages=3).eval()
    assert network(Tensor(np.zeros((2, 3, 16, 24), np.float32))).shape == (2, 5, 16, 24)
    shapes = {n: p.shape for n, p in network.named_parameters() if n.startswith("up.")}
    assert shapes["up.0.weight"] == (16, 8, 2, 2)
    assert shapes["up.2.weight"] == (4, 2, 2, 2)


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("whole", [UNET, FCN, DECONVNET], ids=lambda whole: whole.model)
def test_scores_are_the_same(whole):
    names = [name for name in present(whole) if name != "compile"]  # half a minute
    assert {"default_nchw", "tuned_channels_last"} < set(names)
    scores = {name: np.asarray(task(name, whole, 1)[0]()) for name in names}
    expected = scores["default_nchw"]
    assert expected.shape == (whole.batch, 3, whole.size, whole.size)
    assert expected.std() > 1e-3, "nothing would be compared"
    for name, found in scores.items():
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("whole", [UNET, FCN, DECONVNET], ids=lambda whole: whole.model)
def test_steps_are_the_same(whole, monkeypatch):
    monkeypatch.setattr(networks, "RATE", 0.01)  # so that the second loss shows the gradients
    whole = replace(whole, what="training step")
    losses = {}
    for name in present(whole):
        if name != "compile":
            run, parameters = task(name, whole, 1)
            losses[name] = [run(), run(), run()]
            assert parameters > 0
    expected = losses["default_nchw"]
    assert len(losses) >= 3
    assert abs(expected[2] - expected[0]) > 1e-4
    for name, found in losses.items():
        np.testing.assert_allclose(found, expected, rtol=1e-3, err_msg=name)


def test_what_the_tape_does_not_learn_pytorch_does_not_learn(torch):
    network = networks.network_of(FCN)
    twin, _ = networks._twin("default_nchw", network, np.zeros((1, 3, 16, 16), np.float32))
    frozen = {name for name, p in twin.named_parameters() if not p.requires_grad}
    assert frozen == {"upscore2.weight", "upscore_pool4.weight", "upscore8.weight"}


def test_what_is_tuned_has_no_batch_normalisation_of_its_own(torch):
    network = networks.network_of(DECONVNET).eval()
    twin, _ = networks._twin("tuned_channels_last", network, np.zeros((2, 3, 8, 8), np.float32))
    kinds = [type(twin.get_submodule(n.target)) for n in networks._folded(twin).graph.nodes
             if n.op == "call_module"]  # fmt: skip
    assert torch.nn.ConvTranspose2d in kinds
    assert torch.nn.BatchNorm2d not in kinds
    in_place = [node for node in twin.graph.nodes if node.target is torch.relu_]
    assert len(in_place) == len(kinds) - 1  # all but the scores


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of its own code
def test_torch_compile_computes_the_same(torch):
    if "compile" not in present(UNET):
        pytest.skip("torch.compile needs g++")
    small = replace(UNET, batch=1, arguments={**UNET.arguments, "stages": 1})
    found, expected = (task(name, small, 1)[0]() for name in ("compile", "default_nchw"))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_contenders_that_cannot_run_are_left_out(monkeypatch):
    import minideconv

    monkeypatch.setattr(networks, "find_spec", lambda name: None)
    monkeypatch.setattr(networks.shutil, "which", lambda name: None)
    monkeypatch.delattr(minideconv, "inference", raising=False)
    mine = available(("fast", "numpy"))
    assert present(UNET) == [*mine, "default_nchw", "tuned_channels_last"]
    monkeypatch.undo()
    assert not {"plan", "onnxruntime"} & set(present(replace(UNET, what="training step")))


@pytest.mark.usefixtures("torch")
def test_a_wrong_result_is_not_timed(tiny, monkeypatch):
    right = networks.task

    def broken(name, whole, threads):
        run, parameters = right(name, whole, threads)
        return (lambda: 1.1 * run() if name == "default_nchw" else run()), parameters

    monkeypatch.setattr(networks, "task", broken)
    with pytest.raises(BenchmarkError, match="U, training step: default_nchw and"):
        list(networks.rows(replace(tiny, wholes=tiny.wholes[:1]), 1))


class Fake:
    """A child without a process, whose first result is 1 or, as the contender "b", another one."""

    def __init__(self, name, net, threads):
        self.what, self.parameters, self.peak = f"{name} of {net.name}", 7, 1
        self.loss = 1.01 if name == "b" else 1.0

    def __call__(self):
        return Sample(1.0, 1.0, 0.0)

    def stop(self):
        pass


def test_processes_that_disagree_are_not_timed(monkeypatch):
    monkeypatch.setattr(children, "Child", Fake)
    assert race(["a", "c"], UNET, 1, 2, agree=1e-3)[2] == 7
    assert race(["a", "b"], UNET, 1, 2)[2] == 7
    with pytest.raises(BenchmarkError, match=r"b of U: its first result is 1.0e-02 from"):
        race(["a", "b"], UNET, 1, 2, agree=1e-3)


@pytest.mark.usefixtures("torch")
def test_a_second_thread_has_a_row(tiny):
    if cores() < 2:
        pytest.skip("needs two cores")
    pytest.importorskip("threadpoolctl", reason="needs threadpoolctl: the extra fast")
    (row,) = networks.rows(replace(tiny, wholes=()), 2)
    assert row["pass"] == "training step, 2 threads and one"
    mine = {"fast", "fast_one"} if available(("fast",)) else set()
    assert row["times"].keys() == {*mine, "tuned_channels_last", "tuned_channels_last_one"}
    assert "ours, 1 thread" in tables.console("networks", None, {})
    assert not list(networks.rows(replace(tiny, wholes=()), 1))


def test_the_full_plan_has_the_networks_that_were_asked_for():
    wanted = {(w.model, w.size, w.batch, w.what): w for w in FULL.wholes}
    assert wanted["deconvnet", 48, 1, "inference"].name == "default network"
    for what in ("inference", "training step"):
        assert wanted["fcn8s", 224, 1, what].arguments.get("width", 64) == 64
        assert wanted["unet", 128, 4, what].contenders == WHOLE_CONTENDERS
