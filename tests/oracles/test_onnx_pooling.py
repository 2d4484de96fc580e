"""The ONNX node cases of pooling, unpooling and batch norm, built in memory by the onnx package.

Every case of the five operators is in the table below: what applies is run, the rest has a reason.
They are forward only, in float32, mostly square and of one channel: a complement to the property
tests, from people who wrote their reference without knowing ours.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from minideconv.ops import (
    Switches,
    avg_pool2d,
    batch_norm,
    max_pool2d,
    max_unpool2d,
)

OPERATORS = ("MaxPool", "MaxUnpool", "AveragePool", "GlobalAveragePool", "BatchNormalization")

APPLY = {
    "MaxPool": [
        "test_maxpool_2d_ceil",
        "test_maxpool_2d_ceil_output_size_reduce_by_one",
        "test_maxpool_2d_default",
        "test_maxpool_2d_dilations",
        "test_maxpool_2d_precomputed_pads",
        "test_maxpool_2d_precomputed_strides",
        "test_maxpool_2d_strides",
        "test_maxpool_with_argmax_2d_precomputed_pads",
        "test_maxpool_with_argmax_2d_precomputed_strides",
    ],
    "MaxUnpool": ["test_maxunpool_export_without_output_shape"],
    "AveragePool": [
        "test_averagepool_2d_ceil",
        "test_averagepool_2d_ceil_last_window_starts_on_pad",
        "test_averagepool_2d_default",
        "test_averagepool_2d_precomputed_pads",
        "test_averagepool_2d_precomputed_pads_count_include_pad",
        "test_averagepool_2d_precomputed_strides",
        "test_averagepool_2d_strides",
    ],
    "GlobalAveragePool": ["test_globalaveragepool", "test_globalaveragepool_precomputed"],
    "BatchNormalization": [
        "test_batchnorm_epsilon",
        "test_batchnorm_epsilon_training_mode",
        "test_batchnorm_example",
        "test_batchnorm_example_training_mode",
    ],
}
COUNTS = {  # applied, all
    "MaxPool": (9, 19),
    "MaxUnpool": (1, 2),
    "AveragePool": (7, 20),
    "GlobalAveragePool": (2, 2),
    "BatchNormalization": (4, 4),
}
AUTO_PAD = "auto_pad: padding that differs from side to side is F.pad's job here"
NOT_2D = "not two-dimensional"
WIDE_PADDING = "padding of 2 on a kernel of 3: more than half, refused as in PyTorch"
SKIP = {
    "test_maxpool_1d_default": NOT_2D,
    "test_maxpool_3d_default": NOT_2D,
    "test_maxpool_3d_dilations": NOT_2D,
    "test_maxpool_3d_dilations_use_ref_impl": NOT_2D,
    "test_maxpool_3d_dilations_use_ref_impl_large": NOT_2D,
    "test_maxpool_2d_same_lower": AUTO_PAD,
    "test_maxpool_2d_same_upper": AUTO_PAD,
    "test_maxpool_2d_precomputed_same_upper": AUTO_PAD,
    "test_maxpool_2d_uint8": "uint8: pooling here is of floating-point images",
    "test_maxpool_2d_pads": WIDE_PADDING,
    "test_maxunpool_export_with_output_shape": (
        "indices counted in another plane than the output's: a divergence, tested below"
    ),
    "test_averagepool_1d_default": NOT_2D,
    "test_averagepool_3d_default": NOT_2D,
    "test_averagepool_3d_dilations_small": NOT_2D,
    **{
        f"test_averagepool_3d_dilations_large_count_include_pad_is_{i}_ceil_mode_is_{c}": NOT_2D
        for i in (0, 1)
        for c in (True, False)
    },
    "test_averagepool_2d_same_lower": AUTO_PAD,
    "test_averagepool_2d_same_upper": AUTO_PAD,
    "test_averagepool_2d_precomputed_same_upper": AUTO_PAD,
    "test_averagepool_2d_dilations": "average pooling has no dilation here, nor in PyTorch",
    "test_averagepool_2d_pads": WIDE_PADDING,
    "test_averagepool_2d_pads_count_include_pad": WIDE_PADDING,
}


class Case:
    """One node case: its attributes, inputs and outputs."""

    def __init__(self, onnx, case):
        node = case.model.graph.node[0]
        self.operator = node.op_type
        self.attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        inputs, outputs = case.data_sets[0]
        self.inputs = [np.asarray(a) for a in inputs]
        self.outputs = [np.asarray(a) for a in outputs]

    def window(self):
        """Return kernel, stride and padding; ONNX strides by 1 by default and pads four sides."""
        top, left, bottom, right = self.attributes.get("pads", (0, 0, 0, 0))
        assert (top, left) == (bottom, right)
        kernel = tuple(self.attributes["kernel_shape"])
        return kernel, tuple(self.attributes.get("strides", (1, 1))), (top, left)


@pytest.fixture(scope="module")
def cases(onnx):
    node_cases = pytest.importorskip(
        "onnx.backend.test.case.node", reason="needs the node cases of onnx"
    )
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package computes all its cases, casts of NaN included
        collected = node_cases.collect_testcases(None)
    for case in collected:
        operators = [node.op_type for node in case.model.graph.node]
        if len(operators) == 1 and operators[0] in OPERATORS:
            found[case.name] = Case(onnx, case)
    return found


def close(got, want, rtol=1e-5):
    assert got.shape == want.shape
    assert got.dtype == want.dtype == np.float32
    assert np.allclose(got, want, rtol=rtol, atol=1e-6)


def named(operator):
    return pytest.mark.parametrize("name", APPLY[operator])


def test_the_table_is_complete(cases):
    """No case is forgotten, none is counted twice, and the counts are those of the table."""
    applied = [name for names in APPLY.values() for name in names]
    assert sorted(cases) == sorted([*applied, *SKIP])
    for operator, (count, total) in COUNTS.items():
        assert len(APPLY[operator]) == count
        assert sum(case.operator == operator for case in cases.values()) == total
        assert all(cases[name].operator == operator for name in APPLY[operator])
    assert len(applied) == 23


@named("MaxPool")
def test_max_pool(cases, name):
    case = cases[name]
    dilation = tuple(case.attributes.get("dilations", (1, 1)))
    ceil_mode = bool(case.attributes.get("ceil_mode", 0))
    y, switches = max_pool2d(
        case.inputs[0], *case.window(), dilation, ceil_mode, return_switches=True
    )
    close(y, case.outputs[0])
    if len(case.outputs) > 1:
        column_major = case.attributes.get("storage_order", 0) == 1
        assert np.array_equal(switches.to_tensor(column_major), case.outputs[1])


def test_cases_with_argmax(cases):
    """Two cases check indices, one of them counted down the columns."""
    with_indices = [name for name in APPLY["MaxPool"] if len(cases[name].outputs) > 1]
    assert len(with_indices) == 2
    assert [cases[name].attributes.get("storage_order", 0) for name in with_indices] == [0, 1]


@pytest.mark.parametrize("name", [name for name, why in SKIP.items() if why == WIDE_PADDING])
def test_padding_of_more_than_half_the_kernel_is_refused(cases, name):
    pool = max_pool2d if cases[name].operator == "MaxPool" else avg_pool2d
    with pytest.raises(ValueError, match=r"padding is 2 along height; it must be in 0..1"):
        pool(cases[name].inputs[0], *cases[name].window())


@named("MaxUnpool")
def test_max_unpool(cases, name):
    x, indices = cases[name].inputs
    want = cases[name].outputs[0]
    close(max_unpool2d(x, Switches.from_tensor(indices, want.shape[2:])), want)


def test_max_unpool_with_an_output_shape_is_another_meaning(cases):
    """ONNX counts the indices in the 4 x 4 plane that the window implies, then makes 5 x 5 of it.

    Switches know their plane, so there is no second size to give: the same numbers give ONNX's
    values in the 4 x 4 plane, and other pixels if they are taken as of the 5 x 5 one.
    """
    x, indices, shape = cases["test_maxunpool_export_with_output_shape"].inputs
    want = cases["test_maxunpool_export_with_output_shape"].outputs[0]
    assert shape.tolist() == [1, 1, 5, 5]
    close(max_unpool2d(x, Switches.from_tensor(indices, (4, 4))), want[:, :, :4, :4])
    other = max_unpool2d(x, Switches.from_tensor(indices, (5, 5)))
    assert other.shape == want.shape
    assert not np.array_equal(other, want)


@named("AveragePool")
def test_avg_pool(cases, name):
    case = cases[name]
    y = avg_pool2d(
        case.inputs[0],
        *case.window(),
        ceil_mode=bool(case.attributes.get("ceil_mode", 0)),
        count_include_pad=bool(case.attributes.get("count_include_pad", 0)),
    )
    four_digits = name == "test_averagepool_2d_ceil_last_window_starts_on_pad"
    close(y, case.outputs[0], rtol=1e-3 if four_digits else 1e-5)  # as they are written down


@named("GlobalAveragePool")
def test_global_avg_pool(cases, name):
    x = cases[name].inputs[0]
    close(avg_pool2d(x, x.shape[2:]), cases[name].outputs[0])


@named("BatchNormalization")
def test_batch_norm(cases, name):
    case = cases[name]
    x, weight, bias, mean, var = case.inputs
    eps = case.attributes.get("epsilon", 1e-5)
    keep = case.attributes.get("momentum", 0.9)  # ONNX's momentum is the old value's weight
    if not case.attributes.get("training_mode", 0):
        close(batch_norm(x, mean, var, weight, bias, eps=eps), case.outputs[0])
        return
    new_mean, new_var = mean.copy(), var.copy()
    y = batch_norm(x, new_mean, new_var, weight, bias, True, 1 - keep, eps)
    close(y, case.outputs[0])
    close(new_mean, case.outputs[1])
    # ONNX follows the biased variance, PyTorch and we the unbiased one.
    m = x.size // x.shape[1]
    ours, theirs = new_var - keep * var, case.outputs[2] - keep * var
    assert not np.allclose(ours, theirs, rtol=1e-3, atol=0)
    assert np.allclose(ours * (m - 1) / m, theirs, rtol=1e-4, atol=1e-7)
