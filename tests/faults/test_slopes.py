"""The soak test's judgement: it sees a leak of the size that it promises to see, and none where none is."""

import numpy as np
import pytest

from tests.faults.slopes import MISSED, slope
from tests.faults.test_soak import BYTES_PER_EVENT, HALF, HOURS, PER_HOUR

RUNS = 2_000
EVENTS = PER_HOUR * np.arange(HALF, HOURS + 1)
NOISE = 1e6
"""Standard deviation of readings at rest, bytes: as measured on a busy machine."""


def most(leak: float, noise: np.ndarray) -> np.ndarray:
    """Upper bounds of so many bytes leaked per event under each row of noise."""
    return np.array([slope(EVENTS, 150e6 + leak * EVENTS + row).most for row in noise])


def normal() -> np.ndarray:
    """Readings that differ by chance."""
    return np.random.default_rng(5).normal(0, NOISE, (RUNS, len(EVENTS)))


def spoiled() -> np.ndarray:
    """One reading in ten, whole megabytes too high: something was under way."""
    random = np.random.default_rng(6)
    return normal() + random.exponential(8e6, (RUNS, len(EVENTS))) * (
        random.random((RUNS, len(EVENTS))) < 0.1
    )


@pytest.mark.parametrize("noise", [normal, spoiled])
def test_a_leak_of_the_bound_is_missed_as_rarely_as_stated(noise):
    missed = np.mean(most(BYTES_PER_EVENT, noise()) < BYTES_PER_EVENT)
    assert missed < MISSED + 4 * np.sqrt(MISSED / RUNS)


def test_no_leak_alarms_once_in_a_thousand_runs_or_less():
    assert np.mean(most(0.0, normal()) >= BYTES_PER_EVENT) <= 0.001


def test_a_leak_of_twice_the_bound_is_always_seen():
    assert (most(2 * BYTES_PER_EVENT, spoiled()) >= BYTES_PER_EVENT).all()


def test_a_step_that_stays_counts_as_a_rise():
    """An array that doubles, ten megabytes at once."""
    step = np.where(np.arange(len(EVENTS)) >= len(EVENTS) // 2, 10e6, 0.0)
    assert (most(0.0, normal()[:100] + step) >= BYTES_PER_EVENT).all()


def test_the_middle_slope_is_the_leak():
    found = [slope(EVENTS, 100.0 * EVENTS + row).middle for row in spoiled()[:500]]
    assert np.median(found) == pytest.approx(100.0, rel=0.05)
