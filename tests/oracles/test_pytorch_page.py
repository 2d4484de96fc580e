"""docs/pytorch.md: every row of the table of names exists on both sides and computes the same."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
import pytorch_names

import minideconv
from minideconv import Tensor, grad, nn, no_grad, optim
from minideconv import functional as F
from minideconv.autograd import checkpoint, elementwise, shapes
from minideconv.nn import utils

pytestmark = [pytest.mark.usefixtures("torch"), pytest.mark.cpu]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "pytorch.md").read_text(encoding="utf-8")
TABLE = PAGE[PAGE.index("<!-- names -->") : PAGE.index("<!-- end of names -->")]
ROWS = re.findall(r"^\| `([\w.]+)` \| `([\w.]+)` \| (.*?) ?\|$", TABLE, re.MULTILINE)


def named(path: str):
    """Return what a dotted name stands for."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise AssertionError(f"{path} is nowhere")


def test_the_table_is_read_whole():
    assert len(ROWS) == TABLE.count("\n| `torch.") > 50


@pytest.mark.parametrize(("theirs", "ours", "remark"), ROWS, ids=[row[1] for row in ROWS])
def test_both_names_exist(theirs, ours, remark):
    assert named(theirs) is not None
    assert named(ours) is not None


METHODS = PAGE[PAGE.index("<!-- methods -->") : PAGE.index("<!-- end of methods -->")]


def test_the_methods_that_are_named_are_there_on_both_sides(torch):
    names = re.findall(r"`(\w+)`", METHODS.partition("|---|")[2])
    assert len(names) > 60
    for name in names:
        assert hasattr(torch.Tensor, name) or hasattr(torch, name), name
        assert hasattr(Tensor, name) or hasattr(minideconv, name), name


def values(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


X, WEIGHT, BIAS = values(2, 4, 7, 9), values(6, 2, 3, 2, seed=1), values(6, seed=2)
LABELS = np.random.default_rng(3).integers(0, 4, (2, 7, 9))
WINDOW = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}


def function(name, *arrays, **options):
    """A function with the same arguments on both sides."""

    def compare(torch):
        ours = getattr(F, name)(*map(Tensor, arrays), **options)
        theirs = getattr(torch.nn.functional, name)(*map(torch.from_numpy, arrays), **options)
        return ours.numpy(), theirs.numpy()

    return compare


def layer(name, x, *arguments, theirs=None, **options):
    """A layer with the same arguments and state on both sides."""

    def compare(torch):
        from minideconv.interop.torch import torch_state

        own = getattr(nn, name)(*arguments, **options).to(dtype=np.float64).eval()
        other = getattr(torch.nn, theirs or name)(*arguments, **options).double().eval()
        other.load_state_dict(torch_state(own))
        with no_grad():
            return own(Tensor(x)).numpy(), other(torch.from_numpy(x)).detach().numpy()

    return compare


def gradient(compute):
    """The gradient of a sum at the same place."""

    def compare(torch):
        from minideconv.interop import torch as bridge

        assert bridge is not None
        ours, theirs = Tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
        compute(None, ours).backward()
        compute(torch, theirs).backward()
        return ours.grad.numpy(), theirs.grad.numpy()

    return compare


def optimiser(name, **options):
    """Three steps on the same gradients."""

    def compare(torch):
        ours, theirs = nn.Parameter(X.copy()), torch.nn.Parameter(torch.tensor(X))
        steps = getattr(optim, name)([ours], lr=0.05, **options)
        others = getattr(torch.optim, name)([theirs], lr=0.05, **options)
        for step in range(3):
            dy = values(*X.shape, seed=step)
            for parameter, run, g in (
                (ours, steps, Tensor(dy)),
                (theirs, others, torch.tensor(dy)),
            ):
                run.zero_grad()
                (parameter * g).sum().backward()
                run.step()
        return ours.numpy(), theirs.detach().numpy()

    return compare


def schedule(name, theirs, *arguments, **options):
    """The rates of six steps."""

    def compare(torch):
        own = optim.SGD([nn.Parameter(np.zeros(1))], lr=0.4)
        other = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
        plans = (
            getattr(optim, name)(own, *arguments, **options),
            getattr(torch.optim.lr_scheduler, theirs)(other, *arguments, **options),
        )
        found = []
        for _ in range(6):
            found.append([run.param_groups[0]["lr"] for run in (own, other)])
            other.step()
            for plan in plans:
                plan.step(*([1.0] if name == "ReduceLROnPlateau" else []))
        return tuple(np.array(found).T)

    return compare


def pooled(torch):
    _, switches = F.max_pool2d(Tensor(X), (2, 3), return_switches=True)
    _, indices = torch.nn.functional.max_pool2d(torch.tensor(X), (2, 3), return_indices=True)
    return switches.to_plane(), indices.numpy()


