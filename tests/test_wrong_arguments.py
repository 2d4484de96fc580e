"""Every argument of every public function, layer and method, replaced by what it cannot be.

A call either works or raises one sentence that begins with the name of what was called: no
sentence of Python's own, which names an attribute or an operator inside the library.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from public_calls import CALLS, LAYERS, METHODS, NEW, SCHEDULES, half, optimizer

import minideconv as md
from minideconv import Tensor, nn, no_grad, optim
from minideconv import functional as F
from minideconv.nn import init

pytestmark = pytest.mark.cpu  # what is refused is looked at before any device is asked

Call = tuple[Callable[..., Any], tuple[Any, ...], list[str]]


def wrong_values() -> list[Any]:
    """Values of every kind: for each argument nearly all of them are illegal."""
    values = ["wrong", None, -1, 0, 1.5, float("nan"), True, [], object(), (1, 2, 3), {}]
    return [*values, np.ones(3), half(3)]


def names_of(function: Callable[..., Any], given: int) -> list[str]:
    """Return the names of the arguments behind the first `given` that may be said by name."""
    parameters = list(inspect.signature(function).parameters.values())
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    return [p.name for p in parameters[given:] if p.kind is not p.VAR_KEYWORD]


def method(name: str) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        with no_grad():
            return getattr(half(3, 4), name)(*arguments, **options)

    return call


def calls() -> Iterator[tuple[str, Call]]:
    for name, given in LAYERS.items():
        layer = getattr(nn, name)
        yield name, (layer, given, names_of(layer, len(given)))
    for name in set(init.__all__) - {"fans"}:
        function = getattr(init, name)
        filled = (half(4, 4, 3, 3), 1.0) if name == "constant_" else (half(4, 4, 3, 3),)
        yield f"init.{name}", (function, filled, names_of(function, len(filled)))
    for name in ("clip_grad_norm_", "clip_grad_value_"):
        yield name, (getattr(nn.utils, name), ([], 1.0), [])
    for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad"):
        kind = getattr(optim, name)
        yield name, (kind, ([nn.Parameter(np.ones(2))], 0.1), names_of(kind, 2))
    for name, given in SCHEDULES.items():
        kind = getattr(optim, name)
        yield name, (kind, (optimizer(), *given), names_of(kind, 1 + len(given)))
    yield "WarmUp", (optim.WarmUp, (optim.FixedLR(optimizer()), 2), ["start_factor"])
    yield "ReduceLROnPlateau.step", (optim.ReduceLROnPlateau(optimizer()).step, (1.0,), [])
    yield "SGD.step", (optimizer().step, (None,), ["closure"])
    yield "GradScaler", (optim.GradScaler, (), names_of(optim.GradScaler, 0))
    for name, (arguments, options) in CALLS.items():
        function = getattr(F, name)
        fixed = {"training": True} if options else {}

        def call(*given: Any, _function: Any = function, _fixed: Any = fixed, **more: Any) -> Any:
            return _function(*given, **{**_fixed, **more})

        yield f"F.{name}", (call, tuple(arguments), names_of(function, len(arguments)))
    for name, given in METHODS.items():
        names = [] if name == "size" else names_of(getattr(Tensor, name), 1 + len(given))
        yield f"Tensor.{name}", (method(name), given, names)
    for name, given in NEW.items():
        function = getattr(md, name)
        yield f"md.{name}", (function, given, names_of(function, len(given)))


TRIED = dict(calls())
# An operation made of another one is named by that one.
ALSO = {
    "batch_norm_relu": "batch_norm", "batch_norm_relu_pool": "batch_norm|max_pool2d",
    "cat": "concatenate", "chunk": "split", "expand": "broadcast_to", "expand_as": "broadcast_to",
    "full_like": "full", "permute": "transpose", "std": "var", "step": "SGD|ReduceLROnPlateau",
    "swapaxes": "transpose", "transpose": "swapaxes", "view": "reshape", "view_as": "reshape",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(TRIED))
def test_what_an_argument_cannot_be_is_refused_by_name(name):
    function, given, names = TRIED[name]
    own = name.rpartition(".")[2]
    start = re.compile(rf"({own}|{ALSO.get(own, own)}|Tensor): |device is ")
    tries: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    for place in range(len(given)):
        tries += [((*given[:place], v, *given[place + 1 :]), {}) for v in wrong_values()]
    for option in names:
        tries += [(given, {option: value}) for value in wrong_values()]
    refused = 0
    for arguments, options in tries:
        before = [np.array(a.numpy()) for a in arguments if isinstance(a, Tensor)]
        try:
            with np.errstate(all="ignore"):
                function(*arguments, **options)
        except (TypeError, ValueError, IndexError, RuntimeError) as error:
            refused += 1
            sentence = str(error)
            assert start.match(sentence), f"{arguments[1:]} {options}: {sentence}"
            assert "\n" not in sentence
            after = [a.numpy() for a in arguments if isinstance(a, Tensor)]
            for was, now in zip(before, after, strict=True):
                np.testing.assert_array_equal(was, now)  # nothing was half done
    assert refused > 0 or not tries or own in ("to", "t", "LambdaLR"), name


@pytest.mark.cpu
def test_every_layer_is_tried():
    made = {name for name in nn.__all__ if inspect.isclass(getattr(nn, name))}
    others = {"Identity", "Module", "Parameter", "Sequential", "Sigmoid", "SyncBatchNorm2d", "Tanh"}
    assert made - others <= LAYERS.keys()


REFUSED = {
    "var, keepdim in PyTorch's order": (
        lambda: half(3, 4).var(0, True), TypeError, r"var: got var\(0, True\); .* unbiased=True"
    ),
    "std, three": (lambda: half(3, 4).std(0, False, True), TypeError, r"std: got std\(0, False, "),
    "axes one by one": (
        lambda: half(2, 3, 4, 5).mean(2, 3), TypeError,
        r"mean: keepdims is 3; it must be True or False; several axes are one argument",
    ),
    "t of four axes": (lambda: half(1, 2, 3, 4).t(), ValueError, "t: the tensor has shape"),
    "mm of three axes": (lambda: half(2, 3, 4).mm(half(2, 4, 5)), ValueError, "mm: shapes are"),
    "bmm of two axes": (lambda: half(3, 4).bmm(half(4, 5)), ValueError, "bmm: shapes are"),
    "bmm of other batches": (
        lambda: half(1, 3, 4).bmm(half(2, 4, 5)), ValueError, "bmm: shapes are"
    ),
    "gather from the end": (
        lambda: half(3, 4).gather(1, np.array([[-1]])), IndexError,
        r"gather: index holds numbers from -1 to -1; they must be in 0\.\.3",
    ),
    "gather behind the end": (
        lambda: half(3, 4).gather(0, np.array([[3]])), IndexError, "gather: index holds"
    ),
    "split": (lambda: half(3, 4).split("a"), TypeError, "split: size is 'a'"),
    "sizes as numbers": (
        lambda: Tensor(2.0, 3), TypeError, r"Tensor: requires_grad is 3; .* zeros\(2, 3\)"
    ),
    "eye": (lambda: md.eye(-1), ValueError, "eye: rows is -1; it must be at least 0"),
    "seed": (lambda: md.manual_seed(1.5), TypeError, "manual_seed: seed is 1.5; it must be an int"),
    "arange": (lambda: md.arange("a"), TypeError, "arange: end is 'a'; it must be a number"),
    "milestones": (
        lambda: optim.MultiStepLR(optimizer(), 5), TypeError, "MultiStepLR: milestones is 5; it mu"
    ),
    "one layer": (
        lambda: nn.ModuleList(nn.ReLU()), TypeError, r"ModuleList: modules is ReLU\(\); it must be"
    ),
    "a model to clip": (
        lambda: nn.utils.clip_grad_norm_(nn.Linear(2, 2), 1.0), TypeError,
        r"clip_grad_norm_: parameters is a Linear; .* model\.parameters\(\)",
    ),
    "indices for switches": (
        lambda: F.max_unpool2d(half(1, 1, 2, 2), half(1, 1, 2, 2)), TypeError,
        "max_unpool2d: switches is an array of shape .* return_switches=True",
    ),
    "weights of other classes": (
        lambda: F.nll_loss(half(2, 3), np.zeros(2, int), md.ones(2)), ValueError,
        r"nll_loss: weight has shape \(2,\); it must be \(3,\)",
    ),
    "focal, too": (
        lambda: F.focal_loss(half(2, 3), np.zeros(2, int), weight=[1, 2]), ValueError,
        r"focal_loss: weight has shape \(2,\); it must be \(3,\)",
    ),
    "weights beside probabilities": (
        lambda: F.cross_entropy(half(2, 3), half(2, 3), md.ones(2)), ValueError,
        r"cross_entropy: weight has shape \(2,\); it must be \(3,\)",
    ),
    "weights that make more losses": (
        lambda: F.binary_cross_entropy(half(4), half(4), np.ones((5, 1))), ValueError,
        r"binary_cross_entropy: weight has shape \(5, 1\); it must broadcast to \(4,\)",
    ),
    "group_norm's eps": (
        lambda: F.group_norm(half(2, 4), 2, eps=-1), ValueError, "group_norm: eps is -1"
    ),
    "an empty batch": (
        lambda: F.group_norm(half(0, 4, 2, 2), 2), ValueError, "group_norm: x has .* nothing to no"
    ),
    "a running mean": (
        lambda: F.instance_norm(half(2, 4, 3, 3), half(4), half(4)), TypeError,
        "instance_norm: running_mean is an array of shape .* weight= and bias=",
    ),
    "PyTorch's slope": (
        lambda: init.kaiming_normal_(half(3, 4), 0.2), TypeError,
        "kaiming_normal_: transposed is 0.2; it must be True or False",
    ),
    "PyTorch's slope, uniform": (
        lambda: init.kaiming_uniform_(half(3, 4), 5**0.5), TypeError,
        "kaiming_uniform_: transposed is 2.236",
    ),
    "a mode": (
        lambda: nn.Linear(2, 2).train("a"), TypeError, "train: mode is 'a'; it must be True or F"
    ),
    "PyTorch's memo": (
        lambda: list(nn.Linear(2, 2).named_modules(set())), TypeError,
        r"named_modules: prefix is set\(\); it must be a string",
    ),
    "PyTorch's gain": (
        lambda: init.xavier_normal_(half(3, 4), 1.0), TypeError, "xavier_normal_: rng is 1.0"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_the_sentence(name):
    function, kind, sentence = REFUSED[name]
    with pytest.raises(kind, match=f"^{sentence}"):
        function()


@pytest.mark.parametrize("values", [[nn.ReLU(), "x"], (nn.ReLU() for _ in range(0))])
def test_a_list_that_is_refused_takes_nothing(values):
    layers = nn.ModuleList([nn.ReLU()])
    if isinstance(values, list):
        with pytest.raises(TypeError, match="ModuleList: argument 2 is a str"):
            layers.extend(values)
    else:
        layers.extend(values)
    assert len(layers) == 1


def test_a_dict_that_is_refused_takes_nothing():
    layers = nn.ModuleDict()
    with pytest.raises(TypeError, match="ModuleDict: 'b' is a int"):
        layers.update({"a": nn.ReLU(), "b": 3})
    assert len(layers) == 0


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_arrays_are_initialised(kind):
    """DCGAN's line: ``nn.init.normal_(m.weight.data, 0.0, 0.02)``."""
    layer = nn.Conv2d(3, 8, 3)
    array = np.zeros((50, 40), kind)
    md.manual_seed(0)
    assert init.normal_(array, 0.0, 0.02) is array
    assert abs(array.std() - 0.02) < 0.001
    md.manual_seed(1)
    init.normal_(layer.weight.data, 0.0, 0.02)
    by_array = layer.weight.numpy().copy()
    md.manual_seed(1)
    init.normal_(layer.weight, 0.0, 0.02)
    np.testing.assert_array_equal(by_array, layer.weight.numpy())


def test_a_closure_computes_the_loss_with_gradients_recorded():
    w = Tensor([1.0, -2.0], requires_grad=True)
    other = optim.SGD([w], 0.25)

    def closure() -> Tensor:
        other.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with no_grad():
        loss = other.step(closure)
    assert float(loss) == 5.0
    assert w.numpy().tolist() == [0.5, -1.0]
    assert float(other.step(closure=closure)) == 1.25
    with pytest.raises(TypeError, match=r"SGD: step\(\) got 'a'; it must be a function"):
        other.step("a")
    assert w.numpy().tolist() == [0.25, -0.5]
