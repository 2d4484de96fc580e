"""Drawn geometries are valid by construction and as varied as they claim."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minideconv.ops import geometry as shapes
from minideconv.testing import (
    BatchNormGeometry,
    ConvGeometry,
    PoolGeometry,
    TransposedGeometry,
    batch_norm_geometries,
    conv_geometries,
    conv_transpose_geometries,
    pool_geometries,
    seeds,
)


@given(conv_geometries())
def test_conv_geometries_are_valid_and_come_back(g):
    out = shapes.conv_output_size(g.size, g.kernel, g.stride, g.padding, g.dilation)
    assert g.out_size == out
    back = shapes.conv_transpose_output_size(
        out, g.kernel, g.stride, g.padding, g.output_padding, g.dilation
    )
    assert back == g.size == g.transposed_size
    assert eval(g.code()) == g
    assert g.c_in % g.groups == 0 == g.c_out % g.groups
    assert all(p < d * (k - 1) + 1 for p, d, k in zip(g.padding, g.dilation, g.kernel, strict=True))
    assert g.terms == g.w_shape[1] * g.w_shape[2] * g.w_shape[3]


@given(pool_geometries(), st.booleans())
def test_pool_geometries_are_valid(g, ceil):
    assert g.out_size == shapes.pool_output_size(
        g.size, g.kernel, g.stride, g.padding, g.dilation, g.ceil_mode
    )
    assert eval(g.code()) == g
    # every window meets the input
    for n, k, s, p, d, out in zip(
        g.size, g.kernel, g.stride, g.padding, g.dilation, g.out_size, strict=True
    ):
        for o in range(out):
            assert any(0 <= o * s + t * d - p < n for t in range(k))


@given(st.data())
def test_pool_overlap_is_kept_to(data):
    assert all(
        data.draw(pool_geometries(overlap=wanted)).overlaps is wanted for wanted in (True, False)
    )


@given(batch_norm_geometries())
def test_batch_norm_geometries_have_a_variance(g):
    assert g.count >= 2
    assert eval(g.code()) == g


def _shares(strategy, features, n=500):
    """Share of draws that have each feature; a fixed sample, so the bars below cannot flake."""
    count, total = Counter(), [0]

    @settings(max_examples=n, deadline=None, database=None, derandomize=True)
    @given(strategy)
    def run(g):
        total[0] += 1
        count.update(name for name, has in features.items() if has(g))

    run()
    assert total[0] >= 0.9 * n, "examples were rejected or the space is tiny"
    return {name: count[name] / total[0] for name in features}


def test_conv_geometries_vary_every_feature():
    features = {
        "H != W": lambda g: g.size[0] != g.size[1],
        "kh != kw": lambda g: g.kernel[0] != g.kernel[1],
        "sh != sw": lambda g: g.stride[0] != g.stride[1],
        "C_in != C_out": lambda g: g.c_in != g.c_out,
        "stride > 1": lambda g: max(g.stride) > 1,
        "remainder": lambda g: any(g.output_padding),
        "padding": lambda g: any(g.padding),
        "dilation": lambda g: max(g.dilation) > 1,
        "groups": lambda g: g.groups > 1,
        "batch": lambda g: g.batch > 1,
        "all rectangular": lambda g: (
            g.size[0] != g.size[1]
            and g.kernel[0] != g.kernel[1]
            and g.stride[0] != g.stride[1]
            and g.c_in != g.c_out
        ),
        "unit-stride": lambda g: g.family() == "unit-stride",
        "padding family": lambda g: g.family() == "padding",
        "stride-exact": lambda g: g.family() == "stride-exact",
        "stride-remainder": lambda g: g.family() == "stride-remainder",
    }
    shares = _shares(conv_geometries(), features)
    least = dict.fromkeys(features, 0.2)
    least |= {"H != W": 0.6, "kh != kw": 0.6, "sh != sw": 0.5, "C_in != C_out": 0.6}
    least |= {"unit-stride": 0.03, "padding family": 0.01, "stride-exact": 0.05}
    least |= {"stride-remainder": 0.1}
    assert {n: s for n, s in shares.items() if s < least[n]} == {}


def test_pool_geometries_vary_every_feature():
    features = {
        "H != W": lambda g: g.size[0] != g.size[1],
        "kh != kw": lambda g: g.kernel[0] != g.kernel[1],
        "sh != sw": lambda g: g.stride[0] != g.stride[1],
        "overlap": lambda g: g.overlaps,
        "disjoint": lambda g: not g.overlaps,
        "padding": lambda g: any(g.padding),
        "dilation": lambda g: max(g.dilation) > 1,
        "ceil matters": lambda g: (
            g.ceil_mode
            and g.out_size
            != PoolGeometry(
                g.batch, g.channels, g.size, g.kernel, g.stride, g.padding, g.dilation
            ).out_size
        ),
    }
    shares = _shares(pool_geometries(), features)
    assert {n: s for n, s in shares.items() if s < 0.1} == {}


def test_limits_are_kept():
    @settings(max_examples=200, derandomize=True, database=None, deadline=None)
    @given(
        conv_geometries(
            max_out=2,
            max_kernel=2,
            max_stride=1,
            max_dilation=1,
            max_padding=0,
            max_batch=1,
            max_channels=2,
            max_groups=1,
        ),
        seeds(),
    )
    def run(g, seed):
        assert max(g.out_size) <= 2
        assert max(g.kernel) <= 2
        assert g.stride == g.dilation == (1, 1)
        assert g.padding == (0, 0)
        assert g.batch == g.groups == 1
        assert max(g.c_in, g.c_out) <= 2
        assert 0 <= seed < 2**16

    run()


def test_geometries_refuse_what_cannot_be():
    with pytest.raises(ValueError, match="does not fit"):
        ConvGeometry(1, 1, 1, size=(2, 5), kernel=(3, 1))
    with pytest.raises(ValueError, match="groups=2 must divide c_in=3"):
        ConvGeometry(1, 3, 2, size=(2, 5), kernel=(1, 1), groups=2)
    with pytest.raises(ValueError, match="no variance"):
        BatchNormGeometry(1, 4, (1, 1))


def test_only_the_strategies_need_hypothesis():
    script = """
