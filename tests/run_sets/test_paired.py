"""The comparison of variants seed by seed."""

from __future__ import annotations

import math
import statistics

import pytest

from minideconv.run_sets.paired import mean_and_spread, paired_difference, t_quantile

pytestmark = pytest.mark.cpu  # numbers of the host


@pytest.mark.parametrize(
    ("degrees", "table"),
    # Any textbook's table of Student's t, two-sided 95 %.
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (10, 2.228), (30, 2.042)],
)
def test_quantiles_are_those_of_the_table(degrees, table):
    assert t_quantile(degrees) == pytest.approx(table, abs=6e-4)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_quantiles_are_those_of_scipy(level):
    stats = pytest.importorskip("scipy.stats")
    for degrees in range(1, 41):
        expected = stats.t.ppf((1 + level) / 2, degrees)
        assert t_quantile(degrees, level) == pytest.approx(expected, rel=1e-9)


def test_differences_are_paired_by_seed():
    first = {3: 0.50, 4: 0.60, 5: 0.90, 7: 0.2}
    second = {5: 0.70, 4: 0.50, 3: 0.45, 8: 0.9}
    found = paired_difference(first, second)
    differences = [0.05, 0.10, 0.20]
    assert (found.seeds, found.above) == (3, 3)
    assert found.mean == pytest.approx(statistics.mean(differences))
    half = 4.303 * statistics.stdev(differences) / math.sqrt(3)
    assert found.half_width == pytest.approx(half, rel=1e-3)
    # An unpaired comparison would have the spread of the seeds themselves in its interval.
    seeds = [first[s] for s in (3, 4, 5)]
    assert found.half_width < 4.303 * statistics.stdev(seeds) / math.sqrt(3)


def test_few_seeds():
    assert paired_difference({1: 0.5}, {2: 0.5}) is None
    one = paired_difference({1: 0.5, 2: 0.1}, {1: 0.75})
    assert (one.mean, one.half_width, one.seeds, one.above) == (-0.25, None, 1, 0)
    assert mean_and_spread([]) == (None, None)
    assert mean_and_spread([2.0]) == (2.0, None)


@pytest.mark.parametrize(("degrees", "level"), [(0, 0.95), (3, 1.0), (3, 0.0)])
def test_what_has_no_quantile_is_refused(degrees, level):
    with pytest.raises(ValueError, match=r"degrees is .* they must be at least 1 and in"):
        t_quantile(degrees, level)
