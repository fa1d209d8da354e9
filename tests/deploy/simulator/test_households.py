"""Households buy as they did, round and round, and their future is known."""

from itertools import islice

import numpy as np
import pytest

from deploy.datasets.complete_journey import CompleteJourney
from deploy.simulator.households import DAY, WEEK, YEAR, Households
from schemas.errors import InvalidMessageError


def test_relevance_is_what_is_bought_within_the_horizon(households: Households) -> None:
    """On day 5 household 0 will buy p1 (a tea) in 5 days; p2 is 25 days away, beyond the horizon of 21."""
    ids = ["p0", "p1", "p2", "p3", "unheard of"]
    assert households.relevance(0, 0, 5 * DAY, ids).tolist() == [1, 2, 0, 0, 0]
    assert households.relevance(0, 0, 12 * DAY, ids).tolist() == [0, 0, 2, 1, 0]


def test_the_future_wraps_around_the_year(households: Households) -> None:
    """At the end of the ring, the first days of the next round are near."""
    assert households.relevance(0, 0, YEAR - 5 * DAY, ["p0", "p1", "p2"]).tolist() == [2, 2, 0]
    assert households.relevance(0, 0, 3 * YEAR + 5 * DAY, ["p1"]).tolist() == [2]


def test_trips_are_the_real_ones_in_order_and_without_end(households: Households) -> None:
    """Same days, same products, again in the next round."""
    days = [t.seconds // DAY for t in islice(households.trips(0), 7)]
    assert days == [0, 0, 10, 30, 100, YEAR // DAY, YEAR // DAY]
    later = next(households.trips(20 * DAY))
    assert (later.seconds // DAY, later.household, later.lines.tolist()) == (30, 0, [3])


def test_trips_carry_only_the_assortment(tiny: CompleteJourney) -> None:
    """What the shop does not stock is not bought there, but stays a need."""
    households = Households(tiny, np.array([0], np.int32), horizon_days=21)
    assert [t.seconds // DAY for t in islice(households.trips(0), 2)] == [0, 100]
    assert households.relevance(0, 0, 5 * DAY, ["p0", "p1"]).tolist() == [1, 2]


def test_clones_live_the_same_year_shifted(tiny: CompleteJourney) -> None:
    """Twice the trips; a clone's trip and its future are its original's, weeks later."""
    households = Households(tiny, np.arange(4, dtype=np.int32), clones=2, horizon_days=21)
    year = list(islice(households.trips(0), 10))
    shift = next(t.seconds for t in year if t.clone == 1 and t.household == 0)
    assert shift % WEEK == 0
    assert shift > 0
    assert (
        sorted((t.household, t.clone) for t in year)
        == [(0, 0)] * 3 + [(0, 1)] * 3 + [(1, 0)] * 2 + [(1, 1)] * 2
    )
    assert households.relevance(0, 1, shift + 5 * DAY, ["p0", "p1", "p2"]).tolist() == [1, 2, 0]
    assert households.user_id(0, 1) != households.user_id(0, 0)


@pytest.mark.parametrize(("clones", "horizon"), [(0, 21), (1, 0), (1, 365)])
def test_impossible_lives_are_refused(tiny: CompleteJourney, clones: int, horizon: int) -> None:
    """No clones at all, or a future longer than the ring."""
    with pytest.raises(InvalidMessageError, match="give"):
        Households(tiny, np.arange(4, dtype=np.int32), clones=clones, horizon_days=horizon)


def test_the_real_year_has_every_line_once(real_households: Households) -> None:
    """Over one ring, the trips' lines are exactly the real purchases of the assortment."""
    journey = real_households.journey
    stocked = np.isin(journey.product, journey.assortment(500)) & (journey.quantity > 0)
    seen: list[int] = []
    for trip in real_households.trips(0):
        if trip.seconds >= YEAR:
            break
        seen += trip.lines.tolist()
        assert (journey.household[trip.lines] == trip.household).all()
    assert sorted(seen) == np.flatnonzero(stocked).tolist()
