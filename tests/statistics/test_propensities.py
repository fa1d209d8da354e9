"""Logged probabilities are frequencies, and weights made of them are unbiased."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from scipy import stats

from models.policy.decide import Stamp, decide
from models.policy.propensity import recompute
from models.policy.rules import Rules
from models.policy.variety import LIKENESS
from tests.models.policy.lists import Ask, catalogue, scored, shelf, view

ALARM = 1e-6
"""False-alarm probability of each test here, under the null that propensities are right."""
N = 20_000
ITEMS = 7


def repeated(n: int, k: int, v, *, d: int = 8):
    """The same candidates, drawn ``n`` times under different triggers."""
    one = scored(1, ITEMS, seed=4)
    lists = replace(
        one,
        list_start=(np.arange(n + 1) * ITEMS).astype(np.int32),
        slot=np.tile(one.slot, n),
        utility=np.tile(one.utility, n),
        parts=np.tile(one.parts, (n, 1)),
        control=np.tile(one.control, n),
    )
    requests = [Ask("person", f"t{i}", k) for i in range(n)]
    return decide(
        v, requests, lists, items=catalogue(ITEMS + 1), stamp=Stamp(1, 2), shelf=shelf(ITEMS + 1, d)
    )


def settings(**changes):
    """Warm enough that every list happens."""
    return view(**{"epsilon": 0.1, "temperature": 1.0, "variety": 0.8 / LIKENESS, "thompson": 0.0, **changes})


@pytest.mark.parametrize("policy", ["treatment", "safe"])
def test_the_first_slot_is_chosen_as_often_as_logged(policy: str) -> None:
    """Chi-squared of 20,000 choices against the logged propensities, 6 degrees of freedom."""
    v = settings() if policy == "treatment" else settings().on_safe()
    firsts = [d.recommendation.items[0] for d in repeated(N, 1, v)]
    p = {i.item_id: i.propensity for i in firsts}
    assert sum(p.values()) == pytest.approx(1.0, abs=1e-12)
    names = sorted(p)
    seen = np.array([sum(i.item_id == name for i in firsts) for name in names])
    assert stats.chisquare(seen, np.array([p[n] for n in names]) * N).pvalue > ALARM


def test_whole_lists_come_as_often_as_the_product_of_their_probabilities() -> None:
    """All 210 ordered lists of three out of seven: chi-squared, diversity in force."""
    lists = [d.recommendation.items for d in repeated(N, 3, settings())]
    p = {tuple(i.item_id for i in items): np.prod([i.propensity for i in items]) for items in lists}
    seen = dict.fromkeys(p, 0)
    for items in lists:
        seen[tuple(i.item_id for i in items)] += 1
    common = [key for key in p if p[key] * N >= 5]
    rest = 1.0 - sum(p[key] for key in common)
    observed = [*(seen[key] for key in common), N - sum(seen[key] for key in common)]
    expected = np.array([*(p[key] for key in common), rest]) * N
    assert len(common) > 100
    assert stats.chisquare(observed, expected).pvalue > ALARM


def test_exploration_is_as_frequent_as_it_should_be() -> None:
    """``explored`` is one minus the greedy choice's probability: within 5 sd (false alarm 6e-7)."""
    firsts = [d.recommendation.items[0] for d in repeated(N, 1, settings())]
    best = next(i for i in firsts if not i.explored)
    share = np.mean([i.explored for i in firsts])
    assert abs(share - (1 - best.propensity)) < 5 * np.sqrt(best.propensity * (1 - best.propensity) / N)


@pytest.mark.parametrize("target", ["p_control", "p_uniform"])
def test_weights_towards_a_target_average_to_one(target: str) -> None:
    """E[Π target / propensity] = 1 over whole lists: |z| < 5 (false alarm 6e-7)."""
    lists = [d.recommendation.items for d in repeated(N, 3, settings())]
    w = np.array([np.prod([getattr(i, target) / i.propensity for i in items]) for items in lists])
    assert abs(w.mean() - 1.0) < 5 * w.std() / np.sqrt(N)


def test_off_policy_estimates_find_the_uniform_policys_value() -> None:
    """Importance weights recover what uniform lists earn, pins and caps in force: |z| < 5."""
    rules = {"": Rules(pins={1: "item-2"}, cap=0)}
    v = replace(settings(), rules=rules)
    worth = {f"item-{i}": i / ITEMS for i in range(1, ITEMS + 1)}
    lists = [d.recommendation.items for d in repeated(N, 3, v)]
    score = np.array(
        [
            np.prod([i.p_uniform / i.propensity for i in items]) * sum(worth[i.item_id] for i in items)
            for items in lists
        ]
    )
    others = [w for item, w in worth.items() if item != "item-2"]
    truth = worth["item-2"] + 2 * np.mean(others)
    assert abs(score.mean() - truth) < 5 * score.std() / np.sqrt(N)


def test_leaving_the_diversity_penalty_out_is_noticed() -> None:
    """The tests above have teeth: the true propensities explain the lists better by more than 10 sd."""
    gain = []
    for decision in repeated(N // 4, 3, settings(variety=2.0 / LIKENESS), d=2):
        assert decision.context is not None
        items = decision.recommendation.items
        wrong = recompute(msgspec.structs.replace(decision.context, diversity=0.0), items)
        right = np.log([i.propensity for i in items])
        gain.append((right - np.log(wrong.propensity)).sum())
    assert np.mean(gain) > 10 * np.std(gain) / np.sqrt(len(gain))
