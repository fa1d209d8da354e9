"""Decisions as they are logged."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from models.policy.decide import Stamp, decide
from models.policy.propensity import recompute
from models.policy.rules import Rules, Shelf
from models.policy.view import PolicyView
from schemas.errors import InvalidMessageError
from schemas.events import Decision, decode_event, encode_event
from tests.models.policy.lists import Ask, asks, catalogue, of_parts, scored, shelf, view

STAMP = Stamp(now=5_000, seed=7, model="r12")
OUT = frozenset({"item-8"})


class Noise:
    """Draws that depend on seeds and slots alone."""

    def draw(self, slots, list_start, seed):
        """Anything between −1 and 1."""
        return np.sin(slots.astype(np.float64) + np.repeat(seed % np.uint64(1000), np.diff(list_start)))


def full(n: int = 8, k: int = 6, candidates: int = 40, v: PolicyView | None = None) -> list[Decision]:
    """Decisions in which everything takes part: draws, boosts, a pin, a cap, diversity, holdout."""
    rules = Rules(boosts={"item-3": 0.7, "item-9": -0.4}, pins={2: "item-5"}, cap=2, excluded=OUT)
    size = candidates + 1
    where = replace(shelf(size), group=np.arange(size, dtype=np.int32) % 7)
    v = v or view({"": rules}, holdout=0.4)
    return decide(
        v, asks(n, k), scored(n, candidates), items=catalogue(size), stamp=STAMP, shelf=where, draws=Noise()
    )


def test_every_probability_recomputes_bit_for_bit() -> None:
    """Invariant 9: logged probabilities equal a recomputation from the logged context, after JSON too."""
    for decision in full(n=64, k=10, candidates=60):
        read = decode_event(encode_event(decision))
        assert isinstance(read, Decision)
        assert read.context is not None
        items = read.recommendation.items
        again = recompute(read.context, items)
        assert again.propensity == tuple(i.propensity for i in items)
        assert again.p_control == tuple(i.p_control for i in items)
        assert again.p_uniform == tuple(i.p_uniform for i in items)
        assert again.explored == tuple(i.explored for i in items)


def test_parts_add_up_to_the_score_exactly() -> None:
    """Left to right, bit for bit; the score is the logged utility and the penalty."""
    for decision in full(n=32):
        for item in decision.recommendation.items:
            assert sum(item.parts.values()) == item.score
            if not item.pinned:
                assert decision.context is not None
                utility = decision.context.utilities[decision.context.candidates.index(item.item_id)]
                assert utility + item.parts.get("diversity", 0.0) == item.score


def test_every_part_has_a_name_of_its_own() -> None:
    """Components, boost, exploration, novelty and diversity; nothing is called other."""
    treated = [d for d in full(32) if d.recommendation.policy == "treatment"]
    names = set(treated[0].recommendation.items[0].parts)
    assert names == {"popularity", "transitions", "content", "boost", "exploration", "novelty", "diversity"}


def test_the_same_seed_draws_the_same_lists() -> None:
    """Bytes included; another seed gives other ids."""
    assert full() == full()
    other = decide(
        view(), asks(8), scored(8, 40), items=catalogue(41), stamp=replace(STAMP, seed=8), shelf=shelf(41)
    )
    ids = {d.recommendation.decision_id for d in full()} | {d.recommendation.decision_id for d in other}
    assert len(ids) == 16


def test_a_decision_id_names_one_content() -> None:
    """Time, model or epoch change it."""

    def ids(v: PolicyView, stamp: Stamp) -> set[str]:
        out = decide(v, asks(4), scored(4, 9), items=catalogue(10), stamp=stamp)
        return {d.recommendation.decision_id for d in out}

    sets = [
        ids(view(), STAMP),
        ids(view(), replace(STAMP, now=6_000)),
        ids(view(), replace(STAMP, model="r13")),
        ids(replace(view(), epoch=1), STAMP),
    ]
    assert len(set().union(*sets)) == 16


def test_how_a_batch_is_cut_does_not_matter() -> None:
    """A request's list is the same alone and among others."""
    lists = scored(6, 20)
    together = decide(view(), asks(6), lists, items=catalogue(21), stamp=STAMP, shelf=shelf(21))
    for n, request in enumerate(asks(6)):
        rows = slice(20 * n, 20 * n + 20)
        alone = replace(
            lists,
            list_start=np.array([0, 20], np.int32),
            slot=lists.slot[rows],
            utility=lists.utility[rows],
            parts=lists.parts[rows],
            control=lists.control[rows],
        )
        assert decide(view(), [request], alone, items=catalogue(21), stamp=STAMP, shelf=shelf(21)) == [
            together[n]
        ]


