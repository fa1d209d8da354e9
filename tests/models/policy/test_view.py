"""Switches, rules and the safe policy's own counts."""

from dataclasses import replace

import numpy as np
import pytest

from models.bandit.synthetic import rows
from models.fold import Fold
from models.policy.rules import Rules
from models.policy.safe import HALF_LIFE_MS, SafePolicy, SafePopularity
from models.policy.view import PolicyState
from schemas.control import PolicySwitch, Retire
from schemas.signals import InteractionRows
from tests.models.policy.lists import view


def switch(a: int, b: int, policy: str = "safe", experiment: str = "test") -> PolicySwitch:
    """A control row."""
    return PolicySwitch(experiment, a, b, policy, "e-value 200", ts=1)


def test_a_switch_applies_once_and_only_to_its_epoch() -> None:
    """Compare-and-set: replays, stale and foreign switches change nothing; views already taken stay."""
    state = PolicyState(view())
    before = state.view
    assert state.apply(switch(0, 1))
    assert not state.apply(switch(0, 1))
    assert not state.apply(switch(0, 1, "treatment"))
    assert not state.apply(switch(1, 2, experiment="another"))
    assert not state.apply(Retire("tea", ts=1))
    assert (state.view.epoch, state.view.policy) == (1, "safe")
    assert (before.epoch, before.policy) == (0, "treatment")
    assert state.apply(switch(1, 2, "treatment"))
    assert (state.view.epoch, state.view.policy) == (2, "treatment")


def test_the_policy_is_a_fold_of_control_rows() -> None:
    """In order, and restored from a snapshot."""
    state = PolicyState(view())
    assert isinstance(state, Fold)
    state.learn(
        replace(rows(), controls=(switch(0, 1), switch(0, 1), switch(1, 2, "treatment"), switch(2, 3)))
    )
    other = PolicyState(view())
    other.restore(state.snapshot())
    assert (other.view.epoch, other.view.policy) == (3, "safe")
    assert other.checksum() == state.checksum()


def test_a_relaunch_starts_at_its_own_beginning() -> None:
    """The snapshot of another experiment is not taken over."""
    state = PolicyState(view())
    state.apply(switch(0, 1))
    relaunch = PolicyState(replace(view(), experiment=replace(view().experiment, name="second")))
    relaunch.restore(state.snapshot())
    assert (relaunch.view.epoch, relaunch.view.policy) == (0, "treatment")


def seen(item, weight, ts):
    """Interactions."""
    n = len(item)
    empty = InteractionRows.empty()
    columns = {f: np.zeros(n, getattr(empty, f).dtype) for f in InteractionRows.__dataclass_fields__}
    columns["item"] = np.array(item, np.int32)
    columns["weight"] = np.array(weight, np.float32)
    columns["ts"] = np.array(ts, np.int64)
    columns["ctx_start"] = np.zeros(n + 1, np.int32)
    return replace(rows(), interactions=InteractionRows(**columns))


def test_the_safe_policy_counts_what_people_did() -> None:
    """Positive weights, halved every week, late rows at their age; the best come first."""
    safe = SafePopularity()
    week = int(HALF_LIFE_MS)
    safe.learn(seen([1, 1, 2, 3, 0], [1, 1, 1, -1, 5], [0, 0, week, week, week]))
    assert safe.utility(np.array([1, 2, 3, 99], np.int32)) == pytest.approx(np.log([2, 2, 1, 1]))
    safe.learn(seen([2], [1], [0]))
    assert safe.utility(np.array([2], np.int32))[0] == pytest.approx(np.log(2.5))
    assert safe.candidates(5).tolist() == [2, 1]


def test_weights_that_are_no_numbers_do_no_harm() -> None:
    """The safe policy does not depend on what went wrong elsewhere."""
    safe = SafePopularity()
    safe.learn(seen([1, 1], [np.nan, 1.0], [0, 0]))
    assert safe.utility(np.array([1], np.int32))[0] == pytest.approx(np.log(2))


def test_the_safe_policy_restores_and_goes_on() -> None:
    """Bytes, and what is learned afterwards."""
    safe, other = SafePopularity(), SafePopularity()
    safe.learn(seen([1, 2, 2], [1, 1, 1], [5, 6, 7]))
    other.restore(safe.snapshot())
    for s in (safe, other):
        s.learn(seen([4], [1], [9]))
    assert other.snapshot() == safe.snapshot()


@pytest.mark.parametrize(
    "bad", [{"pins": {-1: "a"}}, {"pins": {0: "a", 1: "a"}}, {"cap": -1}, {"boosts": {"a": float("inf")}}]
)
def test_rules_that_make_no_sense_are_refused(bad) -> None:
    """At construction, naming the rule."""
    with pytest.raises(ValueError, match=next(iter(bad))):
        Rules(**bad)


@pytest.mark.parametrize("bad", [{"epsilon": 1.5}, {"temperature": -1.0}, {"temperature": float("nan")}])
def test_a_safe_policy_that_makes_no_sense_is_refused(bad) -> None:
    """At construction."""
    with pytest.raises(ValueError, match=next(iter(bad))):
        SafePolicy(**bad)