def unpooled(torch):
    y, switches = F.max_pool2d(Tensor(X), (2, 3), return_switches=True)
    theirs, indices = torch.nn.functional.max_pool2d(torch.tensor(X), (2, 3), return_indices=True)
    back = torch.nn.functional.max_unpool2d(theirs, indices, (2, 3), output_size=X.shape[2:])
    return F.max_unpool2d(y, switches).numpy(), back.numpy()


def unpooled_by_layers(torch):
    own = nn.MaxPool2d(2, return_switches=True)
    other = torch.nn.MaxPool2d(2, return_indices=True)
    y, indices = other(torch.tensor(X))
    back = torch.nn.MaxUnpool2d(2)(y, indices, output_size=X.shape[2:])
    return nn.MaxUnpool2d()(*own(Tensor(X))).numpy(), back.numpy()


def normalised(torch):
    statistics = values(4), values(4, seed=1) ** 2, values(4, seed=2), values(4, seed=3)
    return function("batch_norm", X, *statistics)(torch)


def folded(torch):
    from minideconv.interop.torch import torch_state

    own = nn.Sequential(nn.Conv2d(4, 3, 2), nn.BatchNorm2d(3)).to(dtype=np.float64).eval()
    own.load_state_dict(
        {
            k: np.abs(values(*v.shape)) if v.dtype.kind == "f" else v
            for k, v in own.state_dict().items()
        }
    )
    other = torch.nn.Sequential(torch.nn.Conv2d(4, 3, 2), torch.nn.BatchNorm2d(3)).double().eval()
    other.load_state_dict(torch_state(own))
    fused = torch.nn.utils.fuse_conv_bn_eval(other[0], other[1])
    assert nn.fold_batch_norm_(own) == 1
    return own[0].weight.numpy(), fused.weight.detach().numpy()


def clipped(torch):
    ours, theirs = nn.Parameter(X.copy()), torch.nn.Parameter(torch.tensor(X))
    (ours * ours).sum().backward()
    (theirs * theirs).sum().backward()
    norms = (
        utils.clip_grad_norm_([ours], 1.5),
        torch.nn.utils.clip_grad_norm_([theirs], 1.5).item(),
    )
    assert abs(float(norms[0]) - norms[1]) < 1e-9
    return ours.grad.numpy(), theirs.grad.numpy()


def recording(torch):
    from minideconv import is_grad_enabled

    with no_grad(), torch.no_grad():
        inside = is_grad_enabled(), torch.is_grad_enabled()
    assert inside == (False, False)
    return is_grad_enabled(), torch.is_grad_enabled()


def anomaly(torch):
    """Both find the operation that makes a NaN: on the way forward here, backward there."""
    from minideconv import detect_anomaly

    with (
        np.errstate(invalid="ignore"),
        detect_anomaly(),
        pytest.raises(RuntimeError, match="sqrt made"),
    ):
        Tensor([-1.0], requires_grad=True).sqrt()
    with (
        pytest.warns(UserWarning, match="Error detected in Sqrt"),
        torch.autograd.set_detect_anomaly(True),
        pytest.raises(RuntimeError, match="Sqrt"),
    ):
        torch.tensor([-1.0], requires_grad=True).sqrt().sum().backward()
    return np.zeros(1), np.zeros(1)


def stacked(name, theirs):
    return lambda torch: (
        getattr(shapes, name)([Tensor(X), Tensor(2 * X)], 1).numpy(),
        getattr(torch, theirs)([torch.tensor(X), torch.tensor(2 * X)], 1).numpy(),
    )


def modules(torch):
    from minideconv.interop.torch import torch_state

    own = nn.Sequential(nn.Conv2d(4, 3, 2), nn.ReLU()).to(dtype=np.float64)
    other = torch.nn.Sequential(torch.nn.Conv2d(4, 3, 2), torch.nn.ReLU()).double()
    other.load_state_dict(torch_state(own))
    return own(Tensor(X)).numpy(), other(torch.tensor(X)).detach().numpy()


