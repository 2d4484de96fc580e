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
# # Autograd in 100 lines
#
# A network is trained by its *gradient*: for each of its numbers, how fast the error changes when that
# number does. Working that out by hand for every new network would be hopeless. The one idea of this notebook:
# **let every result remember what it was made of, and how to send a gradient back to that. Then one walk
# backwards finds the gradient of anything.** That is [autograd](../docs/glossary.md#autograd). You build it, in about a hundred lines, and train a network with it.
#
# You need: Python classes, NumPy, and from school the derivatives of $a\,b$, $e^a$ and $\ln a$. It helps to have seen one
# backward pass by hand ([*Backward of convolution*](07_backward_of_convolution.ipynb), [*Batch norm by
# hand*](09_batch_norm_by_hand.ipynb)). It runs in a few seconds on any CPU.

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

import inspect
import itertools
from dataclasses import replace

import numpy as np

import minideconv as md
from minideconv import autograd
from minideconv.testing import OperationError, check_answer, check_op
from minideconv.visualize import Picture, graph, show, side_by_side, use_style

use_style()

# %% [markdown]
# ## 1. A result that remembers
#
# Here is the calculation that we begin with: $c = a\,b$ and $d = c + a$, for $a = 3$ and $b = 4$. The picture is its
# [*graph*](../docs/glossary.md#computation-graph): a box for every number, and an arrow from each number to those that were made of it. (`mul` is short for multiply; shape () is a single number. This
# graph was drawn by the library, of its own Tensors. In sections 3 to 6, graphs show *your* class.)

# %% tags=["hide-input"]
a0, b0 = md.Tensor(3.0, requires_grad=True), md.Tensor(4.0, requires_grad=True)
c0 = a0 * b0
d0 = c0 + a0
show(
    graph(d0, names={"a": a0, "b": b0, "c": c0, "d": d0}),
    alt="A graph with the leaves a = 3 and b = 4 at the top, c = mul with the value 12 below "
    "them, and d = add with the value 15 at the bottom; two arrows leave a, and they are red",
)

# %% [markdown]
# Numbers that you put in are **leaves** (blue); the others are results, and the last one is green. `a` is used twice, so two arrows leave it (red).
#
# A [tensor](../docs/glossary.md#tensor) is an array that can be a box in such a graph. So it has four things besides its numbers: its
# *parents*, that is the tensors it was made of; a *rule* for going back, which section 2 explains; its
# *gradient*, empty at first; and a serial number, which tells what was made earlier and what later. (Its name is for the pictures.) `requires_grad` says
# whether a gradient is wanted at all: yes for what is to be learned, no for an image.


# %%
class Tensor:
    """An array that remembers how it was made."""

    made = itertools.count()

    def __init__(self, data, requires_grad=False, parents=(), rule=None, name="leaf"):
        self.data = np.asarray(data, dtype=float)
        self.parents, self.rule, self.name = parents, rule, name
        self.requires_grad = requires_grad or any(p.requires_grad for p in parents)
        self.grad = None
        self.number = next(Tensor.made)


def tensor(x):
    """Return x if it is a Tensor, else a Tensor of it that requires no gradient."""
    return x if isinstance(x, Tensor) else Tensor(x)


# %% [markdown]
# ## 2. A rule for each operation
#
# The [gradient](../docs/glossary.md#gradient) of a tensor, `a.grad`, is meant with respect to one final number, here $d$: how fast $d$ changes
# when $a$ does, $\partial d / \partial a$. A rule answers one question: *if I know the gradient of
# the result, what is the gradient of each parent?* It looks at a single operation and needs to know nothing of the rest of the graph:
#
# | operation | a small change of a parent changes the result by | rule, for the gradient $g$ of the result |
# |---|---|---|
# | $a + b$ | as much | $g,\ \ g$ |
# | $a\,b$ | $b$ times as much, or $a$ times | $g\,b,\ \ g\,a$ |
#
# Why multiplied? If $a$ moves by a small $\Delta$, the product moves by $b\,\Delta$, and the final number by $g$ times as much: $g\,b\,\Delta$. So its slope by $a$ is $g\,b$.
#
# So an operation computes a value and returns it with its parents and its rule. That is a line each:


