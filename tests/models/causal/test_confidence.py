"""Intervals: what they hold and refuse."""

import pytest

from models.causal.confidence import difference, lift, rho_squared


def test_lift_is_the_difference_over_the_holdouts_rate() -> None:
    """Both are centred on the observed rates, and both contain their estimate."""
    events, persons = (1200, 100), (20_000, 2_000)
    absolute, relative = difference(events, persons, 0.05), lift(events, persons, 0.05)
    assert absolute.estimate == pytest.approx(0.06 - 0.05)
    assert relative.estimate == pytest.approx(absolute.estimate / 0.05)
    assert relative.lower < relative.estimate < relative.upper


def test_a_smaller_alpha_is_a_wider_interval() -> None:
    """More certainty costs width."""
    wide, narrow = (lift((1200, 100), (20_000, 2_000), a) for a in (0.01, 0.05))
    assert wide.upper - wide.lower > narrow.upper - narrow.lower


def test_more_people_are_a_narrower_interval() -> None:
    """Four times the people, about half the width."""
    small, large = (lift((120 * k, 100 * k), (2_000 * k, 2_000 * k), 0.05) for k in (4, 16))
    assert 1.5 < (small.upper - small.lower) / (large.upper - large.lower) < 2.5


def test_empty_arms_are_refused() -> None:
    """No persons, no rate; no events, no relative lift."""
    with pytest.raises(ValueError, match="persons"):
        difference((0, 0), (10, 0), 0.05)
    with pytest.raises(ValueError, match="holdout"):
        lift((1, 0), (10, 10), 0.05)
    with pytest.raises(ValueError, match="alpha"):
        rho_squared(1000, 1.5)
