# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The same code on a GPU
#
# A GPU is a processor with thousands of slow cores and a memory of its own. Everything in this library runs on one, from the same
# source: an array brings the module that computes it. That is easy. When it is *faster* is the question, and the one idea of this
# notebook: **a GPU pays for every call and every copy, and gives its speed only to calls that have much to do.**
#
# You need NumPy, and [notebook 10](10_autograd_in_100_lines.ipynb) for what a tensor is. You do **not** need a GPU. Where there is none, the
# same cells run on the CPU, say what they cannot show, and show numbers that were measured on a GPU and stored in this
# repository, with the command that measured them.

# %%
try:
    import matplotlib.pyplot as plt

    import minideconv  # noqa: F401
except ModuleNotFoundError:
    # A fresh kernel: install what is missing, from the checkout that this notebook is in or from
    # what MINIDECONV_SOURCE names; on a notebook service, from a wheel uploaded beside the notebook.
    import importlib.util
    import os
    import subprocess
    import sys
    from pathlib import Path

    packages = ["matplotlib>=3.8"]
    if importlib.util.find_spec("minideconv") is None:
        checkout = ".." if Path("../minideconv/__init__.py").exists() else ""
        wheels = sorted(map(str, Path().glob("minideconv-*.whl")))
        places = [os.environ.get("MINIDECONV_SOURCE"), checkout, *wheels, ""]
        packages += [next(filter(None, places), "")]
    if "" in packages:
        raise ModuleNotFoundError(
            "minideconv is not installed here: build a wheel in the project's folder with `python -m"
            " pip wheel --no-deps .`, upload it beside this notebook, and run this cell again."
        ) from None
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *packages], check=True)
    import matplotlib.pyplot as plt

import json
import time
from pathlib import Path

import numpy as np

from minideconv import Tensor, backend, manual_seed, nn, ops
from minideconv import functional as F
from minideconv.backend import (
    as_device,
    describe_device,
    device_of,
    get_xp,
    synchronize,
    to_device,
)
from minideconv.errors import DeviceError
from minideconv.testing import check_answer
from minideconv.visualize import show, use_style

use_style()
device = as_device("auto")  # the GPU where one can be used, else the CPU
print("this notebook computes on:", describe_device("auto", device))
if device.type == "cpu":
    print("It cannot show: times on a GPU, copies to one, calls that return before they are done.")

STORED = Path(backend.__file__).parents[2] / "benchmarks" / "results" / "gpu-nvidia-h200.json"
if not STORED.exists():  # the package alone is installed
    raise FileNotFoundError("this notebook reads benchmarks/results: run it in a checkout")
stored = json.loads(STORED.read_text())
rate = {row["name"]: row["rate"] for row in stored["sections"]["rates"]}
print(
    f"stored numbers: {stored['machine']['device']}, {stored['machine']['date']}; measured anew by"
)
print("    bash benchmarks/gpu_first_run.sh")

# %% [markdown]
# ## 1. An array brings its module
#
# The CPU and its memory are called the *host*, the GPU and its memory the *device*. [CuPy](https://cupy.dev) has NumPy's functions for arrays in a device's memory: `cupy.exp`, `cupy.where` and so on. So a function that
# takes its module from its argument runs on both. By custom the module is called `xp`:


# %%
def leaky_relu(x, slope=0.125):
    """max(x, slope * x), on the device where x is."""
    xp = get_xp(x)  # numpy for a NumPy array, cupy for a CuPy array
    return xp.where(x > 0, x, slope * x)


x = to_device(np.array([-2.0, -1.0, 0.0, 3.0], np.float32), device)
print(get_xp(x).__name__, leaky_relu(x), "on", device_of(x))

# %% [markdown]
# All operations of this library are written so, and what is built from them therefore runs on both: here are a
# layer, a [loss](../docs/glossary.md#loss) and its [gradients](../docs/glossary.md#gradient). The two lines that
# know of a device are `.to(device)` and `device=`.

# %%
manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1)).to(device)
images = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
labels = np.random.default_rng(1).integers(0, 2, (2, 8, 8))

loss = F.cross_entropy(net(Tensor(images, device=device)), to_device(labels, device))
loss.backward()
print("loss", loss.item(), "   gradient of the first kernel is on", net[0].weight.grad.device)

# %% [markdown]
# If you ask for a GPU by name and there is none, you get an error and never a slow run on the CPU that says nothing:

# %%
try:
    print(Tensor([1.0], device="gpu").device)
except DeviceError as error:
    print("DeviceError:", error)

# %% [markdown]
# ## 2. A device to try it on
#
# To see what a program asks of a GPU, on any machine, here is a *stand-in*: a module `pretend` whose arrays refuse what a GPU's arrays refuse, and which
# keeps a logbook. It computes with NumPy, so it shows **what** is asked, never how long that takes.
# Each function called on a GPU starts a *kernel* (here: a program that many cores run at once; nothing to do with the
# [kernel](../docs/glossary.md#kernel) of a convolution). Some start more than one; the stand-in counts one each. The logbook has a line for each, with the bytes it reads and writes.


# %% tags=["hide-input"]
class OnDevice:
    """An array in the memory of the stand-in."""

    __array_ufunc__ = None  # NumPy shall not compute with it

    def __init__(self, values):
        self.values = values

    shape = property(lambda self: self.values.shape)
    dtype = property(lambda self: self.values.dtype)
    size = property(lambda self: self.values.size)
    ndim = property(lambda self: self.values.ndim)
    T = property(lambda self: OnDevice(self.values.T))  # a view, as are the next two: no kernel

    def __array__(self, *args, **kwargs):
        raise TypeError("an array on the device does not become a NumPy array by itself")

    def __getitem__(self, key):
        return OnDevice(self.values[key])

    def reshape(self, *shape):
        return OnDevice(self.values.reshape(*shape))

    def __getattr__(self, name):  # x.sum(), x.max(), ...
        return lambda *args, **kwargs: getattr(pretend, name)(self, *args, **kwargs)

    def __neg__(self):
        return pretend.negative(self)


def _operator(name, turned):
    def method(self, other):
        pair = (other, self) if turned else (self, other)
        return getattr(pretend, name)(*pair)

    return method


