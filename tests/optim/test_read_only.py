"""Nothing that is changed in place may be read-only: one sentence, before anything is changed.

Parameters of a file that is mapped for reading are such arrays: a kernel that writes to them by
their address ends the process.
"""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import nn
from minideconv.autograd import Tensor
from minideconv.backend.algorithms import algorithm, use_compiled
from minideconv.nn import Parameter, init
from minideconv.optim import SGD, Adagrad, Adam, AdamW, GradScaler, RMSprop

pytestmark = pytest.mark.cpu  # CuPy has no read-only arrays

OPTIMIZERS = {
    "SGD": lambda params: SGD(params, lr=0.1),
    "SGD with momentum": lambda params: SGD(params, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda params: Adam(params, lr=0.1),
    "AdamW": lambda params: AdamW(params, lr=0.1),
    "amsgrad": lambda params: Adam(params, lr=0.1, amsgrad=True),
    "RMSprop": lambda params: RMSprop(params, lr=0.1),
    "centered": lambda params: RMSprop(params, lr=0.1, momentum=0.8, centered=True),
    "Adagrad": lambda params: Adagrad(params, lr=0.1, lr_decay=0.2),
}


@pytest.fixture(params=["compiled", "numpy", "reference"])
def way(request):
    """Set the algorithms, and whether they may be compiled."""
    if request.param == "compiled":
        pytest.importorskip("numba", reason="numba is not installed (extra fast)")
    before = use_compiled(request.param == "compiled")
    with algorithm("reference" if request.param == "reference" else "fast"):
        yield request.param
    use_compiled(before)


def mapped(tmp_path, shape=(4, 8)):
    """Return an array on a file that is mapped for reading."""
    path = tmp_path / "weights.npy"
    np.save(path, np.ones(shape, np.float32))
    return np.load(path, mmap_mode="r")


def with_grad(array):
    parameter = Parameter(array)
    parameter.grad = Tensor(np.full(array.shape, 2, array.dtype))
    return parameter


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_on_a_memory_map_is_refused_and_changes_nothing(way, name, tmp_path):
    writable, fixed = with_grad(np.ones((3, 16), np.float32)), with_grad(mapped(tmp_path))
    optimizer = OPTIMIZERS[name]([writable, fixed])
    before = optimizer.state_dict()
    message = r"step\(\): parameter 1 of shape \(4, 8\) is read-only, .*; use a copy of it"
    with pytest.raises(ValueError, match=message):
        optimizer.step()
    assert (writable.data == 1).all()
    assert optimizer.state_dict() == before  # no step counted, no momentum made
    with pytest.raises(ValueError, match=message):
        optimizer.step(obey_skip=True)
    scaler = GradScaler(init_scale=1.0)
    with pytest.raises(ValueError, match=message):
        scaler.step(optimizer)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_numbers_for_a_step_are_not_counted_for_a_memory_map(name, tmp_path):
    optimizer = OPTIMIZERS[name]([with_grad(mapped(tmp_path))])
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"next_numbers\(\): parameter 0 .* is read-only"):
        optimizer.next_numbers()
    assert optimizer.state_dict() == before


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_parameter_without_a_gradient_may_be_read_only(way, name, tmp_path):
    writable, fixed = with_grad(np.ones((3, 16), np.float32)), Parameter(mapped(tmp_path))
    OPTIMIZERS[name]([writable, fixed]).step()
    assert (writable.data != 1).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_read_only_gradient_is_no_hindrance(way, name):
    free, fixed = (with_grad(np.ones((3, 16), np.float32)) for _ in range(2))
    fixed.grad.data.flags.writeable = False
    OPTIMIZERS[name]([free]).step()
    OPTIMIZERS[name]([fixed]).step()
    np.testing.assert_array_equal(free.data, fixed.data)


@pytest.mark.parametrize("name", ["SGD with momentum", "Adam", "AdamW"])
def test_what_is_remembered_must_be_writable_too(way, name):
    parameter = with_grad(np.ones((3, 16), np.float32))
    optimizer = OPTIMIZERS[name]([parameter])
    optimizer.step()
    after_one = parameter.data.copy()
    kept = next(value for key, value in optimizer.state[0].items() if key != "step")
    kept.flags.writeable = False
    with pytest.raises(ValueError, match=r"of parameter 0 of shape \(3, 16\) is read-only"):
        optimizer.step()
    np.testing.assert_array_equal(parameter.data, after_one)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_flat_parameters_are_copies_and_can_be_trained(way, name, tmp_path):
    fixed = with_grad(mapped(tmp_path))
    optimizer = OPTIMIZERS[name]([fixed])
    optimizer.flatten()
    optimizer.step()
    assert (fixed.data != 1).all()
    assert (mapped(tmp_path) == 1).all()


def test_clipping_and_unscaling_change_all_gradients_or_none(tmp_path):
    def two():
        first, second = (with_grad(np.ones((4, 8), np.float32)) for _ in range(2))
        second.grad.data.flags.writeable = False
        return first, second

    for change in (
        lambda parameters: nn.utils.clip_grad_norm_(parameters, 1.0),
        lambda parameters: nn.utils.clip_grad_value_(parameters, 0.5),
        lambda parameters: GradScaler().unscale_(SGD(parameters, lr=1.0)),
        lambda parameters: SGD(parameters, lr=1.0).zero_grad(set_to_none=False),
    ):
        first, second = two()
        with pytest.raises(ValueError, match=r"gradient.* of shape \(4, 8\) is read-only"):
            change([first, second])
        assert (first.grad.data == 2).all()


def test_a_state_is_loaded_whole_or_not_at_all(tmp_path):
    net, other = (nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)) for _ in range(2))
    net[1].running_var.flags.writeable = False
    before = net.state_dict()
    with pytest.raises(ValueError, match=r"load_state_dict: '1.running_var' .* is read-only"):
        net.load_state_dict({name: a + 1 for name, a in other.state_dict().items()})
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_initialisers(tmp_path):
    for fill in (init.kaiming_normal_, init.xavier_uniform_, lambda t: init.constant_(t, 3)):
        with pytest.raises(ValueError, match=r"\w+_: the tensor of shape \(4, 8\) is read-only"):
            fill(Parameter(mapped(tmp_path)))


@pytest.mark.parametrize("buffer", ["running_mean", "running_var", "num_batches_tracked"])
@pytest.mark.parametrize("relu", [False, True])
def test_running_statistics(way, buffer, relu):
    layer = nn.BatchNorm2d(3)
    getattr(layer, buffer).flags.writeable = False
    x = Tensor(np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2))
    before = layer.state_dict()
    with pytest.raises(ValueError, match=f"{buffer} of shape .* is read-only"):
        layer(x, relu=relu)
    with pytest.raises(ValueError, match=f"{buffer} of shape .* is read-only"):
        layer.reset_running_stats()
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    layer.eval()(x, relu=relu)


def test_a_read_only_running_statistic_of_the_functions(way):
    from minideconv import ops

    x = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    for forward in (ops.batch_norm, ops.batch_norm_relu, ops.batch_norm_relu_pool):
        mean, var = np.zeros(3, np.float32), np.ones(3, np.float32)
        var.flags.writeable = False
        with pytest.raises(ValueError, match=r"running_var of shape \(3,\) is read-only"):
            forward(x, mean, var, training=True)
        assert not mean.any()
        forward(x, mean, var, training=False)
