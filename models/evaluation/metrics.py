"""Metrics of ranked lists against the one item that came, with intervals by a bootstrap over people."""

from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.signals import Float64, Int32

METRICS: Final = ("HR@10", "NDCG@10", "MRR@100", "DCG@100")
NDCG: Final = METRICS.index("NDCG@10")
SEGMENTS: Final = ("all", "last50", "cold_user", "cold_item", "warm", "new_item")
ROUNDS: Final = 200
SEED: Final = 7


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


def in_order_of_appearance(person: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """The same people, numbered from 0 as they first appear.

    Examples
    --------
    >>> in_order_of_appearance(np.array([7, 3, 7, 5])).tolist()
    [0, 1, 0, 2]
    """
    _, first, inverse = np.unique(person, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def intervals(value: Float64, person: npt.NDArray[np.integer], seed: int = SEED) -> Float64:
    """95 % intervals of means over events, by resampling people with all their events.

    All columns see the same resamples, so a difference of two of them is a paired one.

    Parameters
    ----------
    value
        Per event, shape (n, columns).
    person
        Per event, shape (n,).

    Returns
    -------
    ndarray
        Lower and upper ends, shape (columns, 2); zeros without an event.

    Notes
    -----
    200 resamples from the generator, in the order and with the ranks (6th and 195th) of the outside
    referee, so that both give the same digits.
    """
    columns = value.shape[1]
    if not len(value):
        return np.zeros((columns, 2))
    code = in_order_of_appearance(person)
    counts = np.bincount(code).astype(np.float64)
    totals = np.stack([np.bincount(code, weights=value[:, c]) for c in range(columns)], axis=1)
    people, draw = len(counts), np.random.RandomState([seed])
    means = np.empty((ROUNDS, columns))
    for b in range(ROUNDS):
        pick = (draw.random_sample(people) * people).astype(np.intp)
        times = np.bincount(pick, minlength=people).astype(np.float64)
        means[b] = (times @ totals) / (times @ counts)
    means.sort(axis=0)
    return means[[int(0.025 * ROUNDS), int(0.975 * ROUNDS) - 1]].T


def interval(value: Float64, person: npt.NDArray[np.integer], seed: int = SEED) -> tuple[float, float]:
    """``intervals`` of one column, shape (n,)."""
    low, high = intervals(value[:, None], person, seed)[0]
    return float(low), float(high)
