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
# # Testing layers
#
# You have written a layer, forward and backward. A wrong one returns numbers too, and raises no error. How do you find out?
# The one idea of this notebook: **test what must hold for every input, on geometry (sizes, stride, padding) that is drawn at random; and before you believe
# a test, give it a wrong layer.** A test that passes right and wrong alike says nothing, and such tests are easily written.
#
# You need: convolution and its backward pass ([*Backward of convolution*](07_backward_of_convolution.ipynb)); batch norm
# appears once ([*Batch norm by hand*](09_batch_norm_by_hand.ipynb)). It follows [*Autograd in 100
# lines*](10_autograd_in_100_lines.ipynb), and runs in a few seconds on any CPU.

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

from inspect import signature
from textwrap import fill
from typing import NamedTuple

import numpy as np

import minideconv as md
from minideconv import functional as F
from minideconv import ops
from minideconv.data import Shapes
from minideconv.testing import OperationError, check_answer, check_op
from minideconv.testing.drawing import conv_geometry
from minideconv.visualize import show, use_style

use_style()

# %% [markdown]
# ## 1. A layer, and a mistake in it
#
# Here is a [convolution](../docs/glossary.md#convolution) to be tested, with [stride](../docs/glossary.md#stride) and [padding](../docs/glossary.md#padding) as pairs (along the height, along the width). Its
# [backward pass](../docs/glossary.md#backward-pass) gets `dy`, the gradient that arrives from above, of the shape of the output (a [cotangent](../docs/glossary.md#cotangent)), and returns the gradients of the image and
# of the [kernel](../docs/glossary.md#kernel). Both walk over the [taps](../docs/glossary.md#tap), the entries of the kernel.


# %%
def windows(x, w, dy_or_y, stride):
    """Yield each tap (i, j) with the slice of the padded image that it looks at."""
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            rows = slice(i, i + stride[0] * (dy_or_y.shape[2] - 1) + 1, stride[0])
            columns = slice(j, j + stride[1] * (dy_or_y.shape[3] - 1) + 1, stride[1])
            yield (i, j), (..., rows, columns)


def padded(x, padding):
    return np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))


def conv2d(x, w, stride=(1, 1), padding=(0, 0)):
    """(N, C, H, W), (K, C, kh, kw) -> (N, K, H', W')."""
    x = padded(x, padding)
    height, width = ((x.shape[i] - w.shape[i]) // stride[i - 2] + 1 for i in (2, 3))
    y = np.zeros((len(x), len(w), height, width), x.dtype)
    for (i, j), window in windows(x, w, y, stride):
        y += np.einsum("kc,nchw->nkhw", w[:, :, i, j], x[window])
    return y


def conv2d_backward(dy, x, w, stride=(1, 1), padding=(0, 0)):
    """Return dx and dw."""
    x = padded(x, padding)
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for (i, j), window in windows(x, w, dy, stride):
        dx[window] += np.einsum("kc,nkhw->nchw", w[:, :, i, j], dy)
        dw[:, :, i, j] = np.einsum("nkhw,nchw->kc", dy, x[window])
    (top, left), (height, width) = padding, dx.shape[2:]
    return dx[:, :, top : height - top, left : width - left], dw


class Layer(NamedTuple):
    """A forward and its backward."""

    forward: object
    backward: object


right = Layer(conv2d, conv2d_backward)

# %% [markdown]
# Now a mistake, *planted* by us: the kernel is used turned by 180°. (Mathematicians define convolution so; layers of networks do not.) Below, both
# layers blur a picture, and both layers look for edges.


# %%
def flip(w):
    return w[:, :, ::-1, ::-1]


def flipped_backward(dy, x, w, *args):
    dx, dw = conv2d_backward(dy, x, flip(w), *args)
    return dx, flip(dw)


flipped = Layer(lambda x, w, *args: conv2d(x, flip(w), *args), flipped_backward)

picture = Shapes("val", size=96, difficulty="easy")[8][0].mean(axis=2)[None, None] / 255
blur = np.full((1, 1, 5, 5), 1 / 25)
edge = np.array([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]])[None, None]

