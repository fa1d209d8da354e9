"""The dial between relevance and variety: what it moves, what it must leave alone."""

from dataclasses import replace

import numpy as np
import pytest

from models.policy.decide import decide
from models.policy.propensity import recompute
from models.policy.variety import strengths
from tests.models.policy.lists import asks, catalogue, of_parts, scored, shelf, view
from tests.models.policy.test_decide import STAMP, full

COLD = {"epsilon": 0.0, "temperature": 0.0, "thompson": 0.0}
DIALS = (0.0, 0.05, 0.2, 0.5, 1.0)


def drawn(variety: float, lists, k: int = 5, where=None):
    """Greedy lists of one batch."""
    out = decide(
        view(variety=variety, **COLD),
        asks(len(lists), k),
        lists,
        items=catalogue(200),
        stamp=STAMP,
        shelf=where or shelf(200),
    )
    return [d.recommendation.items for d in out]


def test_the_dial_moves_along_a_curve() -> None:
    """Turned up: never more popular, never more alike, never more useful on average; 0 is the ranking."""
    lists = scored(40, 100, seed=5)
    lists = replace(lists, control=np.abs(lists.control) * 3)
    popularity = {(n, f"item-{s}"): c for n, s, c in _rows(lists, lists.control)}
    utility = {(n, f"item-{s}"): u for n, s, u in _rows(lists, lists.utility)}
    vectors = shelf(200).vectors
    course = []
    for dial in DIALS:
        shown = drawn(dial, lists)
        slots = [[int(i.item_id.removeprefix("item-")) for i in items] for items in shown]
        alike = [np.clip(vectors[s] @ vectors[s].T, 0, 1)[np.triu_indices(5, 1)].mean() for s in slots]
        means = [np.mean([t[n, i.item_id] for n, items in enumerate(shown) for i in items])
                 for t in (popularity, utility)]  # fmt: skip
        course.append((float(np.mean(alike)), *map(float, means)))
    for column in np.array(course).T:
        assert (np.diff(column) <= 1e-9).all()
        assert column[-1] < column[0]
    plain = [[i.item_id for i in items] for items in drawn(0.0, lists)]
    best = [np.argsort(-lists.utility[a : a + 100])[:5] + a for a in range(0, 4000, 100)]
    assert plain == [[f"item-{lists.slot[row]}" for row in rows] for rows in best]


def _rows(lists, values):
    who = np.repeat(np.arange(len(lists)), np.diff(lists.list_start))
    return zip(who.tolist(), lists.slot.tolist(), values.tolist(), strict=True)


def test_novelty_is_the_discount_of_log_popularity() -> None:
    """Its part is minus the strength times the control's score, of the treatment alone."""
    lists = of_parts(1, [1, 2], [[1.0], [0.9]], control=[3.0, 0.5])
    items = drawn(0.5, lists, k=2)[0]
    assert [i.item_id for i in items] == ["item-2", "item-1"]
    by = strengths(0.5).popularity
    assert [i.parts["novelty"] for i in items] == [-by * 0.5, -by * 3.0]
    out = decide(view(variety=1.0).on_safe(), asks(1, 2), lists, items=catalogue(3), stamp=STAMP)
    assert "novelty" not in out[0].recommendation.items[0].parts


@pytest.mark.parametrize("variety", DIALS)
def test_probabilities_stay_exact(variety: float) -> None:
    """Wherever the dial stands, logged probabilities recompute bit for bit and parts add up."""
    for decision in full(n=16, k=8, v=view(variety=variety)):
        items = decision.recommendation.items
        assert decision.context is not None
        again = recompute(decision.context, items)
        assert again.propensity == tuple(i.propensity for i in items)
        assert all(sum(i.parts.values()) == i.score for i in items)