# %%
def add(a, b):
    a, b = tensor(a), tensor(b)
    return Tensor(a.data + b.data, parents=(a, b), rule=lambda g: (g, g), name="add")


def mul(a, b):
    a, b = tensor(a), tensor(b)
    value = a.data * b.data
    return Tensor(value, parents=(a, b), rule=lambda g: (g * b.data, g * a.data), name="mul")


Tensor.__add__, Tensor.__mul__ = add, mul  # what Python calls for a + b and a * b

a, b = Tensor(3.0, requires_grad=True), Tensor(4.0, requires_grad=True)
c = a * b
d = c + a
print(f"d = {d.data:g}, made by {d.name}; its parents are c and a: {d.parents == (c, a)}")
print("the rule of c, given 1:", tuple(float(part) for part in c.rule(1.0)))

# %% [markdown]
# ## 3. Back along the arrows
#
# Now the walk. The final number has the gradient 1: it changes as fast as itself. Each tensor in turn *passes on*: it asks its rule,
# and gives every parent its part. What arrives at one tensor along several arrows **adds up**, because a
# change of $a$ reaches $d$ along all of them. This is the
# [backward pass](../docs/glossary.md#backward-pass); computing the values was the [forward pass](../docs/glossary.md#forward-pass). (That gradients are multiplied
# along an arrow and added up where arrows meet is the [chain rule](../docs/glossary.md#chain-rule).) All that is remembered, and the walk over it, is called a [tape](../docs/glossary.md#tape).
#
# When may a tensor pass on? When everything that was made of it, its *children*, has done so; before that, its gradient is not complete. Nothing can be made before its parents, so **from the newest to the oldest** is
# always a right order.


# %%
def order(result):
    """Return all that `result` was made of, and itself: the newest first."""
    found, waiting = {result}, [result]
    while waiting:
        for parent in waiting.pop().parents:
            if parent.requires_grad and parent not in found:
                found.add(parent)
                waiting.append(parent)
    return sorted(found, key=lambda t: t.number, reverse=True)


def receive(self, g):
    """Add g to the gradient."""
    self.grad = g if self.grad is None else self.grad + g


def pass_on(self):
    """Give each parent its part of the gradient."""
    if self.rule is not None:
        for parent, part in zip(self.parents, self.rule(self.grad), strict=True):
            if parent.requires_grad:
                parent.receive(part)


Tensor.order, Tensor.receive, Tensor.pass_on = order, receive, pass_on


# %% tags=["hide-input"]
def mirrored(result):
    """Return a library Tensor for each tensor of a graph of ours, with its value and gradient."""
    twins = {}

    def twin(t):
        if t not in twins:  # a tensor that requires no gradient: a constant
            twins[t] = md.Tensor(t.data)
        return twins[t]

    for t in reversed(order(result)):
        if t.rule is None:
            twins[t] = md.Tensor(t.data, requires_grad=True)
        else:
            parents = [twin(p) for p in t.parents]
            twins[t] = autograd.record(t.name, t.data.copy(), parents, lambda *_: ())
            twins[t].retain_grad()
        if t.grad is not None:
            twins[t].grad = md.Tensor(t.grad)
    return twins


def draw(result, names, title="", active=None):
    """Draw the graph of a result; the box of the tensor `active` is yellow."""
    twins = mirrored(result)
    drawn = graph(twins[result], names={name: twins[t] for name, t in names.items()})
    steps = autograd.tape.graph(twins[result])
    place = next(
        (i for i, s in enumerate(steps) if active in twins and s is twins[active]._node), -1
    )
    marks = [
        replace(mark, fill="#f7d488")
        if getattr(mark, "about", "").startswith(f"{place} ") and hasattr(mark, "fill")
        else mark
        for mark in drawn.marks
    ]
    drawn.marks = marks
    if not title:
        return drawn
    picture = Picture(drawn.width, drawn.height + 26)
    picture.words(4, 11, title, anchor="start", bold=True)
    picture.add(drawn, 0, 26)
    return picture


def filling(result, names):
    """Walk back from a result; return a picture of the graph before, and after each that passed on."""
    called = {t: name for name, t in names.items()}
    result.grad = np.ones_like(result.data)
    pictures = [draw(result, names, "start")]
    for t in result.order():
        t.pass_on()
        if t.rule is not None:
            pictures.append(draw(result, names, f"{called[t]} passes on", active=t))
    return pictures


