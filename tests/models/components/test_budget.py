"""The gradient budget: what is learned of a stream that is too fast, and that nothing else decides it."""

from dataclasses import replace

import numpy as np
import pytest

from models.components.budget import GradientBudget
from models.components.factors import Factors
from models.fold import FoldLog
from schemas.signals import InteractionRows
from tests.contracts.logs import cut, make_log

LOG = make_log(400, holdout=0.0)


def rows(n: int, per_second: float, seed: int = 0) -> InteractionRows:
    """Rows of many people at an even rate."""
    rng = np.random.default_rng(seed)
    empty = InteractionRows.empty()
    return replace(
        empty,
        item=np.ones(n, np.int32),
        user=rng.integers(0, 2**63, n).astype(np.uint64),
        ts=10**12 + (np.arange(n) * 1000.0 / per_second).astype(np.int64),
        weight=np.ones(n, np.float32),
        offset=np.arange(n, dtype=np.int64),
    )


def test_a_calm_stream_is_learned_whole():
    """Ninety per cent of the budget for ten minutes: every row."""
    assert GradientBudget(100.0).choose(rows(54_000, 90.0)).all()


def test_a_burst_is_learned_whole_and_a_flood_is_not():
    """Half a minute's budget within one instant passes; ten minutes at ten times the budget do not."""
    assert GradientBudget(100.0).choose(rows(3_000, 1e9)).all()
    chosen = GradientBudget(100.0).choose(rows(600_000, 1000.0))
    assert chosen[:5_000].all()
    assert abs(chosen[300_000:].mean() - 0.1) < 0.002  # six standard errors


def test_the_rate_and_the_share_are_told():
    """After minutes at ten times the budget: the rate within a hundredth, a tenth of it."""
    budget = GradientBudget(100.0)
    assert budget.share == 1.0
    budget.choose(rows(600_000, 1000.0))
    assert budget.rate == pytest.approx(1000.0, rel=0.01)
    assert budget.share == pytest.approx(0.1, rel=0.01)


def test_a_stream_that_slows_down_is_learned_whole_again():
    """Ten minutes after the flood nothing is left out."""
    budget = GradientBudget(100.0)
    budget.choose(rows(600_000, 1000.0))
    calm = rows(1_000, 50.0)
    assert budget.choose(replace(calm, ts=calm.ts + 1_200_000)).all()


def test_packing_does_not_matter():
    """One call or many: the same rows, the same state."""
    flood, one, many = rows(50_000, 1000.0), GradientBudget(20.0), GradientBudget(20.0)
    names = ("item", "user", "ts", "weight", "offset")
    whole = one.choose(flood)
    parts = [
        many.choose(replace(flood, **{n: getattr(flood, n)[a : a + 777] for n in names}))
        for a in range(0, 50_000, 777)
    ]
    assert 0 < whole.sum() < 50_000
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert many.state.tobytes() == one.state.tobytes()


def test_rows_that_count_against_an_item_use_no_budget():
    """Weight 0 or below: never chosen, never counted."""
    budget = GradientBudget(10.0)
    some = rows(1_000, 1.0)
    assert not budget.choose(replace(some, weight=np.zeros(1_000, np.float32))).any()
    assert budget.rate == 0.0


@pytest.mark.parametrize("ends", [[0], [9, 10, 11, 200], list(range(7, 399, 13))])
def test_factors_within_a_budget_keep_the_contract(ends):
    """Sampled factors: any packing gives the same bytes, and fewer steps than without a budget."""

    def run(blocks, per_second):
        log = FoldLog([Factors(16, seed=3, budget=GradientBudget(per_second))])
        for block in blocks:
            log.learn(block)
        return log.snapshot()

    assert run(cut(LOG, ends), 1e-3) == run([LOG], 1e-3)
    assert run([LOG], 1e-3) != run([LOG], 1e9)


def test_a_restored_budget_goes_on():
    """The decayed rate is part of the fold's snapshot."""
    first, second = cut(LOG, [211])
    log = FoldLog([Factors(16, seed=3, budget=GradientBudget(1e-3))])
    log.learn(first)
    other = FoldLog([Factors(16, seed=3, budget=GradientBudget(1e-3))])
    other.restore(log.snapshot())
    log.learn(second)
    other.learn(second)
    assert other.snapshot() == log.snapshot()


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan")])
def test_a_budget_that_is_none_is_refused(wrong):
    """Zero, negative and NaN."""
    with pytest.raises(ValueError, match="per_second"):
        GradientBudget(wrong)
