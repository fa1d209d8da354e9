"""The engine's lists: drawn by one view, exact, and safe where the safe policy serves."""

from dataclasses import replace

import numpy as np
import pytest

from models.engine import Engine
from models.experiments import ARM_NAMES
from models.policy.propensity import recompute
from models.policy.rules import Rules
from models.requests import ListRequest
from schemas.catalogue import Item
from schemas.control import PolicySwitch
from schemas.events import Click, Merge
from schemas.settings import EngineSettings, ExperimentSettings, PolicySettings
from schemas.signals import SignalBlock

T0 = 1_700_000_000_000
ITEMS = 60
NOW = T0 + 10_000_000


@pytest.fixture(scope="module")
def learned() -> bytes:
    """Snapshot of an engine that learned from 1,500 clicks."""
    return trained().snapshot()


def engine() -> Engine:
    """Every context logged, a holdout of 40 %."""
    made = Engine(
        EngineSettings(), policy=PolicySettings(context_share=1.0), experiment=ExperimentSettings(holdout=0.4)
    )
    made.describe(
        [Item(item_id=f"i{i}", title=f"thing {i}", categories=(f"c{i % 5}",)) for i in range(ITEMS)]
    )
    return made


def trained() -> Engine:
    """Learned from clicks on a popular head."""
    made = engine()
    shard = made.open_shard(0)
    rng = np.random.default_rng(0)
    for block in range(15):
        offsets = np.arange(100 * block, 100 * block + 100)
        events = [
            Click(
                event_id=f"e{o}",
                user_id=f"u{rng.integers(40)}",
                ts=T0 + int(o) * 1000,
                item_id=f"i{int(ITEMS * rng.random() ** 2)}",
            )
            for o in offsets
        ]
        made.learn(made.observe(shard, events, offsets, broker_ts=np.array([e.ts for e in events])))
    return made


def ask(made: Engine, n: int = 40, k: int = 8, **fields) -> list:
    """Lists for people of an empty shard."""
    shard = made.open_shard(1)
    return made.recommend(
        [ListRequest(shard, f"u{i}", k, f"t{i}", **fields) for i in range(n)], now=NOW, seed=3
    )


@pytest.fixture
def warm(learned: bytes) -> Engine:
    """A trained engine."""
    made = engine()
    made.restore(learned)
    return made


def test_lists_come_in_the_order_of_requests_and_recompute(warm: Engine) -> None:
    """Both arms in one batch; every probability and every sum exact."""
    out = ask(warm)
    assert [d.recommendation.trigger_id for d in out] == [f"t{i}" for i in range(40)]
    assert {d.recommendation.arm for d in out} == {"treatment", "holdout"}
    for decision in out:
        items = decision.recommendation.items
        assert len(items) == 8
        again = recompute(decision.context, items)
        assert again.propensity == tuple(i.propensity for i in items)
        assert again.p_control == tuple(i.p_control for i in items)
        assert all(sum(i.parts.values()) == i.score for i in items)


def test_a_list_names_the_past_items_that_led_to_it(warm: Engine) -> None:
    """Items of the person's own history, the weightiest first, together the transitions part."""
    shard = warm.open_shard(4)
    past = [Click(event_id=f"p{n}", user_id=f"u{n % 20}", ts=NOW, item_id=f"i{n % 6}") for n in range(60)]
    warm.observe(shard, past, np.arange(60), broker_ts=np.full(60, NOW))
    out = warm.recommend([ListRequest(shard, f"u{n}", 8, f"t{n}") for n in range(20)], now=NOW + 1, seed=2)
    named = 0
    for n, decision in enumerate(out):
        own = {event.item_id for event in past if event.user_id == f"u{n}"}
        for item in decision.recommendation.items:
            weights = [b.weight for b in item.because]
            assert {b.item_id for b in item.because} <= own
            assert weights == sorted(weights, reverse=True)
            assert sum(weights) <= max(item.parts.get("transitions", 0.0), 0.0) + 1e-9
            named += len(weights)
    assert named > 0


