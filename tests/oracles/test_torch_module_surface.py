"""Modules, initial values and utilities under PyTorch's names and keywords, against PyTorch."""

from __future__ import annotations

import collections
import math

import numpy as np
import pytest

import minideconv as md
from minideconv import Tensor, nn
from minideconv import functional as F
from minideconv.interop.torch import torch_state

X = np.random.default_rng(0).standard_normal((2, 4, 6, 5)).astype(np.float32)

# ---- attributes ----------------------------------------------------------------------------------

LAYERS = {
    "Linear": (5, 3),
    "Conv2d": (4, 6, 3),
    "ConvTranspose2d": (4, 6, (3, 2), 2),
    "BatchNorm2d": (4,),
    "BatchNorm1d": (4,),
    "GroupNorm": (2, 4),
    "InstanceNorm2d": (4,),
    "LayerNorm": (5,),
    "MaxPool2d": (2,),
    "AvgPool2d": (2,),
    "AdaptiveAvgPool2d": (2,),
    "Upsample": (None, 2),
    "ReLU": (),
    "LeakyReLU": (0.2,),
    "Dropout": (0.3,),
    "Dropout2d": (0.3,),
    "Flatten": (),
    "Softmax": (1,),
    "PixelShuffle": (2,),
    "ConstantPad2d": (1, 0.5),
}
ELSEWHERE = {
    "output_padding", "transposed",  # of a convolution
    "return_indices",  # switches
    "track_running_stats", "momentum",  # of instance norm
    "divisor_override", "recompute_scale_factor", "name",
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_have_the_same_attributes(torch, name):
    ours, theirs = getattr(nn, name)(*LAYERS[name]), getattr(torch.nn, name)(*LAYERS[name])
    names = [n for n in vars(theirs) if not n.startswith("_") and n not in ELSEWHERE]
    assert len(names) >= 1
    for each in names:
        mine, other = getattr(ours, each), getattr(theirs, each)
        if each in ("stride", "align_corners") and name in ("AvgPool2d", "MaxPool2d", "Upsample"):
            mine, other = mine or None, None if name != "MaxPool2d" else mine or None
        if each == "affine" or each == "bias":
            mine, other = bool(mine), bool(other)
        assert mine == other, each


@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU", "Dropout", "Dropout2d"])
def test_in_place_gives_the_same_and_writes_over_nothing(name):
    x = Tensor(X.copy())
    layer = getattr(nn, name)(inplace=True)
    assert layer.inplace
    md.manual_seed(1)
    y = layer(x)
    md.manual_seed(1)
    assert (getattr(nn, name)()(x).numpy() == y.numpy()).all()
    assert (x.numpy() == X).all()
    function = {"ReLU": F.relu, "LeakyReLU": F.leaky_relu, "Dropout": F.dropout}
    md.manual_seed(1)
    assert (function.get(name, F.dropout2d)(x, inplace=True).numpy() == y.numpy()).all()
    assert (x.numpy() == X).all()


def test_the_output_size_may_be_that_of_an_image(torch):
    ours = nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1)
    theirs = torch.nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1)
    theirs.load_state_dict(torch_state(ours))
    image = Tensor(np.zeros((7, 1, 12, 9), np.float32))
    want = theirs(torch.tensor(X), output_size=(12, 9)).detach().numpy()
    for size in (image.size(), image.shape, [2, 3, 12, 9], (12, 9)):
        np.testing.assert_allclose(ours(Tensor(X), output_size=size).numpy(), want, atol=1e-6)
    with pytest.raises(TypeError, match="output_size"):
        ours(Tensor(X), output_size=(3, 12, 9))


def test_upsampling_by_areas(torch):
    for options in ({"size": (3, 4)}, {"scale_factor": 0.5}):
        ours, theirs = (lib.Upsample(**options, mode="area") for lib in (nn, torch.nn))
        want = theirs(torch.tensor(X)).numpy()
        np.testing.assert_allclose(ours(Tensor(X)).numpy(), want, atol=1e-6)
    with pytest.raises(ValueError, match="Upsample: align_corners is True; it has no meaning for"):
        nn.Upsample(scale_factor=2, mode="area", align_corners=True)


