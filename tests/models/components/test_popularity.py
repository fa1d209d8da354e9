"""Decayed popularity against a naive recomputation, and after ten million events."""

from dataclasses import replace

import numpy as np
import pytest

from models.components.base import Marks, Queries
from models.components.popularity import HALF_LIVES, Popularity
from models.fold import Rows
from schemas.signals import ExposureRows, InteractionRows, ProbeRows, RewardRows


def rows(items: np.ndarray, n_items: int, ctx: int = 0, gap: float = 60.0) -> Rows:
    """Clicks of people whose history has ``ctx`` events, the newest ``gap`` seconds ago."""
    n = len(items)
    clicks = replace(
        InteractionRows.empty(),
        item=items.astype(np.int32),
        weight=np.ones(n, np.float32),
        offset=np.arange(n, dtype=np.int64),
        ctx_start=np.arange(n + 1, dtype=np.int32) * ctx,
        ctx_item=np.ones(n * ctx, np.int32),
        ctx_gap=np.full(n * ctx, gap, np.float32),
        ctx_kind=np.zeros(n * ctx, np.uint8),
    )
    return Rows(
        clicks, ExposureRows.empty(), RewardRows.empty(), ProbeRows.empty(), (), (), (), n_items=n_items
    )


def learn(popularity: Popularity, items: np.ndarray, n_items: int, ctx: int = 0, gap: float = 60.0) -> None:
    """Learn clicks."""
    popularity.learn(rows(items, n_items, ctx, gap))


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


def person(n_items: int, ctx: int, gap: float) -> Queries:
    """Somebody with a history of ``ctx`` events, the newest ``gap`` seconds ago."""
    return replace(
        stranger(n_items),
        age=np.full(1, ctx, np.int32),
        start=np.array([0, ctx], np.int32),
        item=np.ones(ctx, np.int32),
        gap=np.full(ctx, gap, np.float32),
        kind=np.zeros(ctx, np.uint8),
    )


@pytest.mark.parametrize(
    ("ctx", "gap", "first"),
    [(0, 0.0, 2), (1, 60.0, 3), (5, 60.0, 4), (20, 7200.0, 5), (20, 60.0, 6)],
)
def test_what_people_in_the_same_situation_take_leads(ctx, gap, first):
    """Strangers, newcomers, acquaintances, people back again and people in the midst see their own lists."""
    popularity = Popularity()
    for item, (n, silence) in enumerate([(0, 0.0), (1, 60.0), (5, 60.0), (20, 7200.0), (20, 60.0)], 2):
        learn(popularity, np.full(30, item), 8, n, silence)
    top, values = popularity.candidates(person(8, ctx, gap), 5)
    here = popularity.columns.index("popular_here")
    assert top[0, here].tolist() == [first, 0, 0, 0, 0]
    scores = popularity.scores(person(8, ctx, gap), np.array([0, 1], np.int32), np.array([first], np.int32))
    assert scores[0, here] == np.float32(values[0, here, 0])


def test_a_new_item_is_likely_while_all_are_and_hardly_later():
    """The odds of one given new item fall with the share of first events, and with how many there are."""
    popularity = Popularity()
    learn(popularity, np.arange(1, 101), 101)
    early = popularity.novelty(1001)
    assert early > popularity.novelty(10_001)
    learn(popularity, np.tile(np.arange(1, 101), 50), 101)
    assert popularity.novelty(1001) < early - 3.0
    assert np.isfinite(Popularity().novelty(1))