CASES = {
    "Tensor": gradient(lambda torch, x: (x * x + 2 * x).sum()),
    "no_grad": recording,
    "is_grad_enabled": recording,
    "detect_anomaly": anomaly,
    "autograd.checkpoint": gradient(
        lambda torch, x: (
            checkpoint(lambda x: (x * x).exp(), x)
            if torch is None
            else torch.utils.checkpoint.checkpoint(lambda x: (x * x).exp(), x, use_reentrant=False)
        ).sum()
    ),
    "cat": stacked("concatenate", "cat"),
    "stack": stacked("stack", "stack"),
    "where": lambda torch: (
        elementwise.where(X > 0, Tensor(X), 2.0).numpy(),
        torch.where(torch.tensor(X) > 0, torch.tensor(X), 2.0).numpy(),
    ),
    "sigmoid": lambda torch: (
        minideconv.sigmoid(Tensor(X)).numpy(),
        torch.sigmoid(torch.tensor(X)).numpy(),
    ),
    "Tensor.permute": lambda torch: (
        Tensor(X).permute(0, 2, 3, 1).numpy(),
        torch.tensor(X).permute(0, 2, 3, 1).numpy(),
    ),
    "Tensor.expand": lambda torch: (
        Tensor(X[:, :1]).expand(X.shape).numpy(),
        torch.tensor(X[:, :1]).expand(X.shape).numpy(),
    ),
    "Tensor.max": lambda torch: (
        Tensor(X).max(axis=(1, 3)).numpy(),
        torch.amax(torch.tensor(X), (1, 3)).numpy(),
    ),
    "functional.conv2d": function("conv2d", X, WEIGHT, BIAS, **WINDOW),
    "functional.conv_transpose2d": function(
        "conv_transpose2d", X, values(4, 3, 2, 3), BIAS, **WINDOW, output_padding=(1, 0)
    ),
    "functional.linear": function("linear", X, values(5, 9), values(5)),
    "functional.max_pool2d": pooled,
    "functional.max_unpool2d": unpooled,
    "functional.avg_pool2d": function("avg_pool2d", X, kernel_size=(2, 3), stride=(1, 2)),
    "functional.batch_norm": normalised,
    "functional.interpolate": function(
        "interpolate", X, size=(11, 5), mode="bilinear", align_corners=False
    ),
    "functional.pad": function("pad", X, pad=(1, 2, 0, 3), mode="reflect"),
    "functional.relu": function("relu", X),
    "functional.softmax": function("softmax", X, dim=1),
    "functional.log_softmax": function("log_softmax", X, dim=1),
    "functional.dropout": function("dropout", X, p=0.5, training=False),
    "functional.cross_entropy": lambda torch: (
        F.cross_entropy(Tensor(X), LABELS, ignore_index=2).numpy(),
        torch.nn.functional.cross_entropy(
            torch.tensor(X), torch.tensor(LABELS), ignore_index=2
        ).numpy(),
    ),
    "nn.Parameter": lambda torch: (
        np.array(nn.Parameter(X).requires_grad),
        np.array(torch.nn.Parameter(torch.tensor(X)).requires_grad),
    ),
    "nn.Sequential": modules,
    "nn.Conv2d": layer("Conv2d", X, 4, 6, (3, 2), **WINDOW),
    "nn.ConvTranspose2d": layer(
        "ConvTranspose2d", X, 4, 6, (3, 2), stride=(2, 3), output_padding=(1, 2), groups=2
    ),
    "nn.MaxPool2d": layer("MaxPool2d", X, (3, 2), 2, 1),
    "nn.MaxUnpool2d": unpooled_by_layers,
    "nn.BatchNorm2d": layer("BatchNorm2d", X, 4, eps=1e-3),
    "nn.ReLU": layer("ReLU", X),
    "nn.Dropout": layer("Dropout", X, 0.3),
    "nn.Linear": layer("Linear", X, 9, 5),
    "nn.Upsample": layer("Upsample", X, scale_factor=2, mode="nearest"),
    "nn.utils.clip_grad_norm_": clipped,
    "nn.fold_batch_norm_": folded,
    "optim.SGD": optimiser("SGD", momentum=0.9, nesterov=True, weight_decay=0.1),
    "optim.Adam": optimiser("Adam", betas=(0.8, 0.9)),
    "optim.AdamW": optimiser("AdamW", weight_decay=0.2),
    "optim.RMSprop": optimiser("RMSprop", momentum=0.8, centered=True),
    "optim.Adagrad": optimiser("Adagrad", lr_decay=0.1, initial_accumulator_value=0.5),
    "optim.StepLR": schedule("StepLR", "StepLR", 2, 0.5),
    "optim.MultiStepLR": schedule("MultiStepLR", "MultiStepLR", [1, 4], 0.5),
    "optim.PolyLR": schedule("PolyLR", "PolynomialLR", total_iters=5, power=0.9),
    "optim.CosineLR": schedule("CosineLR", "CosineAnnealingLR", 8),
    "optim.ExponentialLR": schedule("ExponentialLR", "ExponentialLR", 0.7),
    "optim.LambdaLR": schedule("LambdaLR", "LambdaLR", lambda t: 1 / (1 + t)),
    "optim.ReduceLROnPlateau": schedule(
        "ReduceLROnPlateau", "ReduceLROnPlateau", factor=0.5, patience=1
    ),
}
"""What each name computes here and there."""


def loss(name, target, x=X):
    """A loss as a module on both sides."""
    return lambda torch: (
        getattr(nn, name)()(Tensor(x), target).numpy(),
        getattr(torch.nn, name)()(torch.tensor(x), torch.tensor(target)).numpy(),
    )