# %% [markdown]
# Watch the graph fill. The yellow box is the one that passes on; follow `grad` in the others.

# %%
steps = filling(d, {"a": a, "b": b, "c": c, "d": d})

# %% tags=["hide-input"]
show(
    side_by_side(steps),
    alt="The graph of d three times. At the start only d has a gradient, 1. After d has passed on, c "
    "and a have 1 each. After c has passed on, b has 3 and a has 5, which is 1 and 4 added up",
)

# %% [markdown]
# `a` got 1 from $d$ and 4 from $c$, together 5. That is right: $d = a\,b + a = a\,(b + 1)$, whose slope by $a$ is $b + 1 = 5$.
#
# The walk as a method. It has one subtlety: a leaf keeps its gradient when `backward` is called again (the two are added up, as in PyTorch), but results
# on the way must start afresh, or the first call's gradients would be passed on a second time. The
# walk begins with ones: if the result is an array, the final number is meant to be the sum of its entries, and each entry changes the sum as fast as itself.


# %%
def backward(self):
    """Add to the gradient of every leaf how fast the sum of this tensor's numbers changes with it."""
    tensors = self.order()
    for t in tensors:
        if t.rule is not None:
            t.grad = None
    self.receive(np.ones_like(self.data))
    for t in tensors:
        t.pass_on()


Tensor.backward = backward

# %% [markdown]
# ### Your turn
#
# On paper: $f = (a + b)\,a$ with $a = 2$ and $b = 5$. Draw the graph, send 1 back from $f$, and write down what arrives at $a$ and at $b$.

# %%
my_gradients = None  # (that of a, that of b)

# %% tags=["hide-input"]
a1, b1 = md.Tensor(2.0, requires_grad=True), md.Tensor(5.0, requires_grad=True)
check_answer(
    "my_gradients",
    my_gradients,
    [float(part.item()) for part in md.grad((a1 + b1) * a1, (a1, b1))],
    hints=[
        (lambda m: m[0] in (2, 7), "Two arrows leave a. What arrives along each of them?"),
        (lambda m: m[1] in (1, 5), "b is a parent of the sum, and the sum is a parent of f."),
    ],
    hint="Begin with the product: what does its rule give to a + b, and what to a?",
)

# %% [markdown]
# ## Break it
#
# Why the order matters, on $y = x^2$ and $z = y + y^2$ at $x = 2$. Below, tensors pass on in the order in which the search *found* them, nearest to the result first. That looks
# reasonable. Run it, compare the gradient of `x` with $\partial z/\partial x = (1 + 2y)\cdot 2x = 36$, then set `ORDER` to `"newest first"`.

# %%
ORDER = "as found"  # or "newest first"


def as_found(result):
    """Return all that `result` was made of, in the order of the search."""
    found = [result]
    for t in found:  # the list grows while the loop runs over it
        found += [p for p in dict.fromkeys(t.parents) if p not in found]
    return found


x = Tensor(2.0, requires_grad=True)
y = x * x
w = y * y
z = y + w
Tensor.order = as_found if ORDER == "as found" else order
steps = filling(z, {"x": x, "y": y, "w": w, "z": z})
Tensor.order = order

# %% tags=["hide-input"]
show(
    side_by_side(steps[1:], gap=12),
    alt=f"The graph of z after each tensor has passed on, {ORDER}. "
    f"At the end x has the gradient {x.grad:g}",
)
print(f"order: {ORDER}    gradient of x: {x.grad:g}    right: {(1 + 2 * y.data) * 2 * x.data:g}")

# %% [markdown]
# In the second picture `y` passes on while it has only the 1 that came along its short arrow. The 8 from $w$ arrives in the third picture: `y` shows 9, the right number,
# but has had its turn. It is not enough that each tensor is visited once; it must be visited *after all its children*.
#
# ## 4. Arrays, and what broadcasting does to them
#
# The rules work on arrays as they are: $g$ then is an array of the result's shape, a number for each entry (a
# [cotangent](../docs/glossary.md#cotangent), as notebook 7 calls it). One thing goes wrong. NumPy adds a row of 3 numbers to a matrix of 4 × 3 by using the row four
# times: [broadcasting](../docs/glossary.md#broadcasting).