# %% tags=["hide-input"]
figure, axes = plt.subplots(2, 3, figsize=(7.5, 5.2))
for row, (kernel, name) in enumerate(((blur, "blurring kernel"), (edge, "edge kernel"))):
    results = right.forward(picture, kernel)[0, 0], flipped.forward(picture, kernel)[0, 0]
    shown = (*results, results[0] - results[1])
    most = np.abs(results[0]).max()
    for ax, plane, title in zip(axes[row], shown, ("right", "flipped", "difference"), strict=True):
        ax.imshow(plane, cmap="PuOr", vmin=-most, vmax=most)
        ax.set(title=f"{name}: {title}", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
plt.tight_layout()
show(
    figure,
    alt="A drawing blurred by the right and by the flipped layer, and their difference, which is "
    "empty; the same with an edge kernel, where the two have opposite signs and the difference "
    "shows every edge",
)

# %% [markdown]
# (Violet is positive, orange negative.) A blurring kernel looks the same when it is turned; this edge kernel turns into its negative. Whoever tests with the blurring kernel, or with any other that is its own flip, cannot see this mistake, however many pictures they try. So the question about a test is not
# "does my layer pass?" but "which wrong layers would not?". We plant eight mistakes, and put every test of this notebook to all of them.


# %% tags=["hide-input"]
def one_sided(x, padding):
    return np.pad(x, ((0, 0), (0, 0), (2 * padding[0], 0), (2 * padding[1], 0)))


def one_sided_backward(dy, x, w, stride=(1, 1), padding=(0, 0)):
    dx, dw = conv2d_backward(dy, one_sided(x, padding), w, stride)
    return dx[:, :, 2 * padding[0] :, 2 * padding[1] :], dw


def mirrored(y):
    """Mirror an image at a diagonal, the one from the lower left to the upper right."""
    return y.swapaxes(2, 3)[:, :, ::-1, ::-1]


def set_not_added(dy, x, w, stride=(1, 1), padding=(0, 0)):
    _, dw = conv2d_backward(dy, x, w, stride, padding)
    x = padded(x, padding)
    dx = np.zeros_like(x)
    for (i, j), window in windows(x, w, dy, stride):
        dx[window] = np.einsum("kc,nkhw->nchw", w[:, :, i, j], dy)
    (top, left), (height, width) = padding, dx.shape[2:]
    return dx[:, :, top : height - top, left : width - left], dw


def scaled_backward(dy, x, w, *args):
    dx, dw = conv2d_backward(dy, x, w, *args)
    return dx, 1.005 * dw


def no_dx(dy, x, w, *args):
    return np.zeros_like(x), conv2d_backward(dy, x, w, *args)[1]


# %%
mistakes = {
    "kernel flipped": flipped,
    "strides swapped": Layer(
        lambda x, w, stride=(1, 1), padding=(0, 0): conv2d(x, w, stride[::-1], padding),
        lambda dy, x, w, stride=(1, 1), padding=(0, 0): conv2d_backward(dy, x, w, stride[::-1], padding),
    ),
    "padding at one side": Layer(
        lambda x, w, stride=(1, 1), padding=(0, 0): conv2d(one_sided(x, padding), w, stride),
        one_sided_backward,
    ),
    "output mirrored": Layer(  # at a diagonal: rows become columns
        lambda x, w, *args: mirrored(conv2d(x, w, *args)),
        lambda dy, *args: conv2d_backward(mirrored(dy), *args),
    ),
    "all zeros": Layer(
        lambda x, w, *args: 0 * conv2d(x, w, *args),
        lambda dy, x, w, *args: (np.zeros_like(x), np.zeros_like(w)),
    ),
    "dx set instead of added": Layer(conv2d, set_not_added),
    "dx is zero": Layer(conv2d, no_dx),
    "dw 0.5 % too large": Layer(conv2d, scaled_backward),
}  # fmt: skip


def try_it(test):
    """Print which mistakes a test rejects. A layer that raises an error is rejected."""
    assert test(right), "the test rejects the right layer"
    verdicts = {name: not accepts(test, layer) for name, layer in mistakes.items()}
    print(f"{test.__name__}: rejects {sum(verdicts.values())} of {len(verdicts)}")
    for word, said in (("rejects", True), ("accepts", False)):
        names = ", ".join(name for name, rejected in verdicts.items() if rejected == said)
        print(fill(names or "-", 80, initial_indent=f"  {word}: ", subsequent_indent=" " * 11))


def accepts(test, layer):
    try:
        return bool(test(layer))
    except Exception:
        return False


# %% [markdown]
# The first five are wrong forwards *with the backward that belongs to them*; the last three are wrong backwards of a right forward.
#
# ## 2. Is the backward the derivative of the forward?
#
# A slope can be measured: go a step of $h$ to both sides and divide the change by $2h$. That is a
# [gradient check](../docs/glossary.md#gradient-check), and its step is a compromise, as the picture shows. A large step measures the slope of a chord. A small one
# subtracts two nearly equal numbers, and what is left is their rounding.


# %%
def f(x):  # the example of a paper, see below: a polynomial with many bends
    return 64 * x * (1 - x) * (1 - 2 * x) ** 2 * (1 - 8 * x + 8 * x**2) ** 2


x0 = md.Tensor(np.array(0.2), requires_grad=True)
exact = md.grad(f(x0), x0)[0].item()
h = 10.0 ** np.arange(-16, 0.1, 0.25)
forward = np.abs((f(0.2 + h) - f(0.2)) / h - exact)
central = np.abs((f(0.2 + h) - f(0.2 - h)) / (2 * h) - exact)
h32, at = h[h > 1e-7].astype(np.float32), np.float32(0.2)
central32 = np.abs((f(at + h32) - f(at - h32)) / ((at + h32) - (at - h32)) - exact)

# %% tags=["hide-input"]
figure, ax = plt.subplots(figsize=(7.5, 3.4))
for steps, error, style, name in ((h, forward, "-", "one side, float64"), (h, central, "--", "both sides, float64"),
                                  (h32, central32, ":", "both sides, float32")):  # fmt: skip
    ax.loglog(steps, np.maximum(error, 1e-12), style, label=name)
ax.set(xlabel="step h", ylabel="error of the slope", xticks=10.0 ** np.arange(-16, 1, 4))
ax.legend()
plt.tight_layout()
show(
    figure,
    alt="The error of three difference quotients over the step h, each a V: differences to both sides "
    "in float64 reach 1e-10 near h = 1e-7, one-sided ones about 1e-8, and float32 about 1e-4",
)
for name, steps, error in (("float64", h, central), ("float32", h32, central32)):
    print(f"both sides, {name}: best step {steps[error.argmin()]:.0e}, error {error.min():.0e}")
print(f"the slope is {exact:.6f}")

# %% [markdown]
# Measured to both sides in float64, the error of the slope is below $10^{-10}$ at the best step; measured to one side it is never below $10^{-8}$. For steps below $10^{-9}$ the two are alike: both are rounding. (This function wiggles; for smoother ones the best step is longer, and $10^{-5}$ is a
# common choice.) In float32 the bottom of the V is a million times higher, which is why gradient checks are done in float64.
#
# A layer has many inputs and many outputs. One number checks them all: choose a random direction $v$ in which the inputs go, and a random
# cotangent $dy$ to weigh the outputs. Then
#
# $$\frac{\langle \mathrm{forward}(x + h v) - \mathrm{forward}(x - h v),\; dy\rangle}{2h} \;\approx\; \langle \mathrm{backward}(dy),\; v\rangle$$
#
# where $\langle\cdot,\cdot\rangle$, the [inner product](../docs/glossary.md#inner-product), multiplies entry by entry and adds up.


# %%
def slopes(forward, backward, x, dy, v, h=1e-5):
    """Return both sides of the formula."""
    change = forward(x + h * v) - forward(x - h * v)
    return np.sum(change * dy) / (2 * h), np.sum(backward(dy) * v)


def gradient_check(layer, seed=0):
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 3, 2))
    settings = (2, 1), (1, 0)
    dy = rng.standard_normal(layer.forward(x, w, *settings).shape)
    by_x = slopes(
        lambda x: layer.forward(x, w, *settings), lambda dy: layer.backward(dy, x, w, *settings)[0],
        x, dy, rng.standard_normal(x.shape))  # fmt: skip
    by_w = slopes(
        lambda w: layer.forward(x, w, *settings), lambda dy: layer.backward(dy, x, w, *settings)[1],
        w, dy, rng.standard_normal(w.shape))  # fmt: skip
    return np.allclose(*by_x, rtol=1e-6) and np.allclose(*by_w, rtol=1e-6)


