"""The contract of every policy, found by reflection: what a view may serve, and what may draw for it."""

import importlib
import inspect
import pkgutil
from typing import get_args, get_type_hints

import numpy as np
import pytest

import models
from models.bandit.click import ClickPosterior
from models.bandit.purchase import PurchasePosterior
from models.bandit.thompson import Thompson
from models.policy.decide import Draws, Stamp, decide
from models.policy.propensity import recompute
from models.policy.sampling import draw
from models.policy.view import PolicyView
from schemas.events import decode_event, encode_decision, encode_event, encode_list
from tests.models.policy.lists import asks, catalogue, of_parts, scored, shelf, view

POLICIES = get_args(get_type_hints(PolicyView)["policy"])
SIZE = 30


def drawers() -> list[type]:
    """Classes of ``models`` whose ``draw`` takes what the protocol's does."""
    wanted = list(inspect.signature(Draws.draw).parameters)
    found = []
    for module in pkgutil.walk_packages(models.__path__, "models."):
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            method = getattr(kind, "draw", None)
            own = kind is not Draws and kind.__module__ == module.name and inspect.isfunction(method)
            if own and list(inspect.signature(method).parameters) == wanted:
                found.append(kind)
    return found


DRAWERS = {Thompson: lambda: Thompson(ClickPosterior(), PurchasePosterior(), np.arange(SIZE, dtype=np.int32))}


def serve(policy: str, *, n: int = 16, seed: int = 1, lists=None, draws=None, **settings):
    """Lists by one policy."""
    v = view(**settings)
    v = v.on_safe() if policy == "safe" else v
    lists = scored(n, SIZE - 1) if lists is None else lists
    where = shelf(SIZE)
    return decide(v, asks(n, 6), lists, items=catalogue(SIZE), stamp=Stamp(9, seed), shelf=where, draws=draws)


def test_policies_and_drawers_are_found() -> None:
    """The search finds those that are known to exist, and each drawer can be made."""
    assert set(POLICIES) == {"treatment", "safe"}
    assert Thompson in drawers()
    assert set(drawers()) <= set(DRAWERS)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("drawer", [None, *DRAWERS], ids=["no draws", *(k.__name__ for k in DRAWERS)])
class TestEveryPolicy:
    def test_chooses_before_anything_was_learned(self, policy, drawer):
        """Full lists of distinct items, each with a probability in (0, 1]."""
        for decision in serve(policy, draws=drawer and DRAWERS[drawer]()):
            items = decision.recommendation.items
            assert len({i.item_id for i in items}) == 6
            assert all(0 < i.propensity <= 1 and 0 < i.p_control <= 1 and 0 < i.p_uniform <= 1 for i in items)
            assert decision.recommendation.policy == policy

    def test_same_seed_same_lists(self, policy, drawer):
        """Nothing but arguments decides."""
        make = DRAWERS.get(drawer, lambda: None)
        assert serve(policy, draws=make()) == serve(policy, draws=make())
        assert serve(policy, draws=make()) != serve(policy, draws=make(), seed=2)

    def test_every_probability_recomputes(self, policy, drawer):
        """Bit for bit, from the logged bytes."""
        for decision in serve(policy, n=32, draws=drawer and DRAWERS[drawer]()):
            read = decode_event(encode_event(decision))
            items = read.recommendation.items
            again = recompute(read.context, items)
            assert again.propensity == tuple(i.propensity for i in items)
            assert again.p_control == tuple(i.p_control for i in items)
            assert again.p_uniform == tuple(i.p_uniform for i in items)

    def test_bytes_are_the_same_around_an_encoded_list(self, policy, drawer):
        """The log and the readers' topic share one encoding; what is logged is what it always was."""
        for decision in serve(policy, n=32, draws=drawer and DRAWERS[drawer]()):
            encoded = encode_list(decision.recommendation)
            assert encode_decision(decision, encoded) == encode_event(decision)

    def test_parts_add_up(self, policy, drawer):
        """To the score, bit for bit."""
        for decision in serve(policy, draws=drawer and DRAWERS[drawer]()):
            assert all(sum(i.parts.values()) == i.score for i in decision.recommendation.items)

    def test_arguments_are_left_alone(self, policy, drawer):
        """Scored lists are read, never written."""
        lists = scored(4, SIZE - 1)
        before = [np.copy(getattr(lists, f)) for f in ("list_start", "slot", "utility", "parts", "control")]
        serve(policy, n=4, lists=lists, draws=drawer and DRAWERS[drawer]())
        after = [getattr(lists, f) for f in ("list_start", "slot", "utility", "parts", "control")]
        assert all(a.tobytes() == b.tobytes() for a, b in zip(before, after, strict=True))

    def test_every_candidate_keeps_a_chance(self, policy, drawer):
        """The floor: nothing that could be shown has a probability below ε / candidates."""
        epsilon = 0.02
        for decision in serve(policy, draws=drawer and DRAWERS[drawer](), epsilon=epsilon, temperature=0.01):
            assert all(i.propensity >= epsilon * i.p_uniform for i in decision.recommendation.items)

    def test_broken_scores_break_nothing(self, policy, drawer):
        """Parts and controls that are no numbers are left out; what is left is served."""
        parts = np.ones((SIZE - 1, 2))
        parts[:9] = np.nan
        control = np.ones(SIZE - 1)
        control[9:12] = np.inf
        lists = of_parts(1, np.arange(1, SIZE), parts, control)
        items = serve(policy, n=1, lists=lists, draws=drawer and DRAWERS[drawer]())[0].recommendation.items
        assert len(items) == 6
        assert all(np.isfinite(i.score) for i in items)
        assert not {i.item_id for i in items} & {f"item-{i}" for i in range(10, 13)}


@pytest.mark.parametrize("kind", drawers())
def test_draws_are_finite_bounded_and_reproducible(kind) -> None:
    """One number per candidate, the same for the same seed, of order one on average."""
    drawer = DRAWERS[kind]()
    slots, start = np.arange(SIZE, dtype=np.int32), np.array([0, SIZE], np.int32)
    runs = [drawer.draw(slots, start, np.array([s], np.uint64)) for s in range(200)]
    assert all(r.shape == (SIZE,) and np.isfinite(r).all() for r in runs)
    assert np.abs(np.mean(runs)) < 0.5
    assert runs[0].tobytes() == drawer.draw(slots, start, np.array([0], np.uint64)).tobytes()


def test_there_is_one_sampler() -> None:
    """Whatever serves, lists are drawn in one place: ``decide`` and ``recompute`` alone call ``draw``."""
    users = [
        module.name
        for module in pkgutil.walk_packages(models.__path__, "models.")
        if getattr(importlib.import_module(module.name), "draw", None) is draw
    ]
    assert sorted(users) == ["models.policy.decide", "models.policy.propensity", "models.policy.sampling"]
