"""Two GPUs: everything runs on the one where its arrays are, while the other one is current."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest
import two_devices

from minideconv import Tensor, nn, no_grad, ops, optim, train
from minideconv import functional as F
from minideconv.autograd.checkpointing import checkpoint
from minideconv.autograd.shapes import concatenate, stack
from minideconv.backend import Device, device_of, get_xp, to_cpu, to_device
from minideconv.backend.algorithms import algorithm
from minideconv.backend.precisions import precision
from minideconv.engine.cuda import checks, confusion, memory, module
from minideconv.engine.cuda.blas import gemm
from minideconv.models import deconvnet
from minideconv.ops.switches import Switches
from minideconv.segmentation.inference import Segmenter
from minideconv.training.config import TrainConfig
from minideconv.training.trainer import Trainer

SECOND = Device("gpu", 1)


@pytest.fixture
def xp(cupy_device):
    """Return CuPy where there are two devices, of which the first is current."""
    xp = cupy_device.xp
    if cupy_device.kind == "gpu":
        if xp.cuda.runtime.getDeviceCount() < 2:
            pytest.skip("needs two GPUs")
        yield xp
        return
    with two_devices.second_device():
        yield xp
        for key in [key for key in checks._tables if key[0] == SECOND]:
            del checks._tables[key]  # it cannot be read when there is one device again
        assert xp.cuda.runtime.getDevice() == 0
        assert two_devices.fault() == ""


def drawn(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def far(array, requires_grad=False):
    return Tensor(array, requires_grad=requires_grad, device="gpu:1")


def network():
    model = deconvnet(num_classes=3, width=2, input_size=16, fc=4, stages=2)
    return model.to("gpu:1")


IMAGES = drawn((2, 3, 16, 16), 1)
RUN = {
    **{"train_images": 8, "val_images": 2, "image_size": 16, "input_size": 16, "width": 2},
    **{"fc": 4, "depth": 2, "batch_size": 4, "stage": "whole", "difficulty": "easy", "epochs": 2},
    **{"device": "gpu:1", "warmup": 0, "recalibrate": 1, "final_images": 2},
}
LABELS = np.random.default_rng(2).integers(0, 3, (2, 16, 16))


def loss_of(model, device="gpu:1"):
    scores = model(Tensor(IMAGES, device=device))
    return F.cross_entropy(scores, Tensor(LABELS, device=device))


# ---- whole steps ---------------------------------------------------------------------------------

OPTIMIZERS = {
    "SGD": lambda parameters: optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.1),
    "AdamW": lambda parameters: optim.AdamW(parameters, lr=0.01),
}


@pytest.mark.parametrize("flat", [False, True], ids=["apart", "flat"])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("algorithms", ["reference", "fast"])
def test_a_training_step(xp, algorithms, name, flat):
    with algorithm(algorithms):
        model = network()
        optimizer = OPTIMIZERS[name](model.parameters())
        if flat:
            optimizer.flatten()
        for _ in range(2):
            optimizer.zero_grad(set_to_none=False)
            loss = loss_of(model)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            nn.utils.clip_grad_value_(model.parameters(), 0.5)
            optimizer.step()
        model.eval()
        with no_grad():
            loss_of(model).item()
    assert norm.device == SECOND
    arrays = [*model.arrays().values(), *(p.grad.data for p in model.parameters())]
    arrays += [a for state in optimizer.state.values() for a in state.values() if get_xp(a) is xp]
    assert {device_of(array) for array in arrays} == {SECOND}


def test_the_same_numbers_as_on_the_first_device(xp):
    """The network itself, its gradients and the step do not know which GPU it is."""
    weights = []
    for place in ("gpu:0", "gpu:1"):
        model = network().to(place)
        rng = np.random.default_rng(3)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.1, rng=rng)
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        loss_of(model, place).backward()
        optimizer.step()
        weights.append(model.state_dict())
    for key in weights[0]:
        np.testing.assert_array_equal(weights[0][key], weights[1][key], err_msg=key)


@pytest.mark.parametrize("name", ["tf32", "bf16", "fp16"])
def test_a_step_in_less_precision(xp, name):
    with precision(name):
        model = network()
        scaler = optim.GradScaler(init_scale=8.0)
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        optimizer.flatten()
        for _ in range(2):
            optimizer.zero_grad()
            scaler.scale(loss_of(model)).backward()
            scaler.step(optimizer)
            scaler.update()
    scaler.load_state_dict(scaler.state_dict())
    assert scaler.get_scale() > 0


def test_a_step_with_numbers_that_are_on_the_device(xp):
    for make in OPTIMIZERS.values():
        model = network()
        optimizer = make(model.parameters())
        optimizer.flatten()
        loss_of(model).backward()
        optimizer.step(to_device(optimizer.next_numbers(), "gpu:1"))
        optimizer.load_state_dict(optimizer.state_dict())
        optimizer.complete_grads()
        optimizer.flat_grad.sum  # noqa: B018 (it clears what is missing)


def test_parameters_of_one_optimizer_on_two_devices(xp):
    first = Tensor(drawn(5), requires_grad=True, device="gpu:0")
    second = far(drawn(5), requires_grad=True)
    for make in OPTIMIZERS.values():
        (first * first).sum().backward()
        (second * second).sum().backward()
        make([first, second]).step()
    np.testing.assert_array_equal(first.numpy(), second.numpy())
    assert second.device == SECOND


def test_a_part_that_is_computed_twice_and_gradients_over_two_devices(xp):
    x = far(drawn((2, 3)), requires_grad=True)
    y = checkpoint(lambda x: (x * x).exp(), x)
    near = y.to("gpu:0") * 2  # one user there, one here
    (near.sum() + y.sum().to("gpu:0")).backward()
    want = 3 * 2 * x.numpy() * np.exp(x.numpy() ** 2)
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-6)
    assert x.grad.device == SECOND


def test_layers_that_the_network_has_not(xp):
    x = far(drawn((2, 4, 8, 8)), requires_grad=True)
    rng = np.random.default_rng(0)
    norm = nn.BatchNorm2d(4).to("gpu:1")
    y = norm(x)
    norm.reset_running_stats()
    y = F.dropout(y, 0.5, True, rng)
    y = F.pad(y, (1, 1, 1, 1), "reflect")
    y = F.avg_pool2d(y, 3, 2, 1)
    y = F.interpolate(y, (7, 6), mode="bilinear")
    y = F.interpolate(y, scale_factor=2.0)
    y, switches = F.max_pool2d(y, 2, return_switches=True)
    y = F.max_unpool2d(y, switches, "add")
    y = F.softmax(y, 1) * F.log_softmax(y, 1)
    layer = nn.Conv2d(4, 8, 3, groups=2, dilation=2).to("gpu:1")
    y = layer(y)
    y = nn.Linear(8, 3).to("gpu:1")(y.mean((2, 3)))
    (
        y * F.cross_entropy(y, far(np.zeros(2, np.int64)), far(np.ones(3, np.float32)))
    ).sum().backward()
    assert device_of(x.grad.data) == SECOND
    assert {device_of(p.grad.data) for p in layer.parameters()} == {SECOND}


@pytest.mark.parametrize("graph", ["off", "on"])
def test_a_whole_run(xp, graph, tmp_path):
    """With a thread that fills the batches, validation, and a budget that bounds the right pool."""
    config = TrainConfig(**RUN, graph=graph, memory_budget="1GiB")
    trainer = Trainer(config)
    trainer.fit()
    for place in (0, 1):
        with xp.cuda.Device(place):
            assert memory.limit() == 0
    trainer.evaluate(trainer.val_data)
    trainer.recalibrate()
    assert {device_of(array) for array in trainer.model.arrays().values()} == {SECOND}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in RUN.items()]
    folder = tmp_path / "run"
    assert train.main([*options, f"--graph={graph}", "-q", f"--output-dir={folder}"]) == 0


# ---- operations ----------------------------------------------------------------------------------

TENSORS = {
    "arithmetic": lambda x: (1 + x) * x / (x * x + 2) - (-x) ** 2,
    "functions": lambda x: ((abs(x) + 1).sqrt().log() + x.exp().tanh().sigmoid()).clip(0.1, 0.9),
    "comparison": lambda x: Tensor(x > 0),
    "choice": lambda x: Tensor.max(x, axis=1) + x.min(dim=1)[0] + x.var(1, ddof=1) + x.sum(1),
    "shapes": lambda x: x.T.reshape(-1).unsqueeze(0).broadcast_to(3, 12).flatten(),
    "picking": lambda x: x[1:, [0, 1, 1]] + x[2][:3],
    "joining": lambda x: concatenate([x, stack([x[0], x[1]])]),
    "product": lambda x: x @ x.T,
    "types": lambda x: x.astype(np.float64) * 2,
    "in place": lambda x: changed(x.detach()),
    "copies": lambda x: copy.deepcopy(x.detach()),
    "DLPack": lambda x: Tensor.from_dlpack(x.detach()),
    "made": lambda x: Tensor([1.0, 2.0], device=x.device, dtype=np.float64),
}


def changed(x):
    x[0] = 2
    x[1:] += x[:2]
    x *= 3
    return x


@pytest.mark.parametrize("name", TENSORS)
def test_operations_on_tensors(xp, name):
    x = far(drawn((3, 4)), requires_grad=True)
    y = TENSORS[name](x)
    near = TENSORS[name](Tensor(drawn((3, 4)), device="gpu:0"))
    assert y.device == SECOND
    np.testing.assert_array_equal(y.numpy(), near.numpy())
    if y.requires_grad:
        seen = []
        y.register_hook(lambda grad: seen.append(grad.device))
        y.retain_grad()
        y.backward(np.ones(y.shape, y.dtype))
        assert {*seen, y.grad.device, x.grad.device} == {SECOND}


def test_switches_and_their_encodings(xp):
    x = to_device(drawn((1, 2, 4, 4)), "gpu:1")
    _, switches = ops.max_pool2d(x, 2, return_switches=True)
    arrays = [switches.indices, switches.to_plane(), switches.to_window(), switches.to_tensor()]
    assert {device_of(array) for array in arrays} == {SECOND}
    again = Switches.from_window(switches.to_window(), (4, 4), 2)
    assert again.device == SECOND
    there = Switches.from_tensor(switches.to_tensor(True), (4, 4), column_major=True)
    np.testing.assert_array_equal(to_cpu(there.indices), to_cpu(switches.indices))


def test_moving_keeps_the_order_in_memory(xp):
    host = drawn((2, 5, 4, 3)).transpose(0, 3, 1, 2)
    there = to_device(host, "gpu:1")
    back = to_device(there, "gpu:0")
    assert (device_of(there), device_of(back)) == (SECOND, Device("gpu", 0))
    assert there.strides == back.strides == host.strides
    np.testing.assert_array_equal(to_cpu(back), host)
    np.testing.assert_array_equal(to_cpu(to_device(there[:, ::2], "gpu:0")), host[:, ::2])


def test_segmentation_and_counts(xp):
    segmenter = Segmenter(network(), 16, flip=True)
    image = np.random.default_rng(0).integers(0, 256, (20, 18, 3)).astype(np.uint8)
    assert segmenter.labels(image).shape == (20, 18)
    assert device_of(segmenter.scores(image)) == SECOND
    scores = to_device(drawn((2, 3, 16, 16)), "gpu:1")
    counts = to_device(np.zeros((3, 3), np.int64), "gpu:1")
    confusion.count(counts, to_device(LABELS.astype(np.uint8), "gpu:1"), scores)
    assert int(to_cpu(counts).sum()) == LABELS.size
    checks.raise_deferred()


def test_a_kernel_with_much_shared_memory_on_both_devices(xp):
    """What a kernel may have is set on each device: 64 KiB."""
    head, body = 'extern "C" __global__ void last(float* y)', "s[0] = 7; y[0] = s[0];"
    code = f"{head} {{ extern __shared__ float s[]; {body} }}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "source", lambda file: code)
        module._module.cache_clear()
        module._function.cache_clear()
        module.parameters.cache_clear()
        for place in ("gpu:0", "gpu:1"):
            y = to_device(np.zeros(1, np.float32), place)
            module.launch("made_up.cu", "last", 1, (y,), shared=64 << 10)
            assert to_cpu(y).tolist() == [7]
    module._module.cache_clear()
    module._function.cache_clear()
    module.parameters.cache_clear()


# ---- arguments on two devices --------------------------------------------------------------------

ON_BOTH = {
    "add": lambda near, there: near + there,
    "matmul": lambda near, there: there @ near,
    "conv2d": lambda near, there: F.conv2d(there.reshape(1, 4, 2, 2), near.reshape(4, 4, 1, 1)),
    "linear": lambda near, there: F.linear(there, near),
    "cross_entropy": lambda near, there: F.cross_entropy(there, near.astype(np.int64)[0]),
    "concatenate": lambda near, there: concatenate([near, there]),
    "x += value": lambda near, there: near.__iadd__(there),
    "gemm": lambda near, there: gemm(near.data, near.data, there.data),
    "launch": lambda near, there: module.launch("conv.cu", "any", 1, (near.data, there.data)),
}


@pytest.mark.parametrize("name", ON_BOTH)
def test_arguments_on_two_devices_are_one_sentence(xp, name):
    near, there = Tensor(np.ones((4, 4), np.float32), device="gpu:0"), far(drawn((4, 4)))
    with pytest.raises(ValueError, match=r"gpu:\d and .* on gpu:\d; .*: move one of") as error:
        ON_BOTH[name](near, there)
    assert str(error.value).startswith(f"{name}: ")
    assert {"gpu:0", "gpu:1"} <= set(re.findall(r"gpu:\d", str(error.value)))


# ---- the check itself ----------------------------------------------------------------------------


class Wrong:
    """Calls on the wrong one of two devices, past every guard."""

    def __init__(self, xp):
        self.null = xp.cuda.Stream.null
        self.near = to_device(np.ones((4, 4), np.float32), "gpu:0")
        self.x = to_device(np.ones((4, 4), np.float32), "gpu:1")
        with xp.cuda.Device(1):
            code = 'extern "C" __global__ void set(float* x) { x[0] = 1; }'
            self.kernel = xp.RawModule(code=code).get_function("set").kernel
            self.event = xp.cuda.Event()
        self.parts = xp.zeros(1)
        self.matmul = xp.matmul


WRONG_CALLS = {
    "a kernel's array": lambda w: module.launch.__wrapped__(
        "gradients.cu", "squares", 1, (w.x, w.x.size, w.parts), grid=1
    ),
    "a product's array": lambda w: w.matmul(w.x, w.x),
    "a cuBLAS handle": lambda w: gemm.__wrapped__(w.near, w.near, w.x),
    "a fill": lambda w: w.x.data.memset_async(0, 4, w.null),
    "a copy": lambda w: w.x.data.copy_from_device_async(w.x[1:].data, 8, w.null),
    "an event": lambda w: w.event.record(w.null),
    "a wait for an event": lambda w: w.event.synchronize(),
    "a kernel": lambda w: w.kernel((1,), (1,), (w.near,)),
}


@pytest.mark.parametrize("what", WRONG_CALLS)
def test_the_check_would_notice(cupy_device, what):
    if cupy_device.kind != "fakecuda":
        pytest.skip("a GPU has checks of its own")
    with two_devices.second_device():
        wrong = Wrong(cupy_device.xp)
        assert two_devices.fault() == ""
        with pytest.raises(RuntimeError):
            WRONG_CALLS[what](wrong)
        assert two_devices.fault() == f"{what} of device 1 on device 0"