try_it(gradient_check)

# %% [markdown]
# It rejects the wrong backwards, and it accepts every wrong forward that has its own derivative. **A gradient check alone** cannot
# tell a convolution from another function. Two changes make it weaker still.
#
# **A cotangent of ones.** It is tempting to call `y.sum().backward()`: that is $dy = 1$ everywhere. Here is [batch normalisation](../docs/glossary.md#batch-normalisation), with a backward that returns
# zeros.

# %%
x = np.random.default_rng(0).standard_normal((4, 2, 3, 3))


def norm(x):
    return ops.batch_norm(x, None, None, training=True)


def norm_backward(dy):
    _, saved = ops.batch_norm(x, None, None, training=True, return_saved=True)
    return ops.batch_norm_backward(dy, x, saved)[0]


def zeros(dy):
    return np.zeros_like(x)


rng = np.random.default_rng(1)
v, random_dy = rng.standard_normal(x.shape), rng.standard_normal(x.shape)
print("cotangent   measured    right backward   backward of zeros")
for name, dy in (("ones", np.ones_like(x)), ("random", random_dy)):
    measured, returned = slopes(norm, norm_backward, x, dy, v)
    print(f"{name:8} {measured:11.6f} {returned:17.6f} {slopes(norm, zeros, x, dy, v)[1]:19.6f}")

# %% [markdown]
# Batch norm subtracts the mean, so its outputs add up to zero *whatever the input is*: the true gradient of their sum is zero, and "zeros" is the right answer to a question that is empty. The
# squares do not help: they are divided by the standard deviation, so `(y * y).sum()` is constant too, but for the small `eps` that is added to the variance so that nothing is divided by zero.

# %%
tensor = md.Tensor(x, requires_grad=True)
for name, loss in (("y.sum()", lambda y: y.sum()), ("(y * y).sum()", lambda y: (y * y).sum()),
                   ("(y * dy).sum()", lambda y: (y * random_dy).sum())):  # fmt: skip
    y = F.batch_norm(tensor, None, None, training=True)
    slope = md.grad(loss(y), tensor)[0].numpy()
    print(f"gradient of {name:15} largest entry {np.abs(slope).max():.1e}")

