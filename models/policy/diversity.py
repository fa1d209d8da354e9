"""Likeness to the slots above: the penalty of maximal marginal relevance.

Carbonell and Goldstein 1998: an item's utility is lowered by ``λ`` times its largest similarity to what
stands above it.  Similarity is the inner product of unit vectors, 0 where negative or unknown.
"""

import numpy as np

from models.jit import fast_kernel, kernel
from schemas.signals import Float32, Float64, Int32


@kernel
def like(vectors: Float32, one: int, slots: Int32, given: Float32, j: int, row: Float32) -> bool:
    """Fill the similarity row of slot ``j``'s item; False if nothing is known."""
    if len(given):
        row[:] = given[j, : len(row)]
        return True
    if len(vectors):
        _likeness(vectors, one, slots, row)
        return True
    return False


@fast_kernel
def _likeness(vectors: Float32, one: int, slots: Int32, row: Float32) -> None:
    """Inner products of one vector with many, 0 where negative or unknown, at most 1."""
    for i in range(len(slots)):
        total = np.float32(0.0)
        if 0 < one < len(vectors) and slots[i] < len(vectors):
            for d in range(vectors.shape[1]):
                total += vectors[one, d] * vectors[slots[i], d]
        row[i] = min(max(total, np.float32(0.0)), np.float32(1.0))


@kernel
def penalise(utility: Float64, row: Float32, lam: float, likeness: Float32, score: Float64) -> bool:
    """Lower scores by the likeness to one more slot; whether any changed."""
    changed = False
    for i in range(len(row)):
        if row[i] > likeness[i]:
            likeness[i] = row[i]
            score[i] = utility[i] + -lam * np.float64(row[i])  # the order in which the parts are added
            changed = True
    return changed