# %%
matrix = Tensor(np.zeros((4, 3)), requires_grad=True)
row = Tensor([10.0, 20.0, 30.0], requires_grad=True)
(matrix + row).backward()
print("row has the shape", row.data.shape, "and its gradient", row.grad.shape)

# %% [markdown]
# The gradient has the shape of the result, which cannot be right: `row` has three numbers, so its gradient has three. Each of them was
# used four times. It is the same as with the two arrows of `a`: **what was used several times gets the sum.**

# %% tags=["hide-input"]
g = np.array([[1, 0, 2], [0, 3, 1], [1, 1, 0], [2, 0, 5]])
picture = Picture(620, 178)
picture.grid(10, 34, np.repeat([[10, 20, 30]], 4, axis=0), cell=34, title="row, used four times",
             fills=[["#eef2f6"] * 3] * 4)  # fmt: skip
picture.grid(10, 34, [[10, 20, 30]], cell=34, fills=[["#9fd0f0"] * 3])
picture.grid(220, 34, g, cell=34, title="g, the gradient of the sum", fills=[["#f7d488"] * 3] * 4)
picture.line([(346, 102), (416, 102)], arrow=True)
picture.words(381, 88, "add up")
picture.grid(
    430, 85, [g.sum(axis=0)], cell=34, title="the gradient of row", fills=[["#9fd0f0"] * 3]
)
show(
    picture,
    alt="A row of three numbers repeated in four rows; a gradient g of four rows and three columns; "
    "and the sums of its three columns, 4, 4 and 8, which are the gradient of the row",
)

# %% [markdown]
# NumPy's rule of broadcasting: shapes are compared from their *ends*. An axis that is missing at the front is added, with length 1; an axis of length 1 is repeated as often as
# needed. So (3,) becomes (1, 3) and then (4, 3); (4, 1) becomes (4, 3); a single number, of shape (), becomes anything.
#
# ### Your turn
#
# Write `unbroadcast(g, shape)`: it takes a gradient `g` of the result's shape and returns that of a tensor of
# this `shape`. Sum over the axes that `shape` lacks; then over those which are 1 in it and longer in `g` (with `keepdims=True`, so that they stay axes of
# length 1). As soon as yours is right, the tape below uses it; until then it uses the library's.

# %%
my_unbroadcast = None  # replace this line by: def my_unbroadcast(g, shape): ...

# %% tags=["hide-input"]
their_unbroadcast = autograd.broadcasting.unbroadcast
rng = np.random.default_rng(0)
agree = []
for large, small in (((4, 3), (3,)), ((4, 3), (4, 1)), ((4, 3), ()), ((2, 4, 3), (4, 3)), ((3, 3), (3,)),
                     ((2, 5, 3), (5, 1))):  # fmt: skip
    g = rng.integers(-3, 4, large).astype(float)
    wanted = their_unbroadcast(g, small)
    mine = None if my_unbroadcast is None else my_unbroadcast(g.copy(), small)
    check_answer(
        f"g of {large}, tensor of {small}",
        mine,
        wanted,
        hints=[
            (lambda m, s=small: np.shape(m) == s[::-1] != s, "Which end are shapes compared from?"),
            (lambda m, s=small: np.shape(m) != s and np.size(m) == np.prod(s), "The numbers may be right: mind the axes of length 1."),
        ],
        hint="Which axes of g does the tensor lack, and along which was it repeated?",
    )  # fmt: skip
    agree.append(mine is not None and np.shape(mine) == small and np.allclose(mine, wanted))
unbroadcast = my_unbroadcast if all(agree) else their_unbroadcast