for _short, _name in {
    **{"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "power"},
    **{"gt": "greater", "lt": "less", "ge": "greater_equal", "le": "less_equal"},
    **{"matmul": "matmul", "mod": "remainder"},
}.items():
    setattr(OnDevice, f"__{_short}__", _operator(_name, False))
    setattr(OnDevice, f"__r{_short}__", _operator(_name, True))


class Pretend:
    """A module like cupy, on no GPU: it counts."""

    __name__ = "pretend"
    float32, newaxis, pi = np.float32, None, np.pi

    def __init__(self):
        self.clear()

    def clear(self):
        """Begin a new page of the logbook."""
        self.kernels, self.copies = [], []

    def asarray(self, array):
        """Copy from the host to the device."""
        self.copies.append(("to the device", array.nbytes))
        return OnDevice(np.array(array))

    def asnumpy(self, array):
        """Copy from the device to the host, which waits for it."""
        self.copies.append(("to the host", array.values.nbytes))
        return np.array(array.values)

    def _bare(self, value):
        if isinstance(value, list):
            return [self._bare(one) for one in value]
        return value.values if isinstance(value, OnDevice) else value

    def __getattr__(self, name):
        function = getattr(np, name)

        def call(*args, **kwargs):
            for value in (*args, *kwargs.values()):
                if isinstance(value, np.ndarray) and value.ndim:
                    raise TypeError(f"{name}: one array is on the device, another one on the host")
            flat = [a for one in args for a in (one if isinstance(one, list) else [one])]
            read = sum(a.values.nbytes for a in flat if isinstance(a, OnDevice))
            result = np.asarray(function(*map(self._bare, args), **kwargs))
            moved = read + result.nbytes
            self.kernels.append((name, moved))
            return OnDevice(result)

        return call


pretend = Pretend()


def xp_of(x):
    """get_xp, which also knows the stand-in."""
    return pretend if isinstance(x, OnDevice) else get_xp(x)


# %%
def normalise(x):
    """(N, C) -> the same with mean 0 and variance 1 in each column, negative numbers cut off."""
    xp = xp_of(x)
    mean = xp.mean(x, axis=0)
    centred = x - mean
    variance = xp.mean(centred * centred, axis=0)
    return xp.maximum(centred / xp.sqrt(variance + 1e-5), 0)


host = np.random.default_rng(0).standard_normal((4096, 64)).astype(np.float32)
pretend.clear()
result = normalise(pretend.asarray(host))
assert np.allclose(pretend.asnumpy(result), normalise(host))  # the same numbers

unit = host.nbytes
for name, moved in pretend.kernels:
    print(f"{name:10} reads and writes {moved / unit:4.1f} times x")
print(f"{len(pretend.kernels)} kernels, {sum(m for _, m in pretend.kernels) / unit:.1f} times x; copies:",
      [way for way, _ in pretend.copies])  # fmt: skip

# %% [markdown]
# One operation, one kernel. On a GPU both cost: that there are eight kernels (the next section), and that each reads from memory and
# writes to it. A kernel written by hand does several of these steps to a number while it holds it: reading x twice (once for mean
# and variance, once to normalise) and writing the result once, 3 times x and not 11, is all that
# [batch normalisation](../docs/glossary.md#batch-normalisation) and a ReLU need
# ([memory_bound](../docs/engine/memory_bound.md) counts it).
#
# ### Your turn
#
# Write softmax along the last axis, for any `xp`: $e^{x_i} / \sum_j e^{x_j}$, with the largest $x_j$ of the row subtracted from all first, so that nothing overflows.
# The check calls it with a NumPy array and with one on the stand-in.


# %%
def my_softmax(x):
    """(N, C) -> (N, C), each row positive with sum 1."""
    return None  # write it here; begin with xp = xp_of(x)


# %%
rows = np.array([[0.0, 1.0, 2.0], [1000.0, 1001.0, 999.0]], np.float32)
wanted = ops.softmax(rows, -1)
check_answer("on the host", my_softmax(rows), wanted, hints=[
    (lambda found: np.isnan(found).any(), "Is the largest number subtracted before exp?"),
    (lambda found: not np.allclose(np.sum(found, 1), 1), "Does each row sum up to 1?"),
])  # fmt: skip
try:
    found = my_softmax(pretend.asarray(rows))
    check_answer("on the device", found if found is None else pretend.asnumpy(found), wanted)
except (TypeError, AttributeError) as error:
    print(f"on the device: ✗ not yet: {error}. Does it call np where it should call xp?")

# %% [markdown]
# ## 3. Why small arrays are slower
#
# Every call has a fixed cost before the first number is touched: Python looks the function up, shapes are checked, the result gets memory.
# You can see it without any GPU. The figure shows how long `x * x` takes for more and more numbers. Its dashed line is no
# measurement but a model: the time of a call, as this library makes it through Python and CuPy, plus the bytes divided by the stored rate.


# %%
def seconds(work, least=0.01):
    """The shortest of three measurements of one call."""
    best = float("inf")
    for _ in range(3):
        calls, start = 0, time.perf_counter()
        while time.perf_counter() - start < least:
            work()
            calls += 1
        synchronize(device)  # a GPU's work is only asked for so far: wait for it
        best = min(best, (time.perf_counter() - start) / calls)
    return best


sizes = np.logspace(1, 7, 13).astype(int)
arrays = [np.ones(n, np.float32) for n in sizes]
taken = {"here: CPU": [seconds(lambda x=x: x * x) for x in arrays]}
if device.type == "gpu":
    there = [to_device(x, device) for x in arrays]
    taken["here: GPU"] = [seconds(lambda x=x: x * x) for x in there]

# A model of a GPU: what a kernel costs the host on its way from this library, and 8 bytes a number.
CALL = 40e-6  # seconds: "some 40 microseconds", docs/engine/gpu_step.md; benchmarks.gpu_profile
BYTES_PER_SECOND = rate["copy on the device (read + write)"] * 1e9
taken["model of the stored GPU"] = [CALL + 8 * n / BYTES_PER_SECOND for n in sizes]

# %% tags=["hide-input"]
figure, ax = plt.subplots(figsize=(7.5, 3.6))
for (name, values), style in zip(taken.items(), ("o-", "s-", "--"), strict=False):
    ax.loglog(sizes, np.array(values) * 1e6, style if "model" not in name else "--", label=name)
ax.set(xlabel="numbers in the array", ylabel="microseconds for x * x")
ax.legend(frameon=False)
plt.tight_layout()
show(figure, alt="Time of x times x against the size of the array: every curve is flat at first and "
     "then rises; the GPU's flat part is higher and reaches further right")  # fmt: skip

cpu, gpu = np.array(taken["here: CPU"]), np.array(taken["model of the stored GPU"])
faster = sizes[gpu < cpu]
if len(faster):
    print("of these sizes, the first at which the GPU is faster by the model:", faster[0])

# %% [markdown]
# Both curves have the same shape: flat, then rising with the size. In the flat part you pay for the call; only in the rising part
# for the work. For the GPU the model puts the rising part far lower, because its memory is fast, and the flat part higher. Left of where they cross, the CPU wins.
#
# ### Your turn
#
# How many 32-bit numbers could the stored GPU have squared in the time of one call? It reads 4 bytes and writes 4 bytes for each,
# at 4256 thousand million bytes a second; a call takes 40 microseconds. Round to whole millions.

# %%
my_millions = None

# %%
check_answer(
    "my_millions",
    my_millions,
    round(CALL * BYTES_PER_SECOND / 8 / 1e6),
    hints=[
        (lambda n: 42 <= n <= 43, "Each number is read and written: 8 bytes."),
        (lambda n: n in (170, 170.24), "Those are bytes: how many numbers are that?"),
        (lambda n: n > 1e6, "In millions, please."),
        (lambda n: n != round(n), "To a whole number of millions, please."),
    ],
    hint="Bytes that move in 40 microseconds, divided by the bytes of one number.",
)

# %% [markdown]
# ## 4. A training step is hundreds of calls
#
# A step of a DeconvNet with five stages starts 391 kernels, 89 products and 119 small copies ([gpu_step](../docs/engine/gpu_step.md)). At 40 microseconds each that is 24 ms of calling, for
# small arrays too. So how do you train a small network on a GPU? You *record* the step: the list of its kernels is stored on the device once, as a
# *CUDA graph*, and started with one call from then on. Measured and stored, in milliseconds for one training step, in the precision `tf32` of section 6:
# two small networks (the one that `minideconv.train` trains by default, and another one), and the DeconvNet of the paper.

# %%
steps = [row for row in stored["sections"]["steps"] if row["precision"] == "tf32"]
kinds = {"without graph": "each kernel called", "ours": "recorded", "torch": "PyTorch, called"}
print(f"{'network, pixels, batch':26}" + "".join(f"{name:>22}" for name in kinds.values()))
for row in steps:
    which = f"{row['name']}, {row['input']}, {row['batch']}"
    print(f"{which:26}" + "".join(f"{row['ms'][kind]:19.1f} ms" for kind in kinds))

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.9))
for ax, row in zip(axes, steps, strict=True):
    values = [row["ms"][kind] for kind in kinds]
    bars = ax.bar(range(3), values, color=["#0072B2", "#E69F00", "#7f7f7f"])
    ax.bar_label(bars, [f"{value:.1f}" for value in values])
    ax.set_xticks(range(3), ["called", "recorded", "PyTorch"])
    ax.set_title(f"{row['name']}\n{row['input']} px, batch {row['batch']}")
    ax.set_ylim(0, 1.2 * max(values))