# %% [markdown]
# **A loose tolerance on one entry.** Finite differences of one randomly chosen entry, and 1 % of tolerance "for rounding", accept a gradient that is wrong by 0.5 % everywhere. (The entry is one of $w$; of $dx$ this test sees nothing.)


# %%
def one_entry_at_1_percent(layer, seed=0):
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((1, 1, 5, 5)), rng.standard_normal((1, 1, 3, 3))
    dy = rng.standard_normal(layer.forward(x, w).shape)
    e = np.zeros_like(w)
    e.flat[rng.integers(w.size)] = 1
    by_w = slopes(lambda w: layer.forward(x, w), lambda dy: layer.backward(dy, x, w)[1], w, dy, e)
    return np.allclose(*by_w, rtol=1e-2, atol=1e-2)


try_it(one_entry_at_1_percent)

# %% [markdown]
# ### Your turn
#
# [Softmax](../docs/glossary.md#softmax) turns 10 numbers into 10 positive ones that add up to 1. A test computes `y = softmax(x)` and `y.sum().backward()`. Which
# gradient arrives at the first entry of `x`? Decide without a computer.

# %%
my_slope = None

# %%
tensor = md.Tensor(np.random.default_rng(2).standard_normal(10), requires_grad=True)
slope = md.grad(F.softmax(tensor, dim=0).sum(), tensor)[0].numpy()[0]
check_answer(
    "my_slope",
    None if my_slope is None else float(my_slope),
    round(float(slope), 12),
    hint="What is the sum of the outputs, and how does it change when the first input does?",
)

# %% [markdown]
# ## 3. The adjoint: no step, no tolerance
#
# A convolution is *linear* in its image and in its kernel. For a [linear map](../docs/glossary.md#linear-map) the derivative is the map itself, so the difference quotient has no need of a small step, and its formula becomes
#
# $$\langle \mathrm{forward}(x),\; dy\rangle \;=\; \langle x,\; dx\rangle \;=\; \langle w,\; dw\rangle$$
#
# which says that the backward is the [adjoint](../docs/glossary.md#adjoint) of the forward (notebooks 3 and 7). With *whole numbers* as entries every product and sum is exact in float64,
# and even in float32 as long as they stay below $2^{24}$. So the test is `==`, and there is no tolerance to argue about.


# %%
def whole(rng, shape):
    return rng.integers(-3, 4, shape).astype(np.float32)


def adjoint(layer, seed=0, size=(6, 5), kernel=(3, 2), stride=(2, 1), padding=(1, 0)):
    rng = np.random.default_rng(seed)
    x, w = whole(rng, (2, 3, *size)), whole(rng, (4, 3, *kernel))
    y = layer.forward(x, w, stride, padding)
    dy = whole(rng, y.shape)
    dx, dw = layer.backward(dy, x, w, stride, padding)
    return np.sum(y * dy) == np.sum(x * dx) == np.sum(w * dw)


try_it(adjoint)

# %% [markdown]
# The same verdicts as the gradient check's, with one forward call where that one needs five, and no tolerance. And the same hole: **the adjoint alone** accepts any pair that belongs together. Two flips agree. Two
# zeros agree best of all.
#
# ### Your turn
#
# Plant a mistake yourself: a `forward` and a `backward` that pass the adjoint test, and are neither the right layer, nor flipped, nor zero. You may call `conv2d` and `conv2d_backward`.

# %%
my_wrong_layer = None  # Layer(forward, backward), with the arguments of conv2d and conv2d_backward

# %% tags=["hide-input"]
if my_wrong_layer is None:
    check_answer("my_wrong_layer", None, None)
else:
    rng = np.random.default_rng(5)
    x, w = whole(rng, (1, 2, 6, 5)), whole(rng, (2, 2, 3, 2))
    settings = (2, 1), (1, 0)
    y = my_wrong_layer.forward(x, w, *settings)
    others = {"the right one": right, "the flipped one": flipped, "zero": mistakes["all zeros"]}
    same = [n for n, o in others.items() if np.array_equal(y, o.forward(x, w, *settings))]
    if same:
        print(
            "my_wrong_layer: ✗ not yet. With stride (2, 1) and padding (1, 0) its forward is",
            same[0],
        )
    elif not all(accepts(lambda layer, s=s: adjoint(layer, s), my_wrong_layer) for s in range(5)):
        print(
            "my_wrong_layer: ✗ not yet. The adjoint test rejects it: the backward is another map's"
        )
    else:
        print("my_wrong_layer: ✓ wrong, and the adjoint test accepts it")

# %% [markdown]
# ## 4. Anchors: is it the right map at all?
#
# What is missing is something that ties the forward to what a convolution *is*: an anchor. The simplest is a kernel with a single 1, at tap $(i, j)$. The output is then the padded image itself,
# moved by that tap, and of it each row and column that the stride does not jump over. No multiplication, no tolerance, and a kernel without symmetry.