# %% [markdown]
# ## 5. The other operations
#
# With `unbroadcast` in the two rules, and a few more operations, the class can compute a network. Their rules:
#
# - **Matrix product** $C = A B$. If $A$ changes by $\Delta A$, then $C$ does by $\Delta A\, B$. The gradient of $A$ is the array $G_A$ for which $\langle \Delta A, G_A\rangle = \langle \Delta A\, B, g\rangle$, whatever $\Delta A$ is, where
#   $\langle\cdot,\cdot\rangle$ is the [inner product](../docs/glossary.md#inner-product): multiply entry by entry, add up. Moving $B$ to the other side transposes it: $G_A = g\,B^{\mathsf T}$. Likewise $G_B = A^{\mathsf T} g$. (This is
#   the [adjoint](../docs/glossary.md#adjoint) of notebooks 3 and 7.)
# - **Sum** over an axis: each term changes the sum by as much as itself, so each gets the gradient of its sum.
# - **[ReLU](../docs/glossary.md#relu)**, $\max(a, 0)$: where $a$ is positive the gradient passes, elsewhere it is 0.
# - **Another shape**, or the transpose: the same numbers, so the gradient is put back into the old shape.
# - **$-a$**, $a - b$ and the like are made of the others, and need no rule of their own.


# %%
def add(a, b):
    a, b = tensor(a), tensor(b)

    def rule(g):
        return unbroadcast(g, a.data.shape), unbroadcast(g, b.data.shape)

    return Tensor(a.data + b.data, parents=(a, b), rule=rule, name="add")


def mul(a, b):
    a, b = tensor(a), tensor(b)

    def rule(g):
        return unbroadcast(g * b.data, a.data.shape), unbroadcast(g * a.data, b.data.shape)

    return Tensor(a.data * b.data, parents=(a, b), rule=rule, name="mul")


def matmul(a, b):
    a, b = tensor(a), tensor(b)
    value = a.data @ b.data
    return Tensor(value, parents=(a, b), rule=lambda g: (g @ b.data.T, a.data.T @ g), name="matmul")


def total(a, axis=None, keepdims=False):
    value = a.data.sum(axis=axis, keepdims=keepdims)
    kept = a.data.sum(axis=axis, keepdims=True).shape  # the axes that were summed have length 1

    def rule(g):
        return (np.broadcast_to(g.reshape(kept), a.data.shape),)

    return Tensor(value, parents=(a,), rule=rule, name="sum")


def relu(a):
    positive = a.data > 0
    return Tensor(a.data * positive, parents=(a,), rule=lambda g: (g * positive,), name="relu")


def reshape(a, shape):
    value = a.data.reshape(shape)
    return Tensor(value, parents=(a,), rule=lambda g: (g.reshape(a.data.shape),), name="reshape")


def transposed(a):
    return Tensor(a.data.T, parents=(a,), rule=lambda g: (g.T,), name="transpose")


Tensor.__add__, Tensor.__mul__, Tensor.__matmul__ = add, mul, matmul
Tensor.sum, Tensor.relu, Tensor.reshape, Tensor.T = total, relu, reshape, property(transposed)
Tensor.__neg__ = lambda a: a * -1.0
Tensor.__sub__ = lambda a, b: a + -tensor(b)
Tensor.__radd__, Tensor.__rmul__ = add, mul  # for 2 + a and 2 * a
Tensor.__rsub__ = lambda a, b: tensor(b) + -a
Tensor.__truediv__ = lambda a, b: a * tensor(b) ** -1  # ** is for you to write, below

# %% [markdown]
# Is it right? `check_op` draws hundreds of expressions, with shapes that broadcast and tensors that are used several times, and compares every value and gradient with
# plain loops. It knows dozens of wrong tapes by name. "absent" is what the class cannot do yet: functions come below, and its `backward` begins with ones only.
# ("fan-out" and "shared": a leaf or a result is used several times. "a million paths": 20 sums, each of the last with itself; whoever walks along every path does not come to an end.)


# %%
def check_tape(cls, leave_out=()):
    """Check a class Tensor and print what was found, but for lines with one of some words."""
    try:
        print(check_op(cls, "tape").text())
    except OperationError as wrong:
        lines = str(wrong).splitlines()
        print("\n".join(line for line in lines if not any(word in line for word in leave_out)))


check_tape(Tensor)

# %% [markdown]
# And if a rule were wrong? Plant a mistake: a tape that *sets* a gradient where it should *add* to it.


# %%
def set_it(self, g):
    self.grad = g


Tensor.receive = set_it
check_tape(Tensor)
Tensor.receive = receive

