"""The bank of pooling, unpooling and batch norm: every mistake caught, named, shown small."""

from __future__ import annotations

import time

import pytest

from minideconv.testing import OperationError, check_op, replay
from minideconv.testing.checking.calls import local_call
from minideconv.testing.checking.replay import case_from_text
from minideconv.testing.checking.shrink import largest_axis
from minideconv.testing.checking.sizes import name_all
from minideconv.testing.mistakes import mistakes
from minideconv.testing.operations import OPERATIONS

pytestmark = pytest.mark.cpu

NAMES = ("max_pool2d", "max_pool2d_backward", "max_unpool2d", "max_unpool2d_backward",
         "batch_norm", "batch_norm_backward")  # fmt: skip
BANK = [m for name in NAMES for m in mistakes(name)]
EVERY = [pytest.param(m, id=f"{m.operation} {m.output} {m.name}") for m in BANK]


def failure_of(mistake):
    with pytest.raises(OperationError) as caught:
        check_op(mistake.implementation(), mistake.operation, beside=mistake.functions())
    failure = next(o.failure for o in caught.value.report.outcomes if o.failure)
    return failure, str(caught.value)[:500]


@pytest.mark.parametrize("mistake", EVERY)
def test_every_mistake_is_caught_named_and_shown_small(mistake):
    start = time.process_time()
    failure, head = failure_of(mistake)
    assert time.process_time() - start < 3
    assert failure.mistakes == (mistake.name,)
    assert mistake.name in head
    assert "must be" in head
    assert len(failure.text()) < 900
    text = failure.replay.split("'")[1]
    assert "must be" in replay(mistake.implementation(), text, beside=mistake.functions())
    _, case = case_from_text(text)
    assert largest_axis(case) <= 4