@pytest.mark.cpu  # names, and arrays on the host
def test_functional_is_where_pytorch_has_it():
    import minideconv.nn.functional as there

    assert there is F is nn.functional
    namespace: dict[str, object] = {}
    exec("from minideconv.nn import functional as again", namespace)
    assert namespace["again"] is F


def test_a_network_moves_to_a_type_by_its_name():
    net = nn.Linear(2, 3)
    for place in ("float64", np.float64, md.float64, md.double):
        assert net.to("float32").weight.dtype == np.float32
        assert net.to(place).weight.dtype == np.float64
    assert net.to("cpu", "float16").weight.dtype == np.float16
    assert net.to(device="cpu", dtype=md.float32).weight.dtype == np.float32
    with pytest.raises(ValueError, match=r"^Linear.to: 'cuda' is no device \('auto', .* no dtype"):
        net.to("cuda")
    with pytest.raises(TypeError, match=r"Linear: to.. got dtype int64; weights can only become"):
        net.to(md.long)


# ---- state ---------------------------------------------------------------------------------------


def shared(lib) -> object:
    layer = lib.Linear(3, 3)
    return lib.Sequential(layer, lib.ReLU(), layer, lib.BatchNorm1d(3))


def test_both_names_of_a_shared_module_are_read(torch):
    theirs = shared(torch.nn)
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    assert {"0.weight", "2.weight"} < state.keys()
    ours = shared(nn)
    assert ours.load_state_dict(state) == ([], [])
    rows = X[0, 0, :, :3]
    want = theirs(torch.tensor(rows)).detach().numpy()
    np.testing.assert_allclose(ours(Tensor(rows)).numpy(), want, atol=1e-6)
    only_second = {name: v for name, v in state.items() if not name.startswith("0.")}
    other = shared(nn)
    assert other.load_state_dict(only_second) == ([], [])
    assert (other[0].weight.numpy() == state["0.weight"]).all()
    assert (other[2].weight.numpy() == state["0.weight"]).all()
    before = other.state_dict()
    for wrong in (state["2.bias"] + 1, state["2.bias"][:2]):
        with pytest.raises(ValueError, match=r"'2.bias' and '0.bias' are one parameter in"):
            other.load_state_dict({**state, "2.bias": wrong})
    with pytest.raises(ValueError, match=r"'1.weight' is not in the network .0 missing, 1 unknown"):
        other.load_state_dict({**state, "1.weight": state["2.weight"]})
    assert all((before[name] == v).all() for name, v in other.state_dict().items())
    nothing = {**state, "0.bias": np.full(3, np.nan), "2.bias": np.full(3, np.nan)}
    assert other.load_state_dict(collections.OrderedDict(nothing), strict=False) == ([], [])


@pytest.mark.cpu  # names, and arrays on the host
def test_a_tensor_becomes_a_buffer():
    class Spectral(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("u", md.randn(3))

        def forward(self, x):
            return x * self.u

    net = Spectral()
    assert net.state_dict()["u"].shape == (3,)
    np.testing.assert_array_equal(net(Tensor(np.ones(3, np.float32))).numpy(), net.u)
    net.u = Tensor(np.zeros(3, np.float32))
    assert not net(Tensor(np.ones(3, np.float32))).numpy().any()
    with pytest.raises(
        TypeError, match=r"'v' is a buffer, .* requires gradients; use tensor.detach"
    ):
        net.register_buffer("v", md.randn(3, requires_grad=True))


# ---- initial values ------------------------------------------------------------------------------


@pytest.mark.parametrize("nonlinearity", ["relu", "leaky_relu", "tanh", "sigmoid", "linear"])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_kaiming_has_the_spread_of_pytorch(torch, mode, nonlinearity):
    options = {"a": 0.3, "mode": mode, "nonlinearity": nonlinearity}
    shape = (60, 40, 3, 2)
    for name in ("kaiming_normal_", "kaiming_uniform_"):
        ours, theirs = nn.Parameter(np.zeros(shape, np.float32)), torch.zeros(shape)
        md.manual_seed(0)
        torch.manual_seed(0)
        getattr(nn.init, name)(ours, **options)
        getattr(torch.nn.init, name)(theirs, **options)
        assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.03)
    gain = torch.nn.init.calculate_gain(nonlinearity, 0.3)
    assert nn.init.calculate_gain(nonlinearity, 0.3) == pytest.approx(gain)
    assert nn.init.calculate_gain("leaky_relu") == torch.nn.init.calculate_gain("leaky_relu")
    # exactly: the same draws, scaled
    plain = nn.init.normal_(nn.Parameter(np.zeros(shape)), rng=np.random.default_rng(5)).numpy()
    fan = torch.nn.init._calculate_correct_fan(torch.zeros(shape), mode)
    filled = nn.init.kaiming_normal_(
        nn.Parameter(np.zeros(shape)), rng=np.random.default_rng(5), **options
    )
    np.testing.assert_allclose(filled.numpy(), plain * gain / math.sqrt(fan), rtol=1e-12)