def test_the_holdout_is_served_by_popularity_alone() -> None:
    """Safe policy, its own exact propensities, parts that name popularity."""
    decisions = [d for d in full(64) if d.recommendation.arm == "holdout"]
    assert decisions
    for decision in decisions:
        assert decision.recommendation.policy == "safe"
        for item in decision.recommendation.items:
            assert item.propensity == item.p_control
            assert set(item.parts) <= {"popularity", "boost", "pin"}


def test_after_a_rollback_everybody_is_served_by_the_safe_policy() -> None:
    """The arm stays what it was."""
    out = full(64, v=view(holdout=0.3).on_safe())
    assert {d.recommendation.policy for d in out} == {"safe"}
    assert {d.recommendation.arm for d in out} == {"treatment", "holdout"}
    assert all(i.propensity == i.p_control for d in out for i in d.recommendation.items)


def test_pins_and_exclusions_hold() -> None:
    """The pin stands in its slot with probability 1; the excluded item nowhere; no item twice."""
    for decision in full(64):
        items = decision.recommendation.items
        ids = [i.item_id for i in items]
        assert ids[2] == "item-5"
        assert items[2].pinned
        assert items[2].propensity == 1.0
        assert "item-8" not in ids
        assert len(set(ids)) == len(ids)
        assert [i.position for i in items] == list(range(len(items)))


def test_an_unavailable_item_is_not_listed_nor_pinned() -> None:
    """Stock goes before rules."""
    stocked = replace(Shelf(), available=np.array([1, 1, 0, 1, 1], np.uint8))
    rules = {"": Rules(pins={0: "item-2"})}
    out = decide(view(rules), asks(20, 5), scored(20, 4), items=catalogue(5), stamp=STAMP, shelf=stocked)
    for decision in out:
        assert {i.item_id for i in decision.recommendation.items} == {"item-1", "item-3", "item-4"}