# %%
def delta(layer, seed=0, size=(6, 5), kernel=(3, 2), stride=(2, 1), padding=(1, 0)):
    x = np.random.default_rng(seed).standard_normal((1, 1, *size))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            w = np.zeros((1, 1, *kernel))
            w[0, 0, i, j] = 1
            y = layer.forward(x, w, stride, padding)
            image = padded(x, padding)
            bottom, side = (image.shape[n + 2] - kernel[n] + 1 for n in (0, 1))
            moved = image[:, :, i : i + bottom : stride[0], j : j + side : stride[1]]
            if not np.array_equal(y, moved):  # the size is compared as well
                return False
    return True


try_it(delta)

# %% [markdown]
# It rejects all wrong forwards and says nothing of backwards: exactly what the adjoint lacks. Any other anchor will do, such as a slow loop that is obviously right (below, our `conv2d` stands in for it). What will *not* do:


# %%
def kernel_of_ones(layer):
    x = np.arange(30.0).reshape(1, 1, 5, 6) ** 2
    return np.array_equal(layer.forward(x, np.ones((1, 1, 3, 2))), conv2d(x, np.ones((1, 1, 3, 2))))


def only_the_sum(layer):
    rng = np.random.default_rng(0)
    x, w = whole(rng, (1, 1, 5, 5)), whole(rng, (1, 1, 3, 3))
    return layer.forward(x, w).sum() == conv2d(x, w).sum()


def compared_with_itself(layer):
    rng = np.random.default_rng(0)
    x, w = whole(rng, (1, 1, 5, 5)), whole(rng, (1, 1, 3, 3))
    expected = layer.forward(x, w)
    return np.array_equal(layer.forward(x, w), expected)


def compares_the_input(layer):
    rng = np.random.default_rng(0)
    x, w = whole(rng, (1, 1, 5, 5)), whole(rng, (1, 1, 3, 3))
    kept = x.copy()
    layer.forward(x, w)  # its result is what should be compared
    return np.array_equal(x, kept)


for test in (kernel_of_ones, only_the_sum, compared_with_itself, compares_the_input):
    try_it(test)

# %% [markdown]
# - **A kernel of ones** is its own flip.
# - **Only the sum** of the output is compared: an output with its pixels in another order has the same sum.
# - **Compared with itself**: the expected value was made by the function under test. It looks absurd here; it happens when the "reference" calls the same routine further down, or when expected numbers were pasted from an earlier run.
# - **Compares the input**: the wrong variable. It is a slip of the pen, and nobody notices, because the test passes.
#
# ## 5. Draw the geometry
#
# `only_the_sum` also used square images, a square kernel and stride 1, and so could not see swapped strides. **One square example** is the last weak test: equal strides may be exchanged, and without padding a mistake in the padding cannot be seen.


# %%
def one_square_example(layer):
    rng = np.random.default_rng(0)
    x, w = whole(rng, (1, 1, 5, 5)), whole(rng, (1, 1, 3, 3))
    settings = (2, 2), (0, 0)
    return np.array_equal(layer.forward(x, w, *settings), conv2d(x, w, *settings))


try_it(one_square_example)

# %% [markdown]
# A test that states a law for *all* inputs, and tries it on many drawn ones, is a [property test](../docs/glossary.md#property-test). What should be drawn is the **geometry**: sizes, kernel, stride, padding, all different along the two axes. The values matter less:
# whole numbers from a [seed](../docs/glossary.md#seed). The library draws geometries that fit, so none has to be thrown away. Here are eight (of the larger ones; a test needs the small ones as well).


# %%
def geometries(count, seed=0):
    """Draw geometries of a convolution without dilation and groups."""
    rng = np.random.default_rng(seed)

    def integer(low, high):
        return int(rng.integers(low, high + 1))

    return [conv_geometry(integer, max_dilation=1, max_groups=1) for _ in range(count)]


# %% tags=["hide-input"]
figure, axes = plt.subplots(2, 4, figsize=(7.5, 4.4))
for ax, g in zip(
    axes.ravel(), [g for g in geometries(60) if min(*g.size, *g.kernel) > 1], strict=False
):
    (height, width), (kh, kw), (sh, sw), (ph, pw) = g.size, g.kernel, g.stride, g.padding
    ax.add_patch(
        plt.Rectangle(
            (-pw, -ph), width + 2 * pw, height + 2 * ph, fill=False, ls="--", ec="#51606f"
        )
    )
    for r in range(height):
        for c in range(width):
            ax.add_patch(plt.Rectangle((c, r), 1, 1, fc="#9fd0f0", ec="white", lw=1))
    for p in range(g.out_size[0]):
        for q in range(g.out_size[1]):
            middle = q * sw - pw + kw / 2, p * sh - ph + kh / 2
            ax.plot(*middle, "o", ms=5, color="#1b2733")
    ax.add_patch(plt.Rectangle((-pw, -ph), kw, kh, fill=False, ec="#b3261e", lw=2.2))
    ax.set(xlim=(-pw - 0.3, width + pw + 0.3), ylim=(height + ph + 0.3, -ph - 0.3), aspect="equal")
    ax.set_title(f"k {kh} × {kw}\ns {sh}, {sw}   p {ph}, {pw}")
    ax.axis("off")