# %% [markdown]
# The message names the mistake, and gives the smallest expression that shows it.
#
# ### Your turn
#
# Three operations are missing: $e^a$, $\ln a$ and $a^n$ for a number $n$ (`a ** n`). Write each as a function like `relu` above: a
# value, the one parent, and a rule that returns a tuple with one gradient. From school: $(e^a)' = e^a$, $(\ln a)' = 1/a$, $(a^n)' = n\,a^{n-1}$. Each is checked by itself; when all three are written, `check_tape` tries them in longer expressions.

# %%
my_exp = None  # replace by: def my_exp(a): ...
my_log = None  # def my_log(a): ...
my_power = None  # def my_power(a, n): ...

# %% tags=["hide-input"]
written = {"exp": (my_exp, "my_exp"), "log": (my_log, "my_log"), "__pow__": (my_power, "my_power")}
spots, arrived = np.array([0.5, 2.0, 3.0]), np.array([1.0, -2.0, 3.0])
for method, (function, name) in written.items():
    if method in vars(Tensor):
        delattr(Tensor, method)
    if function is None:
        check_answer(name, None, None)
        continue
    setattr(Tensor, method, function)
    power = (3,) if method == "__pow__" else ()
    spot = md.Tensor(spots, requires_grad=True)
    wanted_value = getattr(spot, method)(*power)
    wanted_value.backward(arrived)
    wanted_value, wanted_part = np.asarray(wanted_value.data), np.asarray(spot.grad)
    out = function(Tensor(spots, requires_grad=True), *power)
    if not isinstance(out, Tensor) or out.rule is None:
        print(f"{name}: ✗ not yet: it returns a Tensor of the value, with parents, rule and name.")
    elif not isinstance(parts := out.rule(arrived), tuple):
        print(f"{name}: ✗ not yet: a rule returns a tuple, here with one gradient: (..., )")
    elif not np.allclose(out.data, wanted_value):
        check_answer(f"{name}, its value", out.data, wanted_value)
    else:
        check_answer(
            f"{name}, its rule",
            parts[0],
            wanted_part,
            hint="The derivative at a, times the gradient g of the result.",
        )
if all(function for function, _ in written.values()):  # no right values
    check_tape(Tensor, leave_out=("must be", "Rule:", "Again:"))

# %% [markdown]
# How long is it by now?

# %%
mine = (*vars(Tensor).values(), tensor, unbroadcast)
lines = sum(len(inspect.getsource(f).splitlines()) for f in set(mine) if inspect.isfunction(f))
print(lines, "lines of functions")

# %% [markdown]
# ## 6. Train a network with it
#
# Points on a disc and on a ring around it, to be told apart. The network: a matrix product to 16 numbers, to each of which a
# [bias](../docs/glossary.md#bias) is added; ReLU; a matrix product to one number and its bias. That number, the *score*, is to be $+1$ on the ring and
# $-1$ on the disc. The [loss](../docs/glossary.md#loss) is the mean squared error. First its graph after one backward pass, on four
# points and with 2 numbers in place of 16: every kind of box in it has a rule above.


# %%
def network(points, wanted, w1, b1, w2, b2):
    """Return the scores of points (n, 2) and the mean squared error."""
    scores = (points @ w1 + b1).relu() @ w2 + b2
    error = scores - wanted
    return scores, (error * error).sum() * (1 / len(wanted))


def parameters(cls, hidden, seed=0):
    """Return w1, b1, w2, b2 of a class of tensors."""
    rng = np.random.default_rng(seed)
    shapes = (2, hidden), (hidden,), (hidden, 1), (1,)
    return [cls(0.8 * rng.standard_normal(shape), requires_grad=True) for shape in shapes]


rng = np.random.default_rng(1)
angle, inside = rng.uniform(0, 2 * np.pi, 160), np.arange(160) % 2 == 0
radius = np.where(inside, rng.uniform(0, 0.8, 160), rng.uniform(1.2, 1.8, 160))
points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
wanted = np.where(inside, -1.0, 1.0)[:, None]

small = parameters(Tensor, hidden=2)
scores, loss = network(Tensor(points[:4]), wanted[:4], *small)
loss.backward()

# %% tags=["hide-input"]
show(
    draw(loss, dict(zip(("w1", "b1", "w2", "b2"), small, strict=True)) | {"loss": loss}),
    alt="The graph of the network's loss: the leaves w1, b1, w2 and b2, two matrix products, a relu, "
    "the error which is used twice in its own square, a sum and the loss, all with gradients",
)

