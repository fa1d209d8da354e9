"""Rising items: more attention of late than they usually get, beyond chance.

Method: upper-tail Poisson tests per item, by Chernoff's bound, corrected for their number (Bonferroni).
Popularity keeps exponentially decayed masses; the one of the longest half-life says what an item usually
gets, the shorter ones what it got of late: a burst shows at the shortest, a slow rise at the next.  A
decayed sum with weights ``w`` behaves like ``sum(w) / sum(w ** 2)`` times as many whole events, so both
are scaled by this; then, with ``y`` events where ``e`` were expected,
``P(Y >= y) <= exp(-(y * log(y / e) - y + e))``.

So one event is no trend: it is less than ``FLOOR`` recent events, and of many items some have one event by
chance.  What everybody does more of is no trend either: shares of the stream are compared, not counts.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from schemas.signals import Float64, Int32

ALARM: Final = 0.05
"""Probability that any item at all is called rising in a stream where none is."""
FLOOR: Final = 3.0
"""Recent events below which nothing is called a trend."""


@dataclass(frozen=True, slots=True)
class Rising:
    """Items beyond chance, the surest first; columns of shape (n,).

    Attributes
    ----------
    item
        Slots.
    evidence
        ``-log10`` of the bound, above 0.
    recent, usual
        Decayed events of late, and how many were expected, at the half-life of the most evidence.
    """

    item: Int32
    evidence: Float64
    recent: Float64
    usual: Float64


def rising(mass: Float64, half: Float64, events: int) -> Rising:
    """Find them.

    Parameters
    ----------
    mass
        Decayed events of every item at each half-life, shape (items, h); row 0 is nobody.
    half
        The half-lives, in events of the stream, ascending, shape (h,); the last says what is usual.
    events
        Of the stream so far.

    Examples
    --------
    >>> mass = np.array([[0.0, 0.0], [20.0, 40.0], [20.0, 4000.0], [1.0, 1.0]])
    >>> rising(mass, np.array([200.0, 30_000.0]), 100_000).item
    array([1], dtype=int32)
    """
    weights, squares = totals(half, events), totals(half / 2.0, events)
    known = np.flatnonzero(mass[:, -1] > 0.0)
    recent, usual = mass[known, :-1], mass[known, -1:] * (weights[:-1] / max(weights[-1], 1.0))
    scale = weights[:-1] / np.maximum(squares[:-1], 1e-12)
    y, e = recent * scale, usual * scale
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = np.where((y > e) & (recent >= FLOOR), y * np.log(y / e) - y + e, 0.0)
    rows, at = np.arange(len(known)), bound.argmax(axis=1)
    best = bound[rows, at]
    sure = np.flatnonzero(best > np.log(max(bound.size, 1) / ALARM))
    sure = sure[np.lexsort((known[sure], -best[sure]))]
    at = at[sure]
    return Rising(known[sure].astype(np.int32), best[sure] / np.log(10.0), recent[sure, at], usual[sure, at])


def totals(half: Float64, events: int) -> Float64:
    """Decayed number of all events so far, at each half-life.

    Examples
    --------
    >>> totals(np.array([1.0, 1e9]), 1000).round()
    array([   2., 1000.])
    """
    keep = 0.5 ** (1.0 / half)
    return np.asarray((1.0 - keep**events) / (1.0 - keep))