def slope_of_a_cube(torch):
    ours, theirs = Tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    (slope,) = grad((ours**3).sum(), ours)
    (wanted,) = torch.autograd.grad((theirs**3).sum(), theirs)
    return slope.numpy(), wanted.numpy()


P = np.abs(X) / np.abs(X).max()  # probabilities
Q = (values(*X.shape, seed=8) > 0).astype(float)  # truths
CASES |= pytorch_names.CASES
CASES |= {
    "grad": slope_of_a_cube,
    "functional.leaky_relu": function("leaky_relu", X, negative_slope=0.2),
    "functional.tanh": function("tanh", X),
    "functional.sigmoid": function("sigmoid", X),
    "functional.softplus": function("softplus", X),
    "functional.dropout2d": function("dropout2d", X, p=0.5, training=False),
    "functional.group_norm": function("group_norm", X, num_groups=2),
    "functional.instance_norm": function("instance_norm", X),
    "functional.layer_norm": function("layer_norm", X, normalized_shape=(7, 9)),
    "functional.adaptive_avg_pool2d": function("adaptive_avg_pool2d", X, output_size=(3, 4)),
    "functional.pixel_shuffle": function("pixel_shuffle", X, upscale_factor=2),
    "functional.mse_loss": function("mse_loss", X, P),
    "functional.l1_loss": function("l1_loss", X, P),
    "functional.binary_cross_entropy": function("binary_cross_entropy", P, Q),
    "functional.binary_cross_entropy_with_logits": function(
        "binary_cross_entropy_with_logits", X, Q
    ),
    "functional.nll_loss": function("nll_loss", X, LABELS, reduction="sum"),
    "nn.LeakyReLU": layer("LeakyReLU", X, 0.3),
    "nn.Tanh": layer("Tanh", X),
    "nn.Sigmoid": layer("Sigmoid", X),
    "nn.Softmax": layer("Softmax", X, 1),
    "nn.LogSoftmax": layer("LogSoftmax", X, 1),
    "nn.Identity": layer("Identity", X),
    "nn.Flatten": layer("Flatten", X),
    "nn.Dropout2d": layer("Dropout2d", X, 0.3),
    "nn.BatchNorm1d": layer("BatchNorm1d", X[..., 0], 4),
    "nn.GroupNorm": layer("GroupNorm", X, 2, 4),
    "nn.InstanceNorm2d": layer("InstanceNorm2d", X, 4, affine=True),
    "nn.LayerNorm": layer("LayerNorm", X, (7, 9)),
    "nn.AvgPool2d": layer("AvgPool2d", X, (2, 3), 2, 1),
    "nn.AdaptiveAvgPool2d": layer("AdaptiveAvgPool2d", X, (3, 4)),
    "nn.PixelShuffle": layer("PixelShuffle", X, 2),
    "nn.ZeroPad2d": layer("ZeroPad2d", X, (1, 2, 3, 0)),
    "nn.ConstantPad2d": layer("ConstantPad2d", X, 2, 0.5),
    "nn.ReflectionPad2d": layer("ReflectionPad2d", X, (1, 2, 3, 0)),
    "nn.ReplicationPad2d": layer("ReplicationPad2d", X, (1, 2, 3, 0)),
    "nn.CircularPad2d": layer("CircularPad2d", X, (1, 2, 3, 0)),
    "nn.CrossEntropyLoss": loss("CrossEntropyLoss", LABELS),
    "nn.NLLLoss": loss("NLLLoss", LABELS),
    "nn.MSELoss": loss("MSELoss", P),
    "nn.L1Loss": loss("L1Loss", P),
    "nn.BCELoss": loss("BCELoss", Q, P),
    "nn.BCEWithLogitsLoss": loss("BCEWithLogitsLoss", Q),
}

NAMES = [
    ours.removeprefix("minideconv.") for _, ours, remark in ROWS if "no comparison" not in remark
]


def test_each_row_has_a_comparison_or_says_that_it_has_none():
    assert set(NAMES) == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_both_compute_the_same(torch, name):
    ours, theirs = CASES[name](torch)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("page", ["pytorch", "export"])
def test_blocks_that_need_another_library_run(page, tmp_path, monkeypatch, onnxruntime):
    """Those marked ``py``; tests/test_docs.py runs the others."""
    from minideconv import models
    from minideconv.export import export_onnx

    monkeypatch.chdir(tmp_path)
    net = models.deconvnet(num_classes=3, width=2, input_size=16, fc=4, stages=1)
    export_onnx(net, "net.onnx", 16, postprocessing=("argmax",))
    text = (Path(__file__).resolve().parents[2] / "docs" / f"{page}.md").read_text("utf-8")
    blocks = re.findall(r"^```py\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec", dont_inherit=True), {})