axes[0].set_ylabel("ms a step")
plt.tight_layout()
show(figure, alt="Milliseconds of a training step for three networks: for the two small ones the "
     "recorded step is many times as fast, for the large one hardly faster")  # fmt: skip

# %% [markdown]
# The only difference between the first two bars is who calls the kernels. In the small networks nearly all of the time was
# the calling; in the paper's network the kernels themselves take the time, and recording gains little. There PyTorch was
# faster. Two causes are known. Of our 50.6 ms, 18 went into a fault (weights that lay in the wrong order were turned in every step), which has been mended since; the step has not been
# measured again ([gpu_results](../docs/engine/gpu_results.md)). And our convolutions are slower: measured one by one, the larger ones took 19.4 ms together, where PyTorch's took 11.8
# (`python -m benchmarks.gpu_choices`). The command for the table, on a machine with a GPU: `bash benchmarks/gpu_first_run.sh`.
#
# ## 5. Copies, and waiting
#
# The device has a memory of its own, and the way to it is narrow. Stored: 4256 GB/s within the device,
# 55 GB/s from the host to the device. And a copy *back* has another price: the host must wait until everything asked for before is done. Count both in two versions of one training loop, which
# fits a line by [gradient](../docs/glossary.md#gradient) descent:


# %%
def fit(read_each_step, steps=100):
    """Fit y = w x on the stand-in; print what was asked of it."""
    values = np.linspace(-1, 1, 256, dtype=np.float32)
    pretend.clear()
    x, y = pretend.asarray(values), pretend.asarray(3 * values)
    w, history = pretend.asarray(np.zeros(1, np.float32)), []
    for _ in range(steps):
        wrong = w * x - y
        loss = pretend.mean(wrong * wrong)
        w = w - 0.5 * pretend.mean(wrong * x)
        history.append(float(pretend.asnumpy(loss)) if read_each_step else loss)
    if not read_each_step:
        history = pretend.asnumpy(pretend.stack(history)).tolist()  # all losses in one copy
    waits = sum(way == "to the host" for way, _ in pretend.copies)
    print(f"loss {history[0]:.2f} to {history[-1]:.0e}; kernels: {len(pretend.kernels)}; "
          f"copies to the host, which waits for each: {waits}")  # fmt: skip
    return history


