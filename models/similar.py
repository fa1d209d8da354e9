"""Items that resemble an item: lists of several kinds of evidence, merged by reciprocal rank fusion.

Each kind of evidence may have several lists (transitions: one per reach); a kind's part is the mean over
its lists of ``60 / (60 + rank)`` (Cormack, Clarke and Büttcher 2009), so that kinds count alike however
many lists they have.  The score is the sum of the parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.fusion.candidates import RRF
from schemas.signals import Float32, Float64, Int32, UInt8

CLOSE: Final = 0.2
"""Cosines below it are no resemblance: vectors of 64 dimensions that have nothing in common reach it."""
TRUSTED: Final = 5.0
"""Events at which an item's factors count for ``sqrt(1 / 2)``: before its first they are random."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Neighbours of one item, best first.

    Attributes
    ----------
    item
        Shape (n,).
    parts
        What each kind of evidence adds, shape (n, kinds).
    """

    item: Int32
    parts: Float64


def merge(lists: Sequence[Sequence[Int32]], k: int) -> Neighbours:
    """Merge the lists of each kind of evidence.

    Parameters
    ----------
    lists
        Per kind: lists of items, best first; slot 0 pads.
    k
        Items wanted; equal scores are ordered by slot.

    Examples
    --------
    >>> merge([[np.array([7, 8], np.int32)], [np.array([8], np.int32)]], 2).item
    array([8, 7], dtype=int32)
    """
    known = np.unique(np.concatenate([x for kind in lists for x in kind] or [np.zeros(0, np.int32)]))
    item = known[known > 0].astype(np.int32)
    parts = np.zeros((len(item), len(lists)))
    for column, kind in enumerate(lists):
        for found in kind:
            rank = np.flatnonzero(found) + 1.0
            parts[np.searchsorted(item, found[found > 0]), column] += RRF / (RRF + rank) / len(kind)
    best = np.lexsort((item, -parts.sum(axis=1)))[:k]
    return Neighbours(item[best], parts[best])


def nearest_factors(vectors: Float32, events: Float64, allowed: UInt8, item: int, k: int) -> Int32:
    """Items by the cosine of their factors, shrunk where they rest on few events.

    Parameters
    ----------
    vectors
        Shape (items, d).
    events, allowed
        Of each item: events behind its vector, and whether it may be listed; shape (items,).
    item
        Whose neighbours are wanted; never among them.

    Returns
    -------
    ndarray
        At most ``k`` slots, best first: those above ``CLOSE``.
    """
    norm = np.sqrt((vectors * vectors).sum(axis=1))
    if not 0 < item < len(vectors) or events[item] <= 0.0 or norm[item] <= 0.0:
        return np.zeros(0, np.int32)
    cosine = vectors @ (vectors[item] / norm[item]) / np.maximum(norm, 1e-12)
    cosine = cosine * np.sqrt(events / (events + TRUSTED))
    cosine[[0, item]] = 0.0
    good = np.flatnonzero((cosine > CLOSE) & (allowed == 1))
    return good[np.argsort(-cosine[good], kind="stable")[:k]].astype(np.int32)
