"""All mistakes set beside a result at once: none is left out that a careful comparison takes."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.testing.checking.named import is_equal
from minideconv.testing.checking.probing import usual_probes
from minideconv.testing.checking.stacks import harmless, near
from minideconv.testing.mistakes import ways
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.operations.operation import Expected

pytestmark = pytest.mark.cpu


@pytest.mark.parametrize(
    ("name", "output"), [("conv_matrix", "A"), ("batch_norm", "y"), ("max_unpool2d", "x")]
)
def test_no_mistake_that_explains_a_result_is_left_out(name, output):
    operation, bank = OPERATIONS[name], ways(name, output)
    rounded = 1 + np.finfo(np.float64).eps
    with np.errstate(all="ignore"):
        for probe in usual_probes(operation)[:3]:
            terms = probe.right[output].terms
            size = float(np.max(terms, initial=0))
            for mistake in bank:
                got = probe.value(mistake)
                if got is None:
                    continue
                got = got * rounded
                found = set(near(probe, bank, got, size))
                for place, other in enumerate(bank):
                    value = probe.value(other)
                    if value is not None and value.shape == got.shape and place not in found:
                        assert not is_equal(got, Expected(value, terms), operation.exact)


def test_what_does_no_harm_is_what_is_right():
    operation, bank = OPERATIONS["conv_matrix"], ways("conv_matrix", "A")
    for probe in usual_probes(operation)[:6]:
        right = probe.right["A"]
        values = [probe.value(mistake) for mistake in bank]
        wanted = [v is not None and is_equal(v, right, operation.exact) for v in values]
        assert harmless(probe, bank, "A", operation.exact).tolist() == wanted
        assert not all(wanted)


def test_far_values_are_left_out():
    bank = ways("conv2d", "y")
    probe = max(usual_probes(OPERATIONS["conv2d"]), key=lambda p: p.right["y"].value.size)
    right = probe.right["y"]
    assert len(near(probe, bank, right.value, float(right.terms.max()))) < len(bank) / 2
    assert len(near(probe, bank, right.value[:, :, :0], 1.0)) == 0