def test_the_safe_policy_does_not_depend_on_what_went_wrong(warm: Engine) -> None:
    """With a head of NaN the holdout's lists are the same as before, and nobody's probability is NaN."""
    before = ask(warm)
    warm.head.__dict__.update(
        {
            name: np.full_like(value, np.nan)
            for name, value in vars(warm.head).items()
            if isinstance(value, np.ndarray) and value.dtype.kind == "f"
        }
    )
    after = ask(warm)
    for old, new in zip(before, after, strict=True):
        same = new.recommendation.items == old.recommendation.items
        assert same == (old.recommendation.arm == "holdout")
        assert all(np.isfinite(i.propensity) for i in new.recommendation.items)


def test_a_switch_in_the_log_serves_everybody_safely(warm: Engine) -> None:
    """From the next batch on, with its epoch."""
    switch = PolicySwitch("launch", 0, 1, "safe", "e-value 200", ts=NOW)
    warm.learn(SignalBlock(cover=None, controls=(switch,)))
    out = ask(warm)
    assert {(d.recommendation.policy, d.recommendation.epoch) for d in out} == {("safe", 1)}
    assert all(set(i.parts) == {"popularity", "boost"} for d in out for i in d.recommendation.items)


def test_delisted_items_are_on_nobodys_list(warm: Engine) -> None:
    """In neither arm."""
    warm.delist([f"i{i}" for i in range(10)])
    shown = {i.item_id for d in ask(warm) for i in d.recommendation.items}
    assert shown
    assert not shown & {f"i{i}" for i in range(10)}


def test_fixed_candidates_hold_in_both_arms(warm: Engine) -> None:
    """Only they are listed."""
    wanted = ("i3", "i5", "i7", "i9")
    for decision in ask(warm, candidates=wanted):
        assert {i.item_id for i in decision.recommendation.items} == set(wanted)


def test_seen_items_are_kept_off_in_both_arms(warm: Engine) -> None:
    """Where a request asks for it."""
    shard = warm.open_shard(2)
    seen = [Click(event_id=f"x{i}", user_id=f"u{i}", ts=NOW - 1, item_id="i0") for i in range(40)]
    warm.observe(shard, seen, np.arange(40), broker_ts=np.full(40, NOW - 1))
    requests = [ListRequest(shard, f"u{i}", 8, f"t{i}", exclude_seen=True) for i in range(40)]
    out = warm.recommend(requests, now=NOW, seed=1)
    assert {d.recommendation.arm for d in out} == {"treatment", "holdout"}
    assert not any(i.item_id == "i0" for d in out for i in d.recommendation.items)


def test_a_person_who_logs_in_keeps_their_arm(warm: Engine) -> None:
    """The side of the anonymous id goes on, whatever the hash of the new one."""
    shard = warm.open_shard(3)
    for n in range(20):
        first = Click(event_id=f"a{n}", user_id=f"anon{n}", ts=NOW, item_id="i2")
        events = [first, Merge(user_id=f"anon{n}", into=f"known{n}", ts=NOW)]
        warm.observe(shard, events, np.array([2 * n, 2 * n + 1]), broker_ts=np.full(2, NOW))
    out = warm.recommend([ListRequest(shard, f"known{n}", 3, f"t{n}") for n in range(20)], now=NOW, seed=1)
    experiment = warm.policy.view.experiment
    wanted = [ARM_NAMES[experiment.arm_of(f"anon{n}")] for n in range(20)]
    assert [d.recommendation.arm for d in out] == wanted
    assert wanted != [ARM_NAMES[experiment.arm_of(f"known{n}")] for n in range(20)]


def test_rules_hold_in_both_arms(warm: Engine) -> None:
    """A pin, an exclusion and a boost."""
    rules = {"": Rules(pins={0: "i50"}, excluded=frozenset({"i1"}), boosts={"i40": 50.0})}
    warm.policy = type(warm.policy)(replace(warm.policy.view, rules=rules))
    for decision in ask(warm):
        items = decision.recommendation.items
        assert items[0].item_id == "i50"
        assert items[0].pinned
        assert "i1" not in {i.item_id for i in items}


def test_an_engine_that_knows_nothing_answers() -> None:
    """Every request gets a decision, a full list where the catalogue allows one."""
    out = ask(engine(), n=5)
    assert len(out) == 5
    assert Engine(EngineSettings()).recommend([], now=NOW, seed=1) == []