assert np.allclose(fit(read_each_step=True), fit(read_each_step=False))

# %% [markdown]
# The same losses. The first version, with the innocent `float(...)` of the loss in every step, makes the host stand still a hundred times, and then the device, while
# the host prepares what comes next. What this costs in seconds the stand-in cannot say. `minideconv.train` reads
# its losses every few steps for this reason ([gpu_step](../docs/engine/gpu_step.md)).
#
# It is also why a GPU is easily measured wrong: a call returns when the work has been *asked for*.

# %%
big = to_device(np.ones((1000, 1000), np.float32), device)
big @ big  # the first call may load libraries
synchronize(device)
start = time.perf_counter()
product = big @ big
asked = time.perf_counter() - start
synchronize(device)  # wait for the device; nothing to wait for on a CPU
done = time.perf_counter() - start
print(f"after the call {asked * 1e3:.2f} ms, after waiting {done * 1e3:.2f} ms, on {device}")
if device.type == "cpu":
    print("The same: on a CPU the call itself computes. On a GPU the first holds the asking alone.")

# %% [markdown]
# ### Your turn
#
# A batch of 16 colour pictures of 224 × 224 pixels is sent to the device in every step. How many bytes would that be if they were sent as 32-bit numbers? (The library
# does not do so: it sends one byte a colour, and the device makes 32-bit numbers of them.)

# %%
my_bytes = None

# %%
check_answer(
    "my_bytes",
    my_bytes,
    np.zeros((16, 3, 224, 224), np.float32).nbytes,
    hints=[
        (lambda n: n == 16 * 3 * 224 * 224, "That is one byte a colour: what the library sends."),
        (lambda n: n == 4 * 16 * 224 * 224, "A pixel has three colours."),
        (lambda n: n == 4 * 3 * 224 * 224, "That is one picture."),
        (lambda n: n == 32 * 16 * 3 * 224 * 224, "Those are bits."),
    ],
    hint="Pictures times colours times rows times columns times bytes of a number.",
)

# %% [markdown]
# ## 6. Fewer bits
#
# The GPU's largest rates are for products of numbers with few bits. A 32-bit number has 23 bits behind the leading one; `tf32` keeps 10 of them, `bf16` keeps
# 7. The factors are rounded, and the products are added up in 32 bits. Rounding can be done here, too, so the *error* is an experiment; the *speed* is stored (in TFLOP/s:
# $10^{12}$ additions and multiplications a second).


# %%
def rounded(x, bits):
    """Keep so many bits behind the leading one of each float32."""
    drop = 23 - bits
    whole = x.view(np.uint32) + np.uint32(1 << (drop - 1) if drop else 0)
    return (whole >> np.uint32(drop) << np.uint32(drop)).view(np.float32)


rng = np.random.default_rng(0)
a, b = rng.standard_normal((2, 400, 400)).astype(np.float32)
exact = a.astype(np.float64) @ b.astype(np.float64)
formats = {"fp32": 23, "tf32": 10, "bf16": 7}
errors = {}
for name, bits in formats.items():
    product = rounded(a, bits) @ rounded(b, bits)
    errors[name] = np.sqrt(np.mean((product - exact) ** 2) / np.mean(exact**2))
    print(f"{name}: {bits:2} bits, relative error of a product {errors[name]:.0e}, "
          f"stored speed {rate[f'product, {name}']:4.0f} TFLOP/s")  # fmt: skip

# %% tags=["hide-input"]
figure, ax = plt.subplots(figsize=(7.5, 3))
for name in formats:
    x_place, y_place = rate[f"product, {name}"], errors[name]
    ax.loglog(x_place, y_place, "o", markersize=9)
    ax.annotate(name, (x_place, y_place), xytext=(10, -4), textcoords="offset points")
