"""The ONNX node tests of Conv, ConvTranspose and Col2Im, run on the array functions.

Every case of the generators is in one of the two tables: applied, or not applied with the reason.
"""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import ops
from minideconv.ops import geometry

APPLIED = {
    "Conv": [
        "test_basic_conv_with_padding",
        "test_basic_conv_without_padding",
        "test_conv_with_strides_padding",
        "test_conv_with_strides_no_padding",
        "test_conv_with_strides_and_asymmetric_padding",  # the axes differ, not the two ends
    ],
    "ConvTranspose": [
        "test_convtranspose",
        "test_convtranspose_output_shape",
        "test_convtranspose_pad",
        "test_convtranspose_kernel_shape",
        "test_convtranspose_pads",
        "test_convtranspose_dilations",
        "test_convtranspose_group_2",
        "test_convtranspose_group_2_image_3",
    ],
    "Col2Im": [
        "test_col2im",
        "test_col2im_strides",
        "test_col2im_pads",
        "test_col2im_dilations",
    ],
}
NOT_APPLIED = {
    "Conv": {"test_conv_with_autopad_same": "auto_pad: padding is given in pixels here"},
    "ConvTranspose": {
        "test_convtranspose_1d": "one spatial axis",
        "test_convtranspose_3d": "three spatial axes",
        "test_convtranspose_autopad_same": "auto_pad: padding is given in pixels here",
    },
    "Col2Im": {"test_col2im_5d": "three spatial axes"},
}
GENERATOR = {"Conv": "conv", "ConvTranspose": "convtranspose", "Col2Im": "col2im"}
CASES = [(operator, name) for operator, names in APPLIED.items() for name in names]


def window(attributes):
    """Stride, padding and dilation per axis; ONNX gives pads as (top, left, bottom, right)."""
    pads = attributes.get("pads", [0, 0, 0, 0])
    assert list(pads[:2]) == list(pads[2:]), "both ends of an axis must be padded alike"
    return (
        tuple(attributes.get("strides", (1, 1))),
        tuple(pads[:2]),
        tuple(attributes.get("dilations", (1, 1))),
    )


def conv(attributes, x, w, b=None):
    return ops.conv2d(x, w, b, *window(attributes), attributes.get("group", 1))


def conv_transpose(attributes, x, w, b=None):
    stride, padding, dilation = window(attributes)
    extra = tuple(attributes.get("output_padding", (0, 0)))
    if "output_shape" in attributes:
        extra = geometry.output_padding_for(
            tuple(attributes["output_shape"]), x.shape[2:], w.shape[2:], stride, padding, dilation
        )
    groups = attributes.get("group", 1)
    return ops.conv_transpose2d(x, w, b, stride, padding, extra, groups, dilation)


def col2im(attributes, columns, image_shape, block_shape):
    size, kernel = tuple(map(int, image_shape)), tuple(map(int, block_shape))
    return ops.col2im(columns, size, kernel, *window(attributes))


RUN = {"Conv": conv, "ConvTranspose": conv_transpose, "Col2Im": col2im}


@pytest.mark.parametrize(("operator", "name"), CASES, ids=[name for _, name in CASES])
def test_case(onnx_cases, operator, name):
    case = onnx_cases(GENERATOR[operator], operator)[name]
    result = RUN[operator](case.attributes, *case.inputs)
    (want,) = case.outputs
    assert result.dtype == want.dtype == np.float32
    assert result.shape == want.shape
    np.testing.assert_allclose(result, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("operator", APPLIED)
def test_every_case_is_accounted_for(onnx_cases, operator):
    listed = [*APPLIED[operator], *NOT_APPLIED[operator]]
    assert len(set(listed)) == len(listed)
    assert set(onnx_cases(GENERATOR[operator], operator)) == set(listed)


def test_the_number_applied():
    assert {operator: len(names) for operator, names in APPLIED.items()} == {
        "Conv": 5,
        "ConvTranspose": 8,
        "Col2Im": 4,
    }
