"""Decayed popularity against a naive recomputation, and after ten million events."""

import numpy as np
import pytest

from models.components.base import Marks, Queries
from models.components.popularity import HALF_LIVES, Popularity, _learn


def learn(popularity: Popularity, items: np.ndarray, n_items: int) -> None:
    """Feed the kernel as one block would."""
    a = popularity.arena
    a.reserve(n_items)
    weight = np.ones(len(items), np.float32)
    _learn(
        items.astype(np.int32), weight, popularity.clock, popularity.half, a["key"], a["place"],
        a["count"], a["first"], a["last"], popularity.top, popularity.filled,
    )  # fmt: skip


def stranger(n_items: int) -> Queries:
    """Somebody of whom nothing is known."""
    return Queries(
        user=np.zeros(1, np.uint64), now=np.zeros(1, np.int64), age=np.zeros(1, np.int32),
        start=np.zeros(2, np.int32), item=np.zeros(0, np.int32), gap=np.zeros(0, np.float32),
        kind=np.zeros(0, np.uint8), ban_start=np.zeros(2, np.int32), ban_item=np.zeros(0, np.int32),
        marks=Marks(), n_items=n_items,
    )  # fmt: skip


def test_masses_equal_a_naive_sum():
    """Each item's mass is the sum of 2^(-age / half-life) over its events."""
    rng = np.random.default_rng(1)
    stream = rng.integers(1, 30, 3000)
    popularity = Popularity()
    learn(popularity, stream, 30)
    scores = popularity.scores(stranger(30), np.array([0, 29], np.int32), np.arange(1, 30, dtype=np.int32))
    for h, half in enumerate(HALF_LIVES):
        ages = len(stream) - 1 - np.arange(len(stream))
        naive = [np.sum(2.0 ** (-ages[stream == i] / half)) for i in range(1, 30)]
        np.testing.assert_allclose(scores[:, h], np.log2(naive), atol=1e-3)


def test_top_lists_are_exact_at_all_times():
    """The incrementally kept list is the sorted list, after every event."""
    rng = np.random.default_rng(2)
    popularity = Popularity()
    for item in rng.zipf(1.3, 500) % 60 + 1:
        learn(popularity, np.array([item]), 61)
        top, _ = popularity.candidates(stranger(61), 60)
        for h in range(len(HALF_LIVES)):
            keys = popularity.arena["key"][1:61, h]
            listed = top[0, h][top[0, h] > 0]
            assert len(listed) == np.isfinite(keys).sum()
            assert (np.diff(popularity.arena["key"][listed, h]) <= 0).all()


@pytest.mark.slow
def test_ten_million_events_overflow_nothing():
    """The float32 trap: a growing weight overflows after 128 half-lives; keys do not, and still rank."""
    rng = np.random.default_rng(3)
    popularity = Popularity()
    for _ in range(10):
        learn(popularity, rng.integers(1, 50, 1_000_000), 51)
    learn(popularity, np.full(50, 7), 51)
    scores = popularity.scores(stranger(51), np.array([0, 50], np.int32), np.arange(1, 51, dtype=np.int32))
    assert np.isfinite(scores).all()
    top, values = popularity.candidates(stranger(51), 10)
    assert top[0, 0, 0] == 7
    assert np.isfinite(values).all()
