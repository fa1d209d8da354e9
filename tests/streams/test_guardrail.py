"""How workers obey: orders at once, and the safe policy by themselves when they lag."""

import numpy as np
import pytest

from models.causal.ledger import Ledger
from models.causal.synthetic import Truth, experiment
from models.causal.verdict import Plan, check, order
from models.experiments import Experiment
from models.fold import FoldLog
from models.policy.view import PolicyState, PolicyView
from schemas.control import PolicySwitch
from schemas.settings import PolicySettings
from schemas.signals import Kind, SignalBlock, decode_block, encode_block
from streams.guardrail import MARKS, Guardrail

PLAN = Plan(holdout=0.1, alphas={Kind.CLICK: 0.01, Kind.PURCHASE: 0.02})


def policy() -> PolicyState:
    return PolicyState(PolicyView(PolicySettings(), Experiment("launch", 0.1)))


def test_the_auditors_order_is_obeyed_by_the_next_batch() -> None:
    """From a harmful log to the row on the wire to the view that the next batch of lists takes."""
    ledger, state = Ledger("launch"), policy()
    books, worker = FoldLog([ledger], keep_holdout=True), FoldLog([state])
    for block in experiment(Truth(click=(0.03, 0.05)), 30_000, np.random.default_rng(1)):
        books.learn(block)
        worker.learn(block)
    row = order(ledger, check(ledger, PLAN, 59))
    assert row is not None
    assert (state.view.policy, state.view.epoch) == ("treatment", 0)
    data = encode_block(SignalBlock(cover=None, controls=(row,)))
    for _ in range(2):
        worker.learn(decode_block(data))
        assert (state.view.policy, state.view.epoch) == ("safe", 1)


def test_a_worker_that_lags_serves_the_safe_policy_until_it_has_caught_up() -> None:
    """Thirty seconds behind: safe, in the epoch that it knows; caught up: what the log says."""
    state = policy()
    guardrail = Guardrail(state, limit_seconds=30)
    seen = []
    for now, end, folded in ((0, 100, 0), (20, 120, 50), (31, 130, 99), (32, 131, 100), (33, 131, 131)):
        guardrail.look(now, end, folded)
        seen.append((state.view.policy, state.view.epoch))
    assert [p for p, _ in seen] == ["treatment", "treatment", "safe", "treatment", "treatment"]
    assert {epoch for _, epoch in seen} == {0}


def test_lag_is_the_age_of_the_oldest_record_that_is_not_folded() -> None:
    """Folding up to where the log ended ten seconds ago is ten seconds behind, whatever comes in."""
    guardrail = Guardrail(policy(), limit_seconds=30)
    behind = [guardrail.look(now, end=10 * now, folded=max(0, 10 * (now - 10))) for now in range(1, 60)]
    assert behind[-1] == pytest.approx(10, abs=1)
    assert guardrail.trusted


def test_an_order_that_arrives_late_is_obeyed_all_the_same() -> None:
    """Mistrust hides no switch: after it, epoch and policy are the log's."""
    state = policy()
    state.trust(False)
    assert state.apply(PolicySwitch("launch", 0, 1, "treatment", "relaunch", ts=0))
    assert (state.view.policy, state.view.epoch) == ("safe", 1)
    state.trust(True)
    assert (state.view.policy, state.view.epoch) == ("treatment", 1)


def test_mistrust_is_no_part_of_the_fold() -> None:
    """Two hosts, one of them behind: the same snapshot."""
    near, far = policy(), policy()
    far.trust(False)
    assert near.snapshot() == far.snapshot()


def test_a_stalled_learner_costs_no_memory() -> None:
    """The marks are bounded, and the oldest one keeps its age."""
    guardrail = Guardrail(policy(), limit_seconds=30)
    for now in range(10 * MARKS):
        behind = guardrail.look(now, end=now + 1, folded=0)
    assert len(guardrail._marks) == MARKS
    assert behind == 10 * MARKS - 1


def test_a_limit_of_nothing_is_refused() -> None:
    """Every worker is a little behind."""
    with pytest.raises(ValueError, match="limit_seconds"):
        Guardrail(policy(), limit_seconds=0)
