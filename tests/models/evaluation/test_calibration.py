"""Reliability and margins of the fused head."""

import numpy as np
import pytest

from models.evaluation.calibration import Reliability, softmax
from models.evaluation.margins import Margins


def simulated(sharper, tests=4000):
    """Items drawn from a softmax, predicted by one whose utilities are multiplied by ``sharper``."""
    rng, reliability = np.random.default_rng(2), Reliability()
    for _ in range(tests):
        utility = rng.normal(0, 1.5, 20)
        target = int(rng.choice(20, p=softmax(utility)))
        reliability.add(softmax(sharper * utility), target)
    return [row for row in reliability.table() if row["n"] >= 200]


def test_true_probabilities_lie_on_the_diagonal():
    """Of about 15 bins at most 3 intervals miss the mean prediction (binomial, 2e-3)."""
    bins = simulated(1.0)
    assert len(bins) >= 10
    assert sum(not b["low"] <= b["predicted"] <= b["high"] for b in bins) <= 3


def test_overconfidence_shows():
    """Utilities twice too large promise more at the top, and less at the bottom, than comes."""
    bins = simulated(2.0)
    assert bins[-1]["observed"] < 0.8 * bins[-1]["predicted"]
    assert bins[0]["observed"] > 2.0 * bins[0]["predicted"]


def test_only_tests_whose_item_was_a_candidate_count():
    """The share tells how many those are."""
    reliability = Reliability()
    reliability.add(np.array([1.0]), 0)
    reliability.add(np.array([0.5, 0.5]), -1)
    assert reliability.share == 0.5
    assert [(b["predicted"], b["observed"], b["n"]) for b in reliability.table()] == [(1.0, 1.0, 1.0)]


def test_softmax_of_large_utilities_is_finite():
    """Only differences matter."""
    assert softmax(np.array([1e4, 1e4])) == pytest.approx([0.5, 0.5])


def test_margins_are_sums_of_their_parts():
    """Shares add up to the whole margin of the items that came; a miss adds nothing."""
    rng, margins, whole = np.random.default_rng(4), Margins(("a", "b", "c")), 0.0
    for _ in range(50):
        parts = rng.normal(0, 1, (8, 3))
        probability = softmax(parts.sum(axis=1))
        target = int(rng.choice(8, p=probability))
        margins.add(parts, target)
        margins.add(parts, -1)
        utility = parts.sum(axis=1)
        whole += utility[target] - utility.mean()
    assert margins.total.sum() == pytest.approx(whole)
    shares = margins.shares()
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert Margins(("a",)).shares() == {}