plt.tight_layout()
show(
    figure,
    alt="Eight drawn geometries: images of different heights and widths as blue pixels with dashed "
    "padding, the first window in red, and a dot in the middle of every window",
)

# %% [markdown]
# Each picture: the image (blue), its padding (dashed), the first window (red), and the middle of every window (dots); above it kernel `k`, stride `s` and padding `p`, each as height, width. Now both halves of the test on 40 drawn geometries:


# %%
def shapes(g):
    return {"size": g.size, "kernel": g.kernel, "stride": g.stride, "padding": g.padding}


def drawn(layer):
    return all(
        delta(layer, **shapes(g)) and adjoint(layer, seed, **shapes(g))
        for seed, g in enumerate(geometries(40))
    )


try_it(drawn)

# %% [markdown]
# All eight are rejected. But `delta` and `adjoint` on the one geometry of section 3 reject all eight too, if you run both: it was chosen with these mistakes in mind. Here is one that it does not show. The padding along the width is forgotten:


# %%
def half_padded(padding):
    return padding[0], 0


forgetful = Layer(
    lambda x, w, stride=(1, 1), padding=(0, 0): conv2d(x, w, stride, half_padded(padding)),
    lambda dy, x, w, stride=(1, 1), padding=(0, 0): conv2d_backward(
        dy, x, w, stride, half_padded(padding)
    ),
)
for test in (delta, adjoint, drawn):
    print(f"{test.__name__:8}", "accepts it" if accepts(test, forgetful) else "rejects it")

# %% [markdown]
# The chosen geometry has no padding along the width; some of the drawn ones have. A drawn failure has one disadvantage: the example is as large as it happens to be. So a property test *shrinks* it: of all failing examples, show the smallest. Here simply by sorting; libraries such as
# [Hypothesis](https://hypothesis.readthedocs.io) search for it.


# %%
def smallest(test, layer, count=400):
    """Return the smallest drawn geometry on which a test rejects a layer."""
    found = [
        g
        for g in geometries(count)
        if not accepts(lambda each, g=g: test(each, **shapes(g)), layer)
    ]
    return min(
        found, key=lambda g: (np.prod(g.size) + np.prod(g.kernel), max(g.padding)), default=None
    )


for name in ("kernel flipped", "strides swapped", "padding at one side"):
    g = smallest(delta, mistakes[name])
    print(f"{name:20} image {g.size}, kernel {g.kernel}, stride {g.stride}, padding {g.padding}")

# %% [markdown]
# These can be followed on paper. A flip needs a kernel of two taps, a swap two different strides, and that is nearly all they have.
#
# ## 6. Which test sees which mistake
#
# Everything so far in one picture. A row is a mistake, a column a test; ✗ where the test rejects the mistake.

# %% tags=["hide-input"]
tests = (compares_the_input, compared_with_itself, kernel_of_ones, only_the_sum, one_square_example,
         one_entry_at_1_percent, gradient_check, adjoint, delta, drawn)  # fmt: skip
seen = np.array([[not accepts(test, layer) for test in tests] for layer in mistakes.values()])

figure, ax = plt.subplots(figsize=(7.5, 4.7))
for (r, c), rejected in np.ndenumerate(seen):
    ax.add_patch(
        plt.Rectangle((c, r), 1, 1, fc="#0072b2" if rejected else "#eef2f6", ec="white", lw=2)
    )
    ax.text(c + 0.5, r + 0.5, "✗" if rejected else "–", ha="center", va="center", size=12,
            color="white" if rejected else "#51606f")  # fmt: skip
names = [test.__name__.replace("_", " ") for test in tests]
ax.set_xticks(np.arange(len(tests)) + 0.6, names, rotation=40, ha="left", rotation_mode="anchor")
ax.set_yticks(np.arange(len(mistakes)) + 0.5, list(mistakes))
ax.tick_params(length=0, labeltop=True, labelbottom=False, colors="#1b2733")
ax.set(xlim=(0, len(tests)), ylim=(len(mistakes), 0))
ax.spines[:].set_visible(False)
plt.tight_layout()
show(
    figure,
    alt="A table of eight mistakes and ten tests; a cross where the test rejects the mistake. "
    f"The tests reject {', '.join(f'{n}: {s}' for n, s in zip(names, seen.sum(axis=0), strict=True))}",
)