# %% [markdown]
# The only red arrows: the error is multiplied by itself, so it is used twice. (`scores - wanted` is the third `add`, as it is made of one. Points and wanted scores require no gradient, and are not drawn.) Now train: subtract from each parameter its gradient times a small number, the
# [learning rate](../docs/glossary.md#learning-rate), and repeat. The function is written for *any* class of tensors, so we can train with yours and with
# the library's and compare.


# %%
def train(cls, steps=300, rate=0.05):
    """Return the parameters after training and the loss at every step."""
    learned, losses = parameters(cls, hidden=16), []
    for _ in range(steps):
        for p in learned:
            p.grad = None
        _, loss = network(cls(points), wanted, *learned)
        loss.backward()
        losses.append(float(loss.data))
        for p in learned:
            p.data = p.data - rate * np.asarray(p.grad)
    return learned, losses


learned, losses = train(Tensor)
_, theirs = train(md.Tensor)
print(f"loss at the start {losses[0]:.3f}, at the end {losses[-1]:.3f}")
apart = np.abs(np.subtract(losses, theirs)).max()
print(f"largest difference from the library's losses: {apart:.1e}")
assert np.allclose(losses, theirs, rtol=1e-8)

# %% tags=["hide-input"]
across = np.linspace(-2, 2, 80)
plane = np.stack(np.meshgrid(across, across), axis=-1).reshape(-1, 2)
values = network(Tensor(plane), np.zeros((len(plane), 1)), *learned)[0].data.reshape(80, 80)

figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.4), width_ratios=[4, 3.6])
axes[0].plot(losses)
axes[0].set(xlabel="step", ylabel="loss", title="your tape trains a network", yscale="log")
axes[1].contourf(across, across, values, levels=[-9, 0, 9], colors=["#9fd0f0", "#f7d488"])
for chosen, marker, name in ((inside, "o", "disc: −1"), (~inside, "^", "ring: +1")):
    axes[1].scatter(*points[chosen].T, s=16, marker=marker, color="#1b2733", label=name,
                    facecolor="white", linewidth=0.9)  # fmt: skip
axes[1].set(title="score: blue negative, yellow positive", xticks=[], yticks=[], aspect="equal")
axes[1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2)
plt.tight_layout()
show(
    figure,
    alt="Left the loss, which falls over 300 steps. Right the points of a disc and of a ring around "
    "it, on a plane coloured by the sign of the score: a closed region around the disc is negative",
)
final = network(Tensor(points), wanted, *learned)[0].data
print(f"points with the right sign: {np.mean((final > 0) == (wanted > 0)):.0%}")

# %% [markdown]
# ## What the paper says
#
# The walk is *reverse-mode automatic differentiation*. The survey of [Baydin, Pearlmutter, Radul and Siskind
# (2018)](https://jmlr.org/papers/v18/17-468.html), section 3.2, explains it on $f = \ln x_1 + x_1 x_2 - \sin x_2$ at $x_1 = 2$, $x_2 = 5$: its figure 4 is the graph, and its table 3 the walk, which ends with 5.5 and
# 1.716. Here is that figure, with that table's numbers in its boxes:

# %%
x1, x2 = md.Tensor(2.0, requires_grad=True), md.Tensor(5.0, requires_grad=True)
logarithm, product, sine = x1.log(), x1 * x2, x2.sin()
both = logarithm + product
f = both - sine
for t in (logarithm, product, sine, both, f):
    t.retain_grad()  # for the picture: the library keeps only the gradients of leaves
f.backward(retain_graph=True)
print(f"gradient of x1: {x1.grad.item():.3f}    of x2: {x2.grad.item():.3f}")

# %% tags=["hide-input"]
show(
    graph(f, names={"x1": x1, "x2": x2, "f": f}),
    alt="The graph of the paper's example: x1 and x2 at the top, log, mul and sin below, then add and "
    "sub; the gradient of x1 is 5.5 and that of x2 is 1.72",
)

