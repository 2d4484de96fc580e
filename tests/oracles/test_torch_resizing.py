"""Bicubic and area resizing are PyTorch's, in float64: values and gradients to order 2."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_orders import close, compare

from minideconv import Tensor, nn
from minideconv import functional as F
from minideconv.ops.interpolate import interpolation_matrix
from minideconv.testing import check_gradients, seeds, values


@st.composite
def resizings(draw):
    size, new = (draw(st.tuples(st.integers(1, 7), st.integers(1, 7))) for _ in range(2))
    options = {"mode": draw(st.sampled_from(["bicubic", "area"]))}
    if options["mode"] == "bicubic":
        options["align_corners"] = draw(st.booleans())
    if draw(st.booleans()):
        options["size"] = new
    else:
        between = draw(st.sampled_from([0.0, 0.25, 0.5]))
        options["scale_factor"] = tuple((m + between) / n for m, n in zip(new, size, strict=True))
    return (2, 3, *size), options


@settings(max_examples=100)
@given(resizings(), seeds())
def test_resizing(torch, case, seed):
    shape, options = case
    x = values(shape, seed, "normal")
    y = F.interpolate(Tensor(x), **options)
    its = torch.nn.functional.interpolate(torch.tensor(x), **options)
    if y.shape != tuple(its.shape):
        assert "scale_factor" in options  # PyTorch floors the rounded product
        return
    close(y, its)
    # To the same size by a factor such as 1.1 PyTorch's bicubic forward moves the pixels and its
    # backward does not: it is not the transpose of what forward did. Ours is.
    if not (options["mode"] == "bicubic" and y.shape == shape):
        compare(
            torch,
            lambda x: F.interpolate(x, **options),
            lambda x: torch.nn.functional.interpolate(x, **options),
            [x],
            0,
            orders=1,
        )


@pytest.mark.parametrize("align_corners", [False, True])
def test_upsample(torch, align_corners):
    options = {"scale_factor": 2, "mode": "bicubic", "align_corners": align_corners}
    ours, theirs = nn.Upsample(**options), torch.nn.Upsample(**options)
    compare(torch, ours, theirs, [values((2, 3, 4, 5), 1, "normal")], 0, orders=2)


@pytest.mark.parametrize("mode", ["bicubic", "area"])
def test_gradients_numerically(mode):
    check_gradients(lambda x: F.interpolate(x, (3, 7), mode=mode), [values((1, 2, 5, 4), 1)])


def test_the_other_cubic_is_seen(torch):
    """With a = -1/2, Keys's own choice, the numbers are others."""
    rows = interpolation_matrix(6, 9, "bicubic")
    x = values((1, 1, 6, 6), 1, "normal")
    y = torch.nn.functional.interpolate(torch.tensor(x), (9, 9), mode="bicubic").numpy()
    np.testing.assert_allclose(rows @ x @ rows.T, y, rtol=1e-12, atol=1e-12)
    bilinear = interpolation_matrix(6, 9, "bilinear")
    other = rows + 1 / 3 * (bilinear - rows)
    assert abs(other @ x @ other.T - y).max() > 1e-3


def test_what_cannot_be_is_named():
    x = Tensor(np.zeros((1, 2, 4, 5)))
    with pytest.raises(ValueError, match="align_corners is True; it has no meaning for 'area'"):
        F.interpolate(x, 3, mode="area", align_corners=True)
    with pytest.raises(ValueError, match="interpolate: both of size and scale_factor given"):
        F.interpolate(x, 3, 2.0, mode="area")
    with pytest.raises(ValueError, match="mode is 'lanczos'; it must be 'nearest', 'bilinear'"):
        F.interpolate(x, 3, mode="lanczos")
