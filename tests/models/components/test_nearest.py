"""The inverted file against a full scan, and its bookkeeping against itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.components.base import DEAD, Marks, Queries
from models.components.factors import Factors
from models.components.nearest import InvertedFile
from models.fold import FoldLog
from tests.contracts.logs import make_log
from tests.contracts.test_components import queries

D, K = 8, 10


def people(n: int, bans: list[list[int]], marks: Marks, n_items: int) -> Queries:
    """Strangers with bans."""
    start = np.concatenate([[0], np.cumsum([len(b) for b in bans])]).astype(np.int32)
    return Queries(
        user=np.zeros(n, np.uint64),
        now=np.zeros(n, np.int64),
        age=np.zeros(n, np.int32),
        start=np.zeros(n + 1, np.int32),
        item=np.zeros(0, np.int32),
        gap=np.zeros(0, np.float32),
        kind=np.zeros(0, np.uint8),
        ban_start=start,
        ban_item=np.array([i for b in bans for i in b], np.int32),
        marks=marks,
        n_items=n_items,
    )


def grown(n_items: int, seed: int, moves: int = 0, small: int = 8):
    """An index over clustered vectors, some of which have moved since they were placed."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(12, D)) * 2.0
    vectors = (centres[rng.integers(0, 12, n_items + 1)] + rng.normal(size=(n_items + 1, D))).astype(
        np.float32
    )
    bias = rng.normal(size=n_items + 1).astype(np.float32)
    index = InvertedFile(D, exact=5, small=small)
    for known in range(1, n_items + 1, 7):
        index.follow(vectors, bias, np.array([rng.integers(1, known + 1)], np.int32), known)
    for item in rng.integers(1, n_items + 1, moves).tolist():
        vectors[item] += rng.normal(size=D).astype(np.float32)
        index.follow(vectors, bias, np.array([item], np.int32), n_items)
    index.follow(vectors, bias, np.array([1], np.int32), n_items)
    return index, vectors, bias


@given(st.integers(6, 300), st.integers(0, 2**31 - 1), st.integers(0, 100))
@settings(max_examples=40)
def test_every_item_lies_in_one_cell(n_items, seed, moves):
    """After any growth and any moves: each item once, where it says it is, in cells that are not too full."""
    index, _, _ = grown(n_items, seed, moves)
    lists = [index.members[c, : index.used[c]].tolist() for c in range(index.clock[0])]
    assert sorted(i for mine in lists for i in mine) == list(range(1, n_items + 1))
    assert all(index.cell[i] == c and mine[index.place[i]] == i for c, mine in enumerate(lists) for i in mine)
    assert max(len(mine) for mine in lists) <= 8


@given(st.integers(20, 300), st.integers(0, 2**31 - 1), st.integers(0, 60))
@settings(max_examples=40)
def test_lists_are_live_unbanned_distinct_and_ranked(n_items, seed, scan):
    """However little is scanned, nothing is listed that may not be, and scores are true scores."""
    index, vectors, bias = grown(n_items, seed, moves=20)
    index.scan = (scan, 1 << 40)
    rng = np.random.default_rng(seed)
    marks = Marks()
    marks.reserve(n_items + 1)
    dead = rng.choice(np.arange(1, n_items + 1), 5, replace=False)
    marks.stamp[dead] = DEAD
    bans = [rng.choice(np.arange(1, n_items + 1), 6, replace=False).tolist() for _ in range(4)]
    who = rng.normal(size=(4, D)).astype(np.float32)
    items, values = index.candidates(who, vectors, bias, people(4, bans, marks, n_items + 1), K)
    for u in range(4):
        listed = items[u, 0][items[u, 0] > 0].tolist()
        assert len(set(listed)) == len(listed)
        assert not set(listed) & (set(bans[u]) | set(dead.tolist()))
        np.testing.assert_allclose(
            values[u, 0, : len(listed)], vectors[listed] @ who[u] + bias[listed], rtol=1e-4, atol=1e-4
        )
        assert (np.diff(values[u, 0, : len(listed)]) <= 0).all()


def test_scanning_everything_is_exact_and_a_part_is_nearly():
    """All cells give the exact list; a tenth of the items hold nine tenths of it, on clustered vectors."""
    index, vectors, bias = grown(3000, 4, moves=500, small=32)
    who = np.random.default_rng(1).normal(size=(64, D)).astype(np.float32)
    asked = people(64, [[]] * 64, Marks(), 3001)
    exact = np.argsort(-(who @ vectors[1:].T + bias[1:]), axis=1)[:, :K] + 1
    index.scan = (3000, 1 << 40)
    assert (index.candidates(who, vectors, bias, asked, K)[0][:, 0] == exact).all()
    index.scan = (300, 1 << 40)
    found = index.candidates(who, vectors, bias, asked, K)[0][:, 0]
    assert (
        np.mean([len(set(f) & set(e)) / K for f, e in zip(found.tolist(), exact.tolist(), strict=True)])
        >= 0.9
    )


def test_equal_vectors_split_too():
    """A thousand items at one point stay within their cells' limits."""
    index = InvertedFile(D, exact=5, small=8)
    vectors, bias = np.ones((1001, D), np.float32), np.zeros(1001, np.float32)
    index.follow(vectors, bias, np.array([1], np.int32), 1000)
    assert index.used.sum() == 1000
    assert index.used.max() <= 8


@pytest.mark.parametrize("exact", [10, 1000])
def test_factors_list_the_same_with_and_without_cells(exact):
    """Where a search scans all cells, its list is the full scan's; below the threshold there are none."""
    log = make_log(600, seed=5, holdout=0.0)
    lists = []
    for index in (InvertedFile(16, exact=exact, small=8), InvertedFile(16, exact=10_000)):
        fold = FoldLog([Factors(16, seed=3, index=index)])
        fold.learn(log)
        factors = fold.folds[0]
        assert factors.index.ready == (index.sizes[0] == 10)
        lists.append(factors.candidates(queries(slice(100, 164), Marks(), len(fold.items), fold.items), K))
    np.testing.assert_array_equal(lists[0][0], lists[1][0])
    np.testing.assert_allclose(lists[0][1], lists[1][1], rtol=1e-5, atol=1e-6)