ax.set(xlabel="stored speed of large products, TFLOP/s", ylabel="error, measured here")
ax.set(xlim=(20, 2000), ylim=(1e-8, 1e-1))
plt.tight_layout()
show(figure, alt="Error of a product against speed: fp32 at 40 with an error of 3e-7, tf32 at 390 "
     "with 3e-4, bf16 at 730 with 2e-3")  # fmt: skip

# %% [markdown]
# Ten to twenty times the speed for an error of a thousandth or so in each product. `minideconv.train --precision tf32` asks for
# that; the default is `fp32`. A fourth format, `fp16`, keeps 10 bits too but has a further trap: it has fewer bits for the exponent. Its smallest number is about 6e-8, and gradients can
# be smaller. So the loss is multiplied by a large number before the backward pass, and gradients are divided by it after (exercise 3).

# %%
print("1e-8 in fp16:", np.float16(1e-8), "   65536 times that:", np.float16(65536e-8))

# %% [markdown]
# ## 7. Not the same numbers
#
# A GPU adds in another order than a CPU, and in floating point the order matters in the last bit. A stored pair of runs with the same seed, one on the CPU and
# one on the GPU, had first losses that differed by 7e-8 and later ones that differed by up to 8%. Is that a fault? Here is the experiment without a GPU: one
# network, trained twice on this CPU, the second time with the *terms of its sums in another order*.