def test_each_surface_has_its_rules() -> None:
    """Rules under the empty name hold where a surface has none."""
    rules = {"": Rules(excluded=frozenset({"item-1"})), "mail": Rules(excluded=frozenset({"item-2"}))}
    requests = [*asks(3, 4, "home"), *asks(3, 4, "mail")]
    out = decide(view(rules), requests, scored(6, 4), items=catalogue(5), stamp=STAMP)
    for decision in out:
        ids = {i.item_id for i in decision.recommendation.items}
        assert (
            ids == {"item-2", "item-3", "item-4"}
            if decision.recommendation.surface == "home"
            else {"item-1", "item-3", "item-4"}
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_left_out_and_said(bad: float) -> None:
    """The other candidates are listed, and the list says why one is missing."""
    parts = np.ones((4, 1))
    parts[1] = bad
    out = decide(view(), asks(1, 4), of_parts(1, [1, 2, 3, 4], parts), items=catalogue(5), stamp=STAMP)
    recommendation = out[0].recommendation
    assert {i.item_id for i in recommendation.items} == {"item-1", "item-3", "item-4"}
    assert recommendation.reason == "1 candidates had no finite score"


def test_draws_that_are_not_finite_are_left_out() -> None:
    """A broken posterior cannot produce a NaN propensity."""

    class Broken:
        def draw(self, slots, list_start, seed):
            return np.where(slots == 2, np.nan, 0.0)

    out = decide(view(), asks(1, 4), scored(1, 4), items=catalogue(5), stamp=STAMP, draws=Broken())
    assert {i.item_id for i in out[0].recommendation.items} == {"item-1", "item-3", "item-4"}


def test_no_candidates_gives_an_empty_list() -> None:
    """It has an id and says so; so does a batch in which nobody has candidates."""
    empty = of_parts(3, np.zeros(0, np.int32), np.zeros((0, 2)))
    out = decide(view(), asks(3), empty, items=catalogue(5), stamp=STAMP, shelf=shelf(5))
    assert [d.recommendation.items for d in out] == [()] * 3
    assert len({d.recommendation.decision_id for d in out}) == 3
    assert (
        decide(view(), [], of_parts(0, np.zeros(0), np.zeros((0, 2))), items=catalogue(5), stamp=STAMP) == []
    )


def test_pins_alone_make_a_list() -> None:
    """A pinned slot needs no candidates."""
    empty = of_parts(1, np.zeros(0, np.int32), np.zeros((0, 2)))
    rules = {"": Rules(pins={0: "item-4"})}
    out = decide(view(rules), asks(1), empty, items=catalogue(5), stamp=STAMP, shelf=shelf(5))
    assert [i.item_id for i in out[0].recommendation.items] == ["item-4"]
    assert recompute(out[0].context, out[0].recommendation.items).propensity == (1.0,)


def test_duplicates_and_unknown_slots_are_left_out() -> None:
    """The first of two stays; slot 0 is nobody."""
    lists = of_parts(1, [2, 0, 2, 3], [[1.0], [9.0], [5.0], [0.0]])
    out = decide(view(), asks(1, 9), lists, items=catalogue(5), stamp=STAMP)
    assert out[0].context.candidates == ("item-2", "item-3")
    assert out[0].context.utilities == (1.0, 0.0)


def test_only_the_best_candidates_are_sampled_from() -> None:
    """``pool`` bounds them, boost included; their order stays."""
    lists = of_parts(1, [1, 2, 3, 4], [[4.0], [3.0], [2.0], [1.0]])
    rules = {"": Rules(boosts={"item-4": 9.0})}
    out = decide(view(rules, pool=2), asks(1), lists, items=catalogue(5), stamp=STAMP)
    assert out[0].context.candidates == ("item-1", "item-4")


def test_cold_lists_are_the_ranking_itself() -> None:
    """ε = 0, τ = 0, no diversity, no draws: the fused order, each with probability 1."""
    lists = of_parts(1, [3, 1, 4, 2], [[4.0], [3.0], [2.0], [1.0]])
    cold = view(epsilon=0.0, temperature=0.0, variety=0.0, thompson=0.0)
    out = decide(cold, asks(1, 3), lists, items=catalogue(5), stamp=STAMP, shelf=shelf(5), draws=Noise())
    items = out[0].recommendation.items
    assert [i.item_id for i in items] == ["item-3", "item-1", "item-4"]
    assert [i.propensity for i in items] == [1.0] * 3


def test_contexts_are_logged_for_the_stated_share() -> None:
    """A hash chooses; with 4,000 lists the share is within 5 sd (false alarm 6e-7)."""
    lists = scored(4_000, 3)
    out = decide(view(context_share=0.1), asks(4_000, 1), lists, items=catalogue(4), stamp=STAMP)
    share = np.mean([d.context is not None for d in out])
    assert abs(share - 0.1) < 5 * np.sqrt(0.1 * 0.9 / 4_000)
    for decision in out:
        if decision.context:
            assert recompute(decision.context, decision.recommendation.items).propensity == (
                decision.recommendation.items[0].propensity,
            )


def test_a_list_names_the_past_items_behind_it() -> None:
    """Asked for chosen and pinned items only; slot 0 is left out."""

    def because(lists, slots):
        return np.column_stack([slots % 3, np.zeros_like(slots)]), np.column_stack([slots * 0.5, slots * 0.0])

    rules = {"": Rules(pins={1: "item-7"})}
    out = decide(view(rules), asks(3, 4), scored(3, 20), items=catalogue(21), stamp=STAMP, because=because)
    for decision in out:
        for item in decision.recommendation.items:
            slot = int(item.item_id.removeprefix("item-"))
            want = [] if slot % 3 == 0 else [(f"item-{slot % 3}", slot * 0.5)]
            assert [(b.item_id, b.weight) for b in item.because] == want


def test_a_list_that_does_not_belong_to_its_context_is_refused() -> None:
    """The error names the item."""
    decision = full(1)[0]
    stranger = msgspec.structs.replace(decision.recommendation.items[0], item_id="nobody", pinned=False)
    with pytest.raises(InvalidMessageError, match="nobody"):
        recompute(decision.context, [stranger])
    cut = msgspec.structs.replace(decision.context, similarity=b"1234", diversity=1.0)
    with pytest.raises(InvalidMessageError, match="similarity"):
        recompute(cut, decision.recommendation.items)
    short = msgspec.structs.replace(decision.context, control=())
    with pytest.raises(InvalidMessageError, match="control"):
        recompute(short, decision.recommendation.items)


def test_requests_and_lists_must_match() -> None:
    """One list too many is a mistake of the caller; so is a component with a name of ours."""
    with pytest.raises(ValueError, match="2 requests, 3 scored lists"):
        decide(view(), asks(2), scored(3, 4), items=catalogue(5), stamp=STAMP)
    with pytest.raises(ValueError, match="boost"):
        decide(
            view(),
            asks(1),
            replace(scored(1, 4), part_names=("boost", "b", "c")),
            items=catalogue(5),
            stamp=STAMP,
        )


def test_lists_of_different_lengths_in_one_batch() -> None:
    """Everyone gets their own k."""
    requests = [Ask("a", "1", k=1), Ask("b", "2", k=7), Ask("c", "3", k=3)]
    out = decide(view(), requests, scored(3, 9), items=catalogue(10), stamp=STAMP)
    assert [len(d.recommendation.items) for d in out] == [1, 7, 3]
