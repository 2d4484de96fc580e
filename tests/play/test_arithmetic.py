"""The page's convolution, transposed convolution, pooling and unpooling: equal to the library's.

For every position of the sliders, in one batch. Numbers are whole, so they must be equal.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from minideconv import ops
from minideconv.backend.algorithms import algorithm

pytestmark = pytest.mark.cpu

SLIDERS = ("height", "width", "kernelHeight", "kernelWidth", "stride", "padding", "dilation")

COMPUTE = """(cases) => cases.map(({ g, kernel, x, u, whole }) => {
  if (problem(g)) return { problem: problem(g) };
  const size = outputSize(g), list = entries(g), pixels = size[0] * size[1];
  const turned = list.map((e) => ({ tap: e.tap, input: e.output, output: e.input }));
  const back = multiply(turned, kernel, u.slice(0, pixels), x.length);
  const cells = whole ? list.map((e) => [e.output, e.input, e.tap]) : [];
  const y = multiply(list, kernel, x, pixels);
  return { size, y, back, cells, counts: overlaps(list, pixels) };
})"""


def ranges(page, form, names):
    """The whole numbers that each slider of a form can stand at."""
    script = "([id, name]) => { const s = document.getElementById(id).elements[name];"
    script += " return [Number(s.min), Number(s.max), Number(s.step || 1)]; }"
    bounds = {name: page.evaluate(script, [form, name]) for name in names}
    assert all(step == 1 for _, _, step in bounds.values())
    return {name: range(low, high + 1) for name, (low, high, _) in bounds.items()}


def geometries(page, transposed):
    """Every geometry that the sliders can name; output padding where it is legal."""
    kind = "transposed" if transposed else "conv"
    page.check(f"#conv-controls input[value={kind}]")
    found = ranges(page, "conv-controls", SLIDERS)
    for h, w, kh, kw, stride, padding, dilation in product(*found.values()):
        for extra in range(max(stride, dilation)) if transposed else (0,):
            yield {
                "transposed": transposed,
                "size": [h, w],
                "kernel": [kh, kw],
                "stride": stride,
                "padding": padding,
                "dilation": dilation,
                "outputPadding": extra,
            }


def by_library(case, arguments, transposed):
    """Output, transpose of a cotangent, and overlap counts of a case."""
    g = case["g"]
    x = np.array(case["x"], float).reshape(1, 1, *g["size"])
    kernel = np.array(case["kernel"], float).reshape(1, 1, *g["kernel"])
    ones = np.ones_like(kernel)
    if transposed:
        y = ops.conv_transpose2d(x, kernel, **arguments)
        counts = ops.conv_transpose2d(np.ones_like(x), ones, **arguments)
    else:
        y = ops.conv2d(x, kernel, **arguments)
        counts = ops.conv2d(np.ones_like(x), ones, **arguments)
    u = np.array(case["u"], float)[: y.size].reshape(y.shape)
    arguments = {k: v for k, v in arguments.items() if k != "output_padding"}
    backward = ops.conv_transpose2d_backward if transposed else ops.conv2d_backward
    back = backward(u, x, kernel, needs=(True, False, False), **arguments)[0]
    return y, back, counts


def matrix_by_library(g, kernel, arguments):
    """The matrix, column by column for the transpose, since output_padding is no part of A."""
    weight = np.array(kernel, float).reshape(1, 1, *g["kernel"])
    if not g["transposed"]:
        return ops.conv_matrix(weight, tuple(g["size"]), **arguments)
    pixels = g["size"][0] * g["size"][1]
    units = np.eye(pixels).reshape(pixels, 1, *g["size"])
    return ops.conv_transpose2d(units, weight, **arguments).reshape(pixels, -1).T


def cases_of(all_geometries):
    """Whole numbers for each geometry; of small pictures the whole matrix is wanted."""
    rng = np.random.default_rng(0)
    for g in all_geometries:
        pixels, taps = g["size"][0] * g["size"][1], g["kernel"][0] * g["kernel"][1]
        yield {
            "g": g,
            "kernel": rng.integers(-9, 10, taps).tolist(),
            "x": rng.integers(-3, 4, pixels).tolist(),
            "u": rng.integers(-3, 4, 400).tolist(),
            "whole": g["size"][0] <= 3 and g["size"][1] <= 2,
        }


def compared(cases, answers):
    """Compare every case; return how many were equal, refused by both, and whole matrices."""
    equal = refused = matrices = 0
    with algorithm("reference"):
        for case, answer in zip(cases, answers, strict=True):
            g = case["g"]
            arguments = {name: g[name] for name in ("stride", "padding", "dilation")}
            if g["transposed"]:
                arguments["output_padding"] = g["outputPadding"]
            if "problem" in answer:
                with pytest.raises(ValueError, match=r"spans|would be"):
                    by_library(case, arguments, g["transposed"])
                refused += 1
                continue
            y, back, counts = by_library(case, arguments, g["transposed"])
            assert answer["size"] == list(y.shape[2:]), g
            assert answer["y"] == y.ravel().tolist(), g
            assert answer["back"] == back.ravel().tolist(), g
            assert answer["counts"] == counts.ravel().tolist(), g
            equal += 1
            if case["whole"]:
                dense = np.zeros((y.size, len(case["x"])))
                for output, pixel, tap in answer["cells"]:
                    dense[output, pixel] += case["kernel"][tap]
                assert np.array_equal(dense, matrix_by_library(g, case["kernel"], arguments)), g
                matrices += 1
    return equal, refused, matrices


@pytest.mark.parametrize("transposed", [False, True])
def test_every_geometry(page, call, transposed):
    cases = list(cases_of(geometries(page, transposed)))
    equal, refused, matrices = compared(cases, call(COMPUTE, cases))
    print(f"{equal} geometries equal, {refused} refused by both, {matrices} whole matrices")
    assert equal > 5000
    assert refused > 0
    assert matrices > 300


FLIPPED = "tap: (g.kernel[0] - 1 - i) * g.kernel[1] + g.kernel[1] - 1 - j"
MISTAKES = {
    "the kernel is flipped": ("tap: i * g.kernel[1] + j", FLIPPED),
    "the kernel's sides are exchanged": ("tap: i * g.kernel[1] + j", "tap: j * g.kernel[0] + i"),
    "padding on one side": ("2 * g.padding", "g.padding"),
    "padding enlarges the transpose": ("- 2 * g.padding", "+ 2 * g.padding"),
    "dilation is forgotten": ("+ i * g.dilation", "+ i"),
    "stride and dilation are exchanged": ("r * g.stride", "r * g.dilation"),
    "stamps overwrite": ("y[e.output] +=", "y[e.output] ="),
    "output padding is forgotten": (" + g.outputPadding", ""),
    "rounded up": ("Math.floor((n + 2", "Math.ceil((n + 2"),
    "the border counts as covered": ("meeting.inside)", "true)"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_noticed(call_wrong, mistake):
    sides = {"size": [4, 3], "kernel": [3, 2]}
    some = [
        {**sides, "transposed": t, "stride": s, "padding": p, "dilation": d, "outputPadding": t * 1}
        for t, s, p, d in product((False, True), (1, 2, 3), (0, 1), (1, 2))
        if max(s, d) > 1
    ]
    cases = list(cases_of(some))
    with pytest.raises((AssertionError, IndexError, pytest.fail.Exception)):
        compared(cases, call_wrong(*MISTAKES[mistake])(COMPUTE, cases))
    compared(cases, call_wrong("taps", "taps")(COMPUTE, cases))


def test_the_slider_of_output_padding_has_exactly_the_legal_values(page):
    page.check("#conv-controls input[value=transposed]")
    for stride, dilation in product((1, 2, 3), (1, 2)):
        for name, value in (("stride", stride), ("dilation", dilation)):
            page.locator(f"#conv-controls [name={name}]").fill(str(value))
        (legal,) = ranges(page, "conv-controls", ["outputPadding"]).values()
        assert legal == range(max(stride, dilation))
    page.check("#conv-controls input[value=conv]")
    assert page.locator("[name=outputPadding]").input_value() == "0"


@pytest.mark.parametrize("highest", [1, 3, 20])
def test_every_pooling(page, call, highest):
    """Few values make many ties."""
    rng = np.random.default_rng(highest)
    found = ranges(page, "pool-controls", ["kernel", "stride"])
    for kernel, stride in product(*found.values()):
        pictures = rng.integers(0, highest + 1, (20, 1, 6, 6)).astype(float)
        others = rng.integers(0, highest + 1, pictures.shape).astype(float)
        y, switches = ops.max_pool2d(pictures, kernel, stride, return_switches=True)
        _, from_others = ops.max_pool2d(others, kernel, stride, return_switches=True)
        script = """([pictures, others, kernel, stride]) => pictures.map((x, i) => {
          const own = maxPool(x, [6, 6], kernel, stride);
          const { switches } = maxPool(others[i], [6, 6], kernel, stride);
          const back = (which, how) => maxUnpool(own.values, which, x.length, how);
          return [own.values, own.switches, back(own.switches, "assign"), back(own.switches, "add"),
                  back(switches, "assign"), back(switches, "add"), own.ties.map((t) => t.length)];
        })"""
        flat = [array.reshape(20, -1).tolist() for array in (pictures, others)]
        rows = call(script, [*flat, kernel, stride])
        answers = [np.array(column) for column in zip(*rows, strict=True)]
        expected = [y, switches.indices]
        for which in (switches, from_others):
            expected += [ops.max_unpool2d(y, which, how) for how in ("assign", "add")]
        for answer, right in zip(answers[:-1], expected, strict=True):
            assert np.array_equal(answer, np.asarray(right).reshape(20, -1)), (kernel, stride)
        windows = np.lib.stride_tricks.sliding_window_view(pictures, (kernel, kernel), (2, 3))
        windows = windows[:, :, ::stride, ::stride]
        ties = (windows == windows.max(axis=(-2, -1), keepdims=True)).sum(axis=(-2, -1))
        assert np.array_equal(answers[-1], ties.reshape(20, -1))
