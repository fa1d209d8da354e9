"""The contract of every component: proposals are honest, ranked, bounded and the same for every batch."""

from dataclasses import replace

import numpy as np
import pytest

from models.components.base import Component, Marks, Queries
from models.fold import FoldLog
from schemas.signals import Cover
from tests.contracts.factories import FACTORIES
from tests.contracts.logs import N_ITEMS, make_log

COMPONENTS = [kind for kind in FACTORIES if hasattr(kind, "candidates") and hasattr(kind, "scores")]
LOG = make_log(600, seed=5, holdout=0.0)
K = 12


def queries(rows: slice, marks: Marks, n_items: int, items) -> Queries:
    """People as they stood before some interactions of the log."""
    x = LOG.interactions
    picked = range(len(x))[rows]
    history = [x.ctx_item[x.ctx_start[i] : x.ctx_start[i + 1]] for i in picked]
    gaps = [x.ctx_gap[x.ctx_start[i] : x.ctx_start[i + 1]] for i in picked]
    start = np.concatenate([[0], np.cumsum([len(h) for h in history])]).astype(np.int32)
    slots = items.lookup_many(LOG.items)
    item = slots[np.concatenate([*history, np.zeros(0, np.int32)]).astype(np.int64)]
    bans = [np.unique(slots[h])[:5] for h in history]
    return Queries(
        user=x.user[rows],
        now=x.ts[rows],
        age=x.age[rows],
        start=start,
        item=item.astype(np.int32),
        gap=np.concatenate([*gaps, np.zeros(0, np.float32)]),
        kind=np.ones(len(item), np.uint8),
        ban_start=np.concatenate([[0], np.cumsum([len(b) for b in bans])]).astype(np.int32),
        ban_item=np.concatenate([*bans, np.zeros(0, np.int32)]).astype(np.int32),
        marks=marks,
        n_items=n_items,
    )


@pytest.fixture(params=COMPONENTS, ids=lambda k: k.__name__)
def learned(request):
    """A component that learned the log, and the items' slots."""
    log = FoldLog([FACTORIES[request.param]()])
    log.learn(LOG)
    return log.folds[0], log.items


def test_components_are_found():
    """All four learning components stand under the contract and satisfy the protocol."""
    assert {k.__name__ for k in COMPONENTS} == {"Popularity", "Transitions", "Factors", "Repeats"}
    assert all(isinstance(FACTORIES[k](), Component) for k in COMPONENTS)


def test_lists_are_ranked_distinct_and_respect_bans(learned):
    """Every list is sorted, has no item twice, none that is banned, and only known items."""
    component, items = learned
    q = queries(slice(100, 164), Marks(), len(items), items)
    top, values = component.candidates(q, K)
    assert top.shape == values.shape == (64, len(component.columns), K)
    assert (top > 0).any()
    for u in range(64):
        banned = set(q.ban_item[q.ban_start[u] : q.ban_start[u + 1]].tolist())
        for c in range(top.shape[1]):
            listed = top[u, c][top[u, c] > 0]
            assert len(set(listed.tolist())) == len(listed)
            assert not banned & set(listed.tolist())
            assert (np.diff(values[u, c][: len(listed)]) <= 0).all()
            assert listed.max(initial=0) < len(items)


def test_scores_agree_with_lists(learned):
    """Scoring the listed items gives the values that the list was ranked by."""
    component, items = learned
    q = queries(slice(200, 232), Marks(), len(items), items)
    top, values = component.candidates(q, K)
    for c in range(top.shape[1]):
        lists = [row[row > 0] for row in top[:, c]]
        start = np.concatenate([[0], np.cumsum([len(x) for x in lists])]).astype(np.int32)
        scores = component.scores(q, start, np.concatenate(lists).astype(np.int32))
        assert scores.shape == (start[-1], len(component.columns) + len(component.extras))
        expected = np.concatenate([values[u, c][: len(x)] for u, x in enumerate(lists)])
        np.testing.assert_allclose(scores[:, c], expected, rtol=1e-5, atol=1e-6)


def test_nobody_depends_on_the_rest_of_the_batch(learned):
    """A person's list and scores are the same alone, in a batch, and in the other order."""
    component, items = learned
    together = component.candidates(queries(slice(100, 120), Marks(), len(items), items), K)
    for n, row in enumerate(range(100, 120)):
        alone = component.candidates(queries(slice(row, row + 1), Marks(), len(items), items), K)
        np.testing.assert_array_equal(alone[0][0], together[0][n])
        np.testing.assert_array_equal(alone[1][0], together[1][n])


def test_strangers_and_unknown_items_are_harmless(learned):
    """No history, unknown items in the history, and unknown candidates give finite scores."""
    component, items = learned
    n = 3
    q = Queries(
        user=np.zeros(n, np.uint64),
        now=np.zeros(n, np.int64),
        age=np.zeros(n, np.int32),
        start=np.array([0, 0, 2, 3], np.int32),
        item=np.zeros(3, np.int32),
        gap=np.zeros(3, np.float32),
        kind=np.ones(3, np.uint8),
        ban_start=np.zeros(n + 1, np.int32),
        ban_item=np.zeros(0, np.int32),
        marks=Marks(),
        n_items=len(items),
    )
    component.candidates(q, K)
    scores = component.scores(q, np.array([0, 2, 4, 6], np.int32), np.array([0, 1, 0, 2, 0, 3], np.int32))
    assert np.isfinite(scores).all()


def test_an_empty_component_answers():
    """Before the first event every component gives empty lists and finite scores."""
    for kind in COMPONENTS:
        component = FACTORIES[kind]()
        q = Queries(
            user=np.zeros(1, np.uint64),
            now=np.zeros(1, np.int64),
            age=np.zeros(1, np.int32),
            start=np.zeros(2, np.int32),
            item=np.zeros(0, np.int32),
            gap=np.zeros(0, np.float32),
            kind=np.zeros(0, np.uint8),
            ban_start=np.zeros(2, np.int32),
            ban_item=np.zeros(0, np.int32),
            marks=Marks(),
            n_items=1,
        )
        top, _ = component.candidates(q, K)
        assert (top == 0).all()
        assert np.isfinite(component.scores(q, np.array([0, 1], np.int32), np.zeros(1, np.int32))).all()


def test_memory_is_bounded_by_items(learned):
    """Ten times as many events of the same items do not make a snapshot grow beyond its items' bound."""
    component, _ = learned
    log = FoldLog([component])
    sizes = []
    for turn in range(4):
        again = make_log(600, seed=turn, holdout=0.0)
        block = replace(again, cover=Cover(turn, 0, -1, 599))
        log.learn(block)
        sizes.append(len(component.snapshot()))
    assert sizes[-1] <= 2 * sizes[0] + 4096 * N_ITEMS