# %%
def train(turned, steps=600, lr=0.05):
    """Train a small network with NumPy; `turned` adds up its sums from the other end."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, 32)).astype(np.float32)
    y = np.sign(x[:, 0] * x[:, 1]).astype(np.float32)
    w, v = (rng.standard_normal(s).astype(np.float32) / 4 for s in ((32, 64), 64))
    way = slice(None, None, -1) if turned else slice(None)

    def product(a, b):  # the same numbers, the same product; another order of its sums
        return np.ascontiguousarray(a[:, way]) @ np.ascontiguousarray(b[way])

    losses = []
    for _ in range(steps):
        hidden = np.maximum(product(x, w), 0)
        wrong = product(hidden, v) - y
        losses.append(float(np.mean(wrong**2)))
        back = np.outer(2 * wrong / len(x), v).astype(np.float32) * (hidden > 0)
        w, v = w - lr * product(x.T, back), v - lr * product(hidden.T, 2 * wrong / len(x))
    return np.array(losses)


one, other = train(False), train(True)
apart = np.abs(one - other) / one

# %% tags=["hide-input"]
figure, ax = plt.subplots(figsize=(7.5, 2.8))
ax.semilogy(np.maximum(apart, 1e-9))
ax.set(xlabel="step", ylabel="relative difference of losses")
plt.tight_layout()
show(figure, alt="The relative difference between the losses of the two runs: below 1e-6 at first, "
     "larger by orders of magnitude at the end")  # fmt: skip
print(f"first difference {apart[:3].max():.0e}, largest {apart.max():.0e}; "
      f"final losses {one[-1]:.4f} and {other[-1]:.4f}")  # fmt: skip
agreement = stored["sections"]["agreement"][0]
first, largest = agreement["first"], agreement["largest"]
print(f"stored, CPU against GPU: first {first:.0e}, largest {largest:.0e}")

# %% [markdown]
# Training feeds each step's rounding into the next. So "the same losses as on the CPU" is no test of a GPU's code beyond the first
# steps; the library compares single operations instead, and first losses. (Equal losses are drawn at 1e-9; at a sharp dip the losses of the two runs cross.)
#
# ## Break it
#
# The commonest fault in code for both devices is a `np` that should have been `xp`. On the CPU it does nothing: `xp` *is* `np` there, all tests pass. Change
# `np.ones` and `np.arange` to `xp.ones` and `xp.arange`, and the line for the stand-in passes, too.


# %%
def mask_borders(x, xp):
    """Set the first and last column to zero."""
    keep = np.ones(x.shape[1], np.float32)  # <- the fault, here and in the next line
    keep = keep * (np.arange(x.shape[1]) % (x.shape[1] - 1) > 0)
    return x * keep


print("NumPy:    ", mask_borders(host, np).shape)
try:
    print("stand-in: ", mask_borders(pretend.asarray(host), pretend).shape)
except TypeError as error:
    print("stand-in:  TypeError:", error)
if device.type == "gpu":
    try:
        mask_borders(to_device(host, device), get_xp(to_device(host, device)))
    except TypeError as error:
        print("CuPy:      TypeError:", error)

# %% [markdown]
# A GPU's arrays refuse to be mixed with NumPy's, because each such line would be a copy that you did not ask for. (The stand-in is
# stricter than CuPy, which hands `np.exp(x)` of its own array on to `cupy.exp`.) Without a GPU in your tests you would learn of it from your users. This library's
# tests run its operations on an emulated device for that reason ([gpu_testing](../docs/engine/gpu_testing.md)).
#
# ## What the paper says
#
# [Noh, Hong and Han (2015)](https://arxiv.org/abs/1505.04366), section 5.1, trained DeconvNet for six days on one GPU with 12 GB of memory: two
# for the first stage, four for the second. This notebook reproduces no figure of theirs. Its picture of fixed cost, memory and
# arithmetic is the *roofline* of [Williams, Waterman and Patterson (2009)](https://doi.org/10.1145/1498765.1498785), with a floor added for
# the call; products with rounded factors and float32 sums, and the scaled loss, are from [Micikevicius and others (2018)](https://arxiv.org/abs/1710.03740), sections
# 3.2 and 3.3. Where we differ: they store the maps between layers in 16 bits, too; here only the factors of products are rounded.
#
# ## Exercises
#
# **1.** How many kernels does `normalise` start for an array that is a thousand times as large? And how would you get fewer?
#
# <details><summary>Answer</summary>
#
# As many: the number of calls does not depend on the size, which is why it hurts small arrays.
#
# ```python
# counts = []
# for rows_ in (4, 4096):
#     pretend.clear()
#     normalise(pretend.asarray(host[:rows_]))
#     counts.append(len(pretend.kernels))
# print(counts)
# assert counts[0] == counts[1]
# ```
#
# Fewer only by doing more in one kernel (written by hand, or put together by a compiler), or by recording the list.
# </details>
#
# **2.** The stored step of the smallest network took 21.6 ms when each kernel was called and 1.37 ms recorded. Suppose that a new GPU computes twice as fast, and the host is the
# same. How long would both take, if the calling alone determines the first?
#
# <details><summary>Answer</summary>
#
# The recorded one half as long; the other one as long as before: the GPU was waiting anyway.
#
# ```python
# ms = steps[0]["ms"]
# computing, calling = ms["ours"], ms["without graph"]
# new = {"recorded": computing / 2, "called": max(calling, computing / 2)}
# print(new)
# assert new["called"] == calling and new["recorded"] < calling / 10
# ```
# </details>
#
# **3.** Gradients of 1e-8, 3e-8 and 1e-3 are to be stored in `fp16`. Scale them so that none vanishes and none overflows (above 65504), and get each back to within 1 %. Which powers of two work?
#
# <details><summary>Answer</summary>
#
# ```python
# gradients = np.array([1e-8, 3e-8, 1e-3], np.float32)
# fine = []
# for power in range(40):
#     with np.errstate(over="ignore"):
#         stored_as = (gradients * np.float32(2.0**power)).astype(np.float16)
#     back = stored_as.astype(np.float32) / np.float32(2.0**power)
#     if np.isfinite(back).all() and np.allclose(back, gradients, rtol=1e-2, atol=0):
#         fine.append(power)
# print("powers that keep all three to 1%:", fine[0], "to", fine[-1])
# assert 0 not in fine and len(fine) > 5
# ```
#
# The room is wide, so `optim.GradScaler` need not know the gradients: it doubles its factor now and then, and halves it when something
# overflowed.
# </details>
#
# ## In the library
#
# - [`minideconv.backend.get_xp`](../minideconv/backend/__init__.py#L66), [`minideconv.backend.to_device`](../minideconv/backend/__init__.py#L231)
#   and [`minideconv.backend.synchronize`](../minideconv/backend/__init__.py#L313): these three do it for real; nothing else imports CuPy.
# - [`minideconv.ops.activations.softmax_core`](../minideconv/ops/activations.py#L119): an operation for both devices.
# - [`minideconv.backend.precisions.set_precision`](../minideconv/backend/precisions.py#L40), and
#   [`minideconv.training.gpu.graphs.GraphCache`](../minideconv/training/gpu/graphs.py#L39), which records a step.
# - How a kernel in CUDA is read, line by line: [the GPU engine](../docs/engine/gpu.md).