# %% [markdown]
# We differ in two ways. The paper's boxes are single numbers; ours are arrays, so a graph has a few dozen boxes and not millions. And the paper's section 3.1 explains the *forward* mode too, which needs one walk for each input; the
# reverse mode needs one walk for all of them, however many there are, as long as the result is one number, as a loss is, and that is why networks are trained with it. [Noh, Hong and Han (2015)](https://arxiv.org/abs/1505.04366)
# trained DeconvNet in Caffe, which has a backward function for each layer and walks through the layers; the rule is the same.
#
# ## Exercises
#
# **1.** A tape that sets gradients instead of adding is still right for some expressions. Which? Test your guess with one that has a sum, a product and three leaves.
#
# <details><summary>Answer</summary>
#
# Where every tensor is used once, so that there is one path from each leaf to the result: the graph is a tree.
#
# ```python
# Tensor.receive = set_it
# p, q, r = (Tensor(n, requires_grad=True) for n in (2.0, 4.0, 5.0))
# ((p + q) * r).backward()  # a tree
# assert (p.grad, q.grad, r.grad) == (5, 5, 6)
# s = Tensor(3.0, requires_grad=True)
# (s * s).backward()  # s is used twice
# assert s.grad == 3  # should be 6
# Tensor.receive = receive
# ```
# </details>
#
# **2.** `order` keeps a list of those that wait. A function that calls itself for each parent would be shorter. Write it and find out why it is not used.
#
# <details><summary>Answer</summary>
#
# ```python
# def found_by_calls(t, found):
#     found[t] = True
#     for parent in t.parents:
#         if parent not in found:
#             found_by_calls(parent, found)
#     return found
#
#
# def chain(length):
#     t = Tensor(0.0, requires_grad=True)
#     for _ in range(length):
#         t = t + 1.0
#     return t
#
#
# assert len(found_by_calls(chain(100), {})) == 201  # 101 in the chain, 100 constants
# try:
#     found_by_calls(chain(20_000), {})
#     stopped = False
# except RecursionError:
#     stopped = True
# assert stopped  # Python allows about 1000 calls inside each other
# assert len(order(chain(20_000))) == 20_001
# ```
# </details>
#
# **3.** Make a convolution an operation of your tape. `from minideconv import ops` gives you its forward and both backwards, on arrays:
# `ops.conv2d(x, w)`, `ops.conv_transpose2d(g, w)` for the image and `ops.conv2d_weight_grad(x, g, kernel_size)` for the kernel.
#
# <details><summary>Answer</summary>
#
# ```python
# from minideconv import ops
#
#
# def conv2d(x, w):
#     def rule(g):
#         kernel_size = w.data.shape[2:]
#         return ops.conv_transpose2d(g, w.data), ops.conv2d_weight_grad(x.data, g, kernel_size)
#
#     return Tensor(ops.conv2d(x.data, w.data), parents=(x, w), rule=rule, name="conv2d")
#
#
# rng = np.random.default_rng(2)
# x_data, w_data = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 3, 2))
# x, w = Tensor(x_data, requires_grad=True), Tensor(w_data, requires_grad=True)
# y = conv2d(x, w)
# (y * y).sum().backward()
# x_md, w_md = md.Tensor(x_data, requires_grad=True), md.Tensor(w_data, requires_grad=True)
# (md.functional.conv2d(x_md, w_md) ** 2).sum().backward()
# assert np.allclose(x.grad, x_md.grad.numpy())
# assert np.allclose(w.grad, w_md.grad.numpy())
# ```
#
# That is all a library does to make a layer trainable: it binds a forward and its backward to the tape.
# </details>
#
# ## In the library
#
# These functions do it for real; they are longer because they free memory as they go, notice arrays that were changed since, and
# explain errors.
#
# - [`minideconv.autograd.record.record`](../minideconv/autograd/record.py#L17): a result, its parents and its rule, as in section 2.
# - [`minideconv.autograd.tape.in_order`](../minideconv/autograd/tape.py#L182): the order. It counts the children that have not passed on yet, and needs no serial number.
# - [`minideconv.autograd.tape.backward_pass`](../minideconv/autograd/tape.py#L135): the walk.
# - [`minideconv.autograd.broadcasting.unbroadcast`](../minideconv/autograd/broadcasting.py#L51): your function.
#
# Next: [*Testing layers*](11_testing_layers.ipynb): how does `check_op` know?
