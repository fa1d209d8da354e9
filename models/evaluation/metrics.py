"""Metrics of ranked lists against the one item that came, with intervals by a bootstrap over people."""

from typing import Final

import numpy as np

from schemas.signals import Float64, Int32

METRICS: Final = ("HR@10", "NDCG@10", "MRR@100", "DCG@100")
SEGMENTS: Final = ("all", "last50", "cold_user", "cold_item", "warm", "new_item")
ROUNDS: Final = 200


def credit(rank: Int32) -> Float64:
    """Metrics of ranks, shape (n, 4); rank 0 means "not listed".

    Examples
    --------
    >>> credit(np.array([1, 3, 50, 0], np.int32)).round(2).tolist()
    [[1.0, 1.0, 1.0, 1.0], [1.0, 0.5, 0.33, 0.5], [0.0, 0.0, 0.02, 0.18], [0.0, 0.0, 0.0, 0.0]]
    """
    listed = (rank > 0) & (rank <= 100)
    top = (rank > 0) & (rank <= 10)
    r = np.maximum(rank, 1).astype(np.float64)
    gain = 1.0 / np.log2(r + 1.0)
    return np.stack([top * 1.0, top * gain, listed / r, listed * gain], axis=1)


def interval(value: Float64, person: Int32, seed: int = 7) -> tuple[float, float]:
    """95 % interval of a mean over events, by resampling people with all their events.

    Parameters
    ----------
    value, person
        Per event, shape (n,).
    """
    if not len(value):
        return 0.0, 0.0
    totals = np.bincount(person, weights=value)
    counts = np.bincount(person)
    totals, counts = totals[counts > 0], counts[counts > 0]
    rng = np.random.default_rng(seed)
    means = np.empty(ROUNDS)
    for b in range(ROUNDS):
        pick = rng.integers(0, len(counts), len(counts))
        means[b] = totals[pick].sum() / counts[pick].sum()
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
