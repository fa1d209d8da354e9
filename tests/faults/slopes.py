"""Whether a series rises: the line through readings that a few bad ones cannot bend, with an exact bound."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

MISSED = 0.025
"""Probability with which a slope of ``Slope.most`` or more is called smaller."""


class Slope(NamedTuple):
    """Theil and Sen's slope, and the bound that the true one exceeds in 2.5 % of all series."""

    middle: float
    most: float


def slope(x: Sequence[float], y: Sequence[float]) -> Slope:
    """The middle one of the slopes between all pairs of readings, and one further up as the bound.

    How many pairs slope less than the truth is how many pairs of the noise fall: its distribution is known
    exactly, whatever the noise, if only any order of it is as likely as any other.
    """
    first, second = np.triu_indices(len(x), 1)
    at, held = np.asarray(x, float), np.asarray(y, float)
    slopes = np.sort((held[second] - held[first]) / (at[second] - at[first]))
    return Slope(float(np.median(slopes)), float(slopes[_rank(len(x)) - 1]))


@cache
def _rank(n: int) -> int:
    """How many pairs of a random order of ``n`` fall, or more, in at most ``MISSED`` of all orders."""
    ways = np.ones(1)
    for length in range(2, n + 1):
        ways = np.convolve(ways, np.full(length, 1 / length))
    return int(np.argmax(ways[::-1].cumsum()[::-1] <= MISSED))