import sys
sys.modules["hypothesis"] = None  # as if it were not installed
import minideconv.testing as t
t.check_adjoint(lambda x: 2 * x, lambda y: 2 * y, t.values(3, 0), t.values(3, 1))
try:
    t.conv_geometries
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300
    )
    assert "need Hypothesis; pip install 'minideconv[test]'" in done.stdout


@given(conv_transpose_geometries())
def test_conv_transpose_geometries_are_valid(g):
    assert g.out_size == shapes.conv_transpose_output_size(
        g.size, g.kernel, g.stride, g.padding, g.output_padding, g.dilation
    )
    assert g.y_shape == (g.batch, g.c_out, *g.out_size)
    assert g.w_shape == (g.c_in, g.c_out // g.groups, *g.kernel)
    assert eval(g.code()) == g


def test_conv_transpose_geometries_have_every_output_padding():
    features = {
        "unit-stride": lambda g: g.family() == "unit-stride",
        "padding": lambda g: g.family() == "padding",
        "stride": lambda g: g.family() == "stride",
        "output-padding": lambda g: g.family() == "output-padding",
        "dilation": lambda g: g.family() == "dilation",
        "groups": lambda g: g.family() == "groups",
        "the most": lambda g: (
            max(g.stride) > 1 and g.output_padding[0] == max(g.stride[0], g.dilation[0]) - 1
        ),
        "without a stride": lambda g: any(
            r and s == 1 for r, s in zip(g.output_padding, g.stride, strict=True)
        ),
        "H != W": lambda g: g.size[0] != g.size[1],
        "kh != kw": lambda g: g.kernel[0] != g.kernel[1],
        "C_in != C_out": lambda g: g.c_in != g.c_out,
    }
    shares = _shares(conv_transpose_geometries(), features)
    assert {n: s for n, s in shares.items() if s < 0.02} == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output_padding": (0, 1)}, "output_padding=.0, 1. must be in 0 .. max.stride, dilation."),
        ({"padding": (2, 0)}, "the padding crops everything"),
        ({"groups": 2}, "groups=2 must divide c_in=3"),
    ],
)
def test_what_is_no_transposed_geometry(arguments, message):
    with pytest.raises(ValueError, match=message):
        TransposedGeometry(1, 3, 2, size=(1, 1), kernel=(3, 3), **arguments)