@pytest.mark.parametrize("name", ["xavier_normal_", "xavier_uniform_"])
def test_xavier_takes_a_gain(name):
    once, twice = (
        getattr(nn.init, name)(
            nn.Parameter(np.zeros((5, 4))), rng=np.random.default_rng(1), gain=gain
        ).numpy()
        for gain in (1, 2)
    )
    np.testing.assert_allclose(twice, 2 * once)


def test_constants_and_limits(torch):
    weight = nn.Parameter(np.full((200, 5), 7.0))
    assert (nn.init.zeros_(weight).numpy() == 0).all()
    assert (nn.init.ones_(weight).numpy() == 1).all()
    assert (nn.init.constant_(weight, val=0.25).numpy() == 0.25).all()
    drawn = nn.init.uniform_(weight, a=2, b=3).numpy()
    assert 2 <= drawn.min() < 2.05 < 2.95 < drawn.max() < 3
    assert abs(nn.init.normal_(weight, mean=5, std=0.1).numpy().mean() - 5) < 0.02
    with pytest.raises(ValueError, match="kaiming_normal_: mode is 'fan'; it must be 'fan_in'"):
        nn.init.kaiming_normal_(weight, mode="fan")
    with pytest.raises(ValueError, match=r"^kaiming_uniform_: nonlinearity is 'gelu'; it must be"):
        nn.init.kaiming_uniform_(weight, nonlinearity="gelu")


# ---- clipping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [1, 1.5, 2, 3.0, math.inf, "inf"])
@pytest.mark.parametrize("share", [0.3, 10])
def test_norms_for_clipping(torch, power, share):
    rng = np.random.default_rng(2)
    gradients = [rng.standard_normal(shape) for shape in ((3, 4), (5,), (0, 2))]
    ours = [nn.Parameter(np.zeros(g.shape)) for g in gradients]
    theirs = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in gradients]
    for p, q, g in zip(ours, theirs, gradients, strict=True):
        p.grad, q.grad = Tensor(g.copy()), torch.tensor(g)
    if power in (math.inf, "inf"):  # of nothing PyTorch knows no largest
        theirs = theirs[:2]
    most = share * torch.nn.utils.get_total_norm([q.grad for q in theirs], float(power)).item()
    found = nn.utils.clip_grad_norm_(ours, most, norm_type=power)
    want = torch.nn.utils.clip_grad_norm_(theirs, most, norm_type=power)
    assert found.shape == ()
    assert found.item() == pytest.approx(want.item(), rel=1e-12)
    for p, q in zip(ours, theirs, strict=False):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("power", [1, 2, 3, math.inf])
def test_norms_of_extreme_gradients(power):
    for values, want in (([3e30, 0], 3e30), ([0, 0], 0.0), ([3e-30, 0], 3e-30)):
        parameter = nn.Parameter(np.zeros(2, np.float32))
        parameter.grad = Tensor(np.array(values, np.float32))
        assert nn.utils.clip_grad_norm_([parameter], 1e35, power).item() == pytest.approx(want)
    parameter.grad = Tensor(np.array([np.inf, 1], np.float32))
    assert math.isnan(nn.utils.clip_grad_norm_([parameter], 1.0, power))
    assert parameter.grad.tolist() == [math.inf, 1]
    with pytest.raises(ValueError, match=r"norm_type is 0.5; it must be at least 1"):
        nn.utils.clip_grad_norm_([parameter], 1.0, 0.5)
