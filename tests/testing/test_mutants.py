"""The bank of mutants: named, explained, all different (that each is rejected: tests of ops)."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from minideconv import ops
from minideconv.testing import ConvGeometry, values
from minideconv.testing.mutants import Mutant, mutants

# Together these distinguish every mutant from the right function and from every other mutant.
PROBES = [
    ConvGeometry(2, 2, 3, (5, 4), (2, 3)),
    ConvGeometry(1, 1, 2, (4, 6), (3, 2), stride=(2, 3), padding=(1, 0)),
    ConvGeometry(2, 4, 2, (7, 6), (3, 2), stride=(1, 2), padding=(1, 1), dilation=(2, 1), groups=2),
    ConvGeometry(1, 2, 2, (8, 7), (3, 3), stride=(3, 2), padding=(2, 1), dilation=(1, 2)),
    ConvGeometry(2, 4, 4, (6, 5), (2, 3), stride=(3, 2), padding=(0, 2), groups=2),
]
FUNCTIONS = ("conv2d", "conv_transpose2d", "conv2d_weight_grad")


def fingerprint(of, function):
    """What the function does on the probes: shapes, dtypes, values, what it left of its input."""
    marks = []
    for seed, g in enumerate(PROBES):
        x, w = values(g.x_shape, seed, dtype=np.float32), values(g.w_shape, seed, dtype=np.float32)
        y = values(g.y_shape, seed + 9, dtype=np.float32)
        try:
            if of == "conv2d":
                out = function(x, w, values(g.c_out, 4, dtype=np.float32), **g.kwargs)
            elif of == "conv_transpose2d":
                b = values(g.c_in, 4, dtype=np.float32)
                out = function(y, w, b, **g.transpose_kwargs)
            else:
                out = function(x, y, g.kernel, **g.kwargs)
        except ValueError as error:
            marks.append(type(error).__name__)
            continue
        marks.append((out.shape, str(out.dtype), np.round(out, 3).tolist(), x.tolist()))
    return repr(marks)


@pytest.mark.parametrize("of", FUNCTIONS)
def test_all_differ_from_the_right_one_and_from_each_other(of):
    by_mark = defaultdict(list)
    by_mark[fingerprint(of, getattr(ops, of))].append("right")
    for mutant in mutants(of):
        by_mark[fingerprint(of, mutant.function)].append(mutant.name)
    assert [names for names in by_mark.values() if len(names) > 1] == []


def test_names_and_explanations():
    bank = mutants()
    assert {m.of for m in bank} == set(FUNCTIONS)
    assert len({(m.of, m.name) for m in bank}) == len(bank) >= 45
    for mutant in bank:
        assert isinstance(mutant, Mutant)
        assert mutant.name.isidentifier()
        assert mutant.explanation.endswith(".")
        assert mutant.explanation.count(".") == 1
    assert len({(m.of, m.explanation) for m in bank}) == len(bank)