# %% [markdown]
# The table is a test of the tests, called *mutation testing*. Gradient check and adjoint fill the lower half, an anchor the upper one; only together
# do they fill the table. An empty column is a warning: the test sees another kind of mistake, or none at all.
#
# ### Your turn
#
# A ninth kind of mistake: a layer that *changes its arguments*, because somewhere it says `x += ...` or `w *= ...`. Its result is right, so a test notices only if it happens to use the array again. Write `my_test(layer)`: it
# returns True if neither `layer.forward(x, w, stride, padding)` nor `layer.backward(dy, x, w, stride, padding)` changes any of the arrays it was given.

# %%
my_test = None  # replace by: def my_test(layer): ...


# %% tags=["hide-input"]
def spoiling(which, function):
    """Return a function that adds 1 to its array argument number `which`, after its work."""

    def spoils(*args, **settings):
        result = function(*args, **settings)
        given = signature(function).bind(*args, **settings).arguments
        list(given.values())[which][...] += 1
        return result

    return spoils


spoiled = {
    "forward changes x": Layer(spoiling(0, conv2d), conv2d_backward),
    "forward changes w": Layer(spoiling(1, conv2d), conv2d_backward),
    "backward changes dy": Layer(conv2d, spoiling(0, conv2d_backward)),
    "backward changes x": Layer(conv2d, spoiling(1, conv2d_backward)),
    "backward changes w": Layer(conv2d, spoiling(2, conv2d_backward)),
}

# %% tags=["hide-input"]
if my_test is None:
    check_answer("my_test", None, None)
else:
    verdicts = [accepts(my_test, layer) for layer in (right, *spoiled.values())]
    check_answer(
        "my_test",
        verdicts,
        [True] + [False] * len(spoiled),
        hints=[
            (lambda v: not v[0], "It rejects the right layer, or raises an error."),
            (lambda v: all(v), "It accepts all: are the copies made before the call?"),
        ],
        hint="Entry 0 is the right layer; then come layers whose forward changes x, whose forward "
        "changes w, whose backward changes dy, whose backward changes x, and whose backward changes w.",
    )

# %% [markdown]
# ## Break it
#
# Now break a *right* layer's test. The adjoint on whole numbers was exact. On normally distributed float32 numbers the two inner products differ by rounding, so somebody writes a relative tolerance. Below are 300 drawn geometries of the **right** layer. Change `RTOL`, and watch
# how many right layers are called wrong.

# %%
RTOL = 1e-6

relative, to_norms = [], []
for seed, g in enumerate(geometries(300, seed=1)):
    rng = np.random.default_rng(seed)
    x, w = (rng.standard_normal(shape).astype(np.float32) for shape in (g.x_shape, g.w_shape))
    y = conv2d(x, w, g.stride, g.padding)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    dx, _ = conv2d_backward(dy, x, w, g.stride, g.padding)
    left, other = (np.sum(a.astype(float) * b) for a, b in ((y, dy), (x, dx)))
    norms = np.linalg.norm(y) * np.linalg.norm(dy) + np.linalg.norm(x) * np.linalg.norm(dx)
    relative.append(abs(left - other) / max(abs(left), abs(other)))
    to_norms.append(abs(left - other) / norms)

# %% tags=["hide-input"]
figure, ax = plt.subplots(figsize=(7.5, 3.2))
bins = np.arange(-12, -2.9, 0.25)
for errors, name, hue, hatch in ((to_norms, "relative to the norms of the arrays", "#0072b2", ""),
                                 (relative, "relative to the inner product", "#d55e00", "//")):  # fmt: skip
    ax.hist(
        np.log10(np.maximum(errors, 1e-12)), bins, color=hue, alpha=0.75, hatch=hatch, label=name
    )
ax.axvline(np.log10(RTOL), color="#1b2733")
ax.text(np.log10(RTOL) + 0.1, ax.get_ylim()[1] * 0.55, "RTOL")
ax.set(
    xlabel="logarithm (base 10) of the relative difference of the two sides", ylabel="geometries"
)
ax.legend(loc="upper left")
plt.tight_layout()
show(
    figure,
    alt="Two histograms of the difference between both sides of the adjoint identity, for 300 right "
    "layers: relative to the inner product it spreads from 1e-10 to above 1e-5, relative to the norms it ends before 1e-7",
)
for name, errors in (("the inner product", relative), ("the norms", to_norms)):
    print(
        f"relative to {name}: {np.mean(np.array(errors) > RTOL):.1%} of right layers are called wrong"
    )

# %% [markdown]
# An inner product can come out near zero because large terms cancel. The rounding of these terms does not cancel, so relative to the sum it can be of any size. Relative to the norms (the root of the sum of squares) it is bounded.
# A test that fails at times for right code is not strict; it is noise. Hence: whole numbers and `==`; or norms.
#
# ## 7. `check_op` does all this, and names the mistake
#
# `minideconv.testing.check_op` has an oracle (slow loops that are obviously right), drawn geometry, contracts (arguments unchanged, types kept) and a bank of planted mistakes, more than two hundred for `conv2d` alone. If one of
# them gives the same results as your function on every example, you are told its name. Here is "strides swapped", found by its behaviour alone:


# %%
def swapped(x, w, b=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    return ops.conv2d(x, w, b, stride[::-1], padding, dilation, groups)


def is_checked(function, operation="conv2d"):
    try:
        print(check_op(function, operation).text())
    except OperationError as wrong:
        print(wrong)


is_checked(swapped)

# %% [markdown]
# First the name, then the smallest call that shows it, then the rule that it breaks, and a line that shows the same again on any machine. Below it one line for each family of geometry, so that you see what is right already.
#
# ## What the paper says
#
# - The V of section 2 reproduces figure 3 of [Baydin et al. (2018)](https://jmlr.org/papers/v18/17-468.html), which has the two float64 curves for the same function at the same point. We added float32.
# - Laws on drawn inputs are from [Claessen and Hughes, *QuickCheck* (2000)](https://doi.org/10.1145/351240.351266). They draw values; we draw geometry, and take values from a seed.
# - Planting mistakes to judge tests is from [DeMillo, Lipton and Sayward (1978)](https://doi.org/10.1109/C-M.1978.218136). Their hypothesis, that tests which find simple mistakes find complicated ones too, is *not* shown here: all of ours are simple.
# - The papers on [DeconvNet](https://arxiv.org/abs/1505.04366) and [FCN](https://arxiv.org/abs/1411.4038), the networks of the next notebooks, do not say how their layers were tested.
#
# ## Exercises
#
# **1.** At a tie, max pooling has no slope. Pool the two numbers 1, 1 with one window, and compare the difference quotients to either side and to both with what the backward pass returns. What follows for tests?
#
# <details><summary>Answer</summary>
#
# ```python
# tie, h = np.ones((1, 1, 1, 2)), 1e-5
# e = np.array([0.0, 1.0]).reshape(1, 1, 1, 2)  # the second number moves
# pool = lambda x: ops.max_pool2d(x, (1, 2)).item()
# up, down = (pool(tie + h * e) - pool(tie)) / h, (pool(tie) - pool(tie - h * e)) / h
# both = (pool(tie + h * e) - pool(tie - h * e)) / (2 * h)
# _, switches = ops.max_pool2d(tie, (1, 2), return_switches=True)
# returned = ops.max_pool2d_backward(np.ones((1, 1, 1, 1)), switches)[0, 0, 0, 1]
# assert np.allclose([up, down, both], [1, 0, 0.5]) and returned == 0
# ```
#
# Upwards the second number becomes the maximum, downwards it does not matter. The backward pass must choose, and here the first number wins. Tests of pooling and ReLU draw numbers that are
# all different, further apart than the step; ties get a test of their own.
# </details>
#
# **2.** Which of the eight mistakes does the adjoint test miss at stride 1 without padding, that it finds with the geometry of section 3 (there may be none)? And which does `delta` miss?
#
# <details><summary>Answer</summary>
#
# ```python
# plain = {"stride": (1, 1), "padding": (0, 0)}
# for test, missed in ((adjoint, []), (delta, ["strides swapped", "padding at one side"])):
#     lost = [
#         name
#         for name, layer in mistakes.items()
#         if accepts(lambda l, t=test: t(l, **plain), layer) and not accepts(test, layer)
#     ]
#     assert lost == missed, lost
# ```
#
# The adjoint loses nothing. `delta` does not see what it does not use: with equal strides a swap is invisible, and with no padding its side is.
# </details>
#
# **3.** Plant a mistake for which `check_op` has no name, but which it sees. What does it say instead?
#
# <details><summary>Answer</summary>
#
# ```python
# def odd(x, w, b=None, **settings):
#     y = ops.conv2d(x, w, b, **settings).copy()
#     y[..., 0] += 7 * y[..., -1]  # the last column leaks into the first
#     return y
#
#
# try:
#     check_op(odd, "conv2d")
#     said = ""
# except OperationError as wrong:
#     said = str(wrong)
# print(said)
# assert "must be" in said
# ```
#
# It describes what happens and where: the entry, what it is and what it must be, and the smallest call.
# </details>
#
# ## In the library
#
# - [`minideconv.testing.adjoint.check_adjoint`](../minideconv/testing/adjoint.py#L40): section 3, exact on whole numbers, relative to the norms on others.
# - [`minideconv.testing.gradients.check_gradients`](../minideconv/testing/gradients.py#L40): section 2, with a random cotangent and a second step size that tells a kink, a point without a slope, from a bug.
# - [`minideconv.testing.anchors.check_delta`](../minideconv/testing/anchors.py#L33): section 4.
# - [`minideconv.testing.drawing.conv_geometry`](../minideconv/testing/drawing.py#L111): section 5.
# - [`minideconv.testing.checking.check.check_op`](../minideconv/testing/checking/check.py#L50): section 7.
#
# How to use them on your own or your students' functions: [*For teachers*](../docs/teachers.md). Next: [*DeconvNet*](12_deconvnet.ipynb).
