"""Cross entropy: equal to PyTorch's in float64, losses and gradients, over all options."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minideconv import Tensor
from minideconv import functional as F
from minideconv.testing import seeds, values

many = settings(max_examples=200)


@st.composite
def cases(draw):
    """Shape (N, C), (N, C, H, W) or other numbers of axes, and every option there is."""
    space = tuple(draw(st.lists(st.integers(1, 5), max_size=3)))
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 7)), *space)
    options = {
        "ignore_index": draw(st.sampled_from([255, -100, 0, 2])),
        "reduction": draw(st.sampled_from(["mean", "sum", "none"])),
        "label_smoothing": draw(st.just(0.0) | st.floats(0, 1)),
    }
    return shape, draw(st.sampled_from([0.0, 0.4])), draw(st.booleans()), options


@many
@given(cases(), seeds())
def test_cross_entropy(torch, case, seed):
    shape, ignored, weighted, options = case
    rng = np.random.default_rng(seed)
    z = 3 * rng.standard_normal(shape)
    t = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    t[rng.random(t.shape) < ignored] = options["ignore_index"]
    w = rng.uniform(0.1, 3, shape[1]) if weighted else None

    mine, theirs = Tensor(z.copy(), requires_grad=True), torch.tensor(z, requires_grad=True)
    loss = F.cross_entropy(mine, t, w, **options)
    want = torch.nn.functional.cross_entropy(
        theirs, torch.tensor(t), None if w is None else torch.tensor(w), **options
    )
    dloss = values(loss.shape, seed, "normal")
    loss.backward(Tensor(dloss))
    want.backward(torch.tensor(dloss))
    if (t == options["ignore_index"]).all():
        # The one place where we differ: PyTorch's mean over nothing is NaN.
        assert not loss.numpy().any()
        assert not mine.grad.numpy().any()
        assert options["reduction"] != "mean" or want.isnan()
    else:
        np.testing.assert_allclose(loss.numpy(), want.detach().numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(mine.grad.numpy(), theirs.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.long_on_fakecuda
@pytest.mark.parametrize("weighted", [False, True])
def test_a_float32_batch_of_segmentation_scores(torch, weighted):
    """The shape of training: the mean over 60,000 pixels, in float32, uint8 labels with void."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((4, 21, 120, 125), dtype=np.float32)
    t = rng.integers(0, 21, (4, 120, 125)).astype(np.uint8)
    t[rng.random(t.shape) < 0.05] = 255
    w = rng.uniform(0.5, 2, 21).astype(np.float32) if weighted else None
    mine, theirs = Tensor(z, requires_grad=True), torch.tensor(z, requires_grad=True)
    loss = F.cross_entropy(mine, t, w)
    loss.backward()
    want = torch.nn.functional.cross_entropy(
        theirs,
        torch.tensor(t.astype(np.int64)),
        None if w is None else torch.tensor(w),
        ignore_index=255,
    )
    want.backward()
    assert loss.dtype == np.float32
    assert mine.grad.dtype == np.float32
    np.testing.assert_allclose(loss.item(), want.item(), rtol=1e-5)
    np.testing.assert_allclose(mine.grad.numpy(), theirs.grad.numpy(), rtol=1e-4, atol=1e-10)


def test_pytorch_refuses_the_labels_that_we_refuse(torch):
    z = np.zeros((3, 4))
    for wrong in (4, -1, 254):
        t = np.array([0, wrong, 255])
        with pytest.raises(ValueError, match=rf"1 labels outside 0\.\.3 .*: {wrong} \(1 times\)"):
            F.cross_entropy(Tensor(z), t)
        with pytest.raises(IndexError, match=f"Target {wrong} is out of bounds"):
            torch.nn.functional.cross_entropy(torch.tensor(z), torch.tensor(t), ignore_index=255)
