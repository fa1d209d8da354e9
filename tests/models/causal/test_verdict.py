"""Verdicts: what is concluded from the books, and what is ordered."""

import numpy as np
import pytest

from models.causal.gates import propensity_gate
from models.causal.ledger import Ledger
from models.causal.ope import WeightSums
from models.causal.persons import CLICKED, HELD, PRESENT
from models.causal.verdict import Plan, check, order
from schemas.signals import Kind

ALPHAS = {Kind.CLICK: 0.01, Kind.PURCHASE: 0.02}
PLAN = Plan(holdout=0.1, alphas=ALPHAS)


def books(persons: tuple[int, int], clicks: tuple[int, int]) -> Ledger:
    """A ledger of so many persons and first clicks per arm."""
    flags = np.concatenate(
        [
            np.full(clicks[0], PRESENT | CLICKED),
            np.full(persons[0] - clicks[0], PRESENT),
            np.full(clicks[1], PRESENT | HELD | CLICKED),
            np.full(persons[1] - clicks[1], PRESENT | HELD),
        ]
    )
    ledger = Ledger("launch")
    ledger.persons.load(np.arange(1, len(flags) + 1, dtype=np.uint64), flags.astype(np.uint8))
    return ledger


@pytest.mark.parametrize(
    ("persons", "clicks", "verdict"),
    [
        ((0, 0), (0, 0), "insufficient"),
        ((9_000, 1_000), (300, 40), "insufficient"),
        ((90_000, 10_000), (4_500, 500), "running"),
        ((900_000, 100_000), (90_000, 10_000), "non-inferior"),
        ((90_000, 10_000), (9_000, 500), "win"),
        ((9_000, 1_000), (270, 60), "rollback"),
        ((9_500, 500), (4_000, 400), "freeze"),
    ],
)
def test_verdicts(persons: tuple[int, int], clicks: tuple[int, int], verdict: str) -> None:
    """Each verdict has its place."""
    click, purchase = check(books(persons, clicks), PLAN, 7)
    assert click.verdict == verdict
    assert (click.metric, purchase.metric) == ("click", "purchase")
    assert (click.estimate is None) == (verdict in {"insufficient", "freeze"})


def test_harm_orders_the_next_epoch_of_the_safe_policy() -> None:
    """The order names both epochs, and its reason the counts and the e-value."""
    ledger = books((9_000, 1_000), (270, 60))
    row = order(ledger, check(ledger, PLAN, 7))
    assert row is not None
    assert (row.experiment, row.from_epoch, row.to_epoch, row.policy) == ("launch", 0, 1, "safe")
    assert "270 of 9000" in row.reason
    assert "limit 100" in row.reason


def test_a_broken_split_freezes_and_never_rolls_back() -> None:
    """However bad the conversions look: with a wrong split they mean nothing."""
    ledger = books((9_500, 500), (500, 400))
    reports = check(ledger, PLAN, 7)
    assert {r.verdict for r in reports} == {"freeze"}
    assert order(ledger, reports) is None


def test_nothing_is_ordered_twice() -> None:
    """Once the safe policy serves, the verdict stays and orders nothing."""
    ledger = books((9_000, 1_000), (270, 60))
    row = order(ledger, check(ledger, PLAN, 7))
    assert row is not None
    ledger._switch(row)
    reports = check(ledger, PLAN, 8)
    assert {r.verdict for r in reports} == {"rollback"}
    assert row.reason in reports[0].action
    assert order(ledger, reports) is None


def test_without_a_holdout_there_is_no_experiment() -> None:
    """Nothing to compare with: no e-value, no verdict, no error."""
    ledger = books((1_000, 0), (100, 0))
    reports = check(ledger, Plan(holdout=0.0, alphas=ALPHAS), 7)
    assert {(r.verdict, r.log_e_down) for r in reports} == {("insufficient", 0.0)}


def test_the_same_rows_give_the_same_report() -> None:
    """A replayed audit writes the same reports under the same ids, and different rows other ids."""
    one, two = (check(books((900, 100), (90, 10)), PLAN, 7) for _ in range(2))
    assert one == two
    ids = {r.report_id for r in (*one, *check(books((900, 100), (90, 10)), PLAN, 8))}
    assert len(ids) == 4


def test_wrong_propensities_are_noticed() -> None:
    """Probabilities that are off by a tenth fail the mean-weight gate; right ones pass."""
    rng = np.random.default_rng(5)
    p = rng.uniform(0.2, 0.8, 20_000)
    logged = np.where(rng.random(20_000) < p, p, 1 - p)
    right, wrong = (WeightSums.of(0.5 / (logged * k), np.zeros(20_000)) for k in (1.0, 0.9))
    assert propensity_gate(right, "uniform").passed
    assert not propensity_gate(wrong, "uniform").passed


@pytest.mark.parametrize(
    ("holdout", "alphas"), [(1.0, ALPHAS), (0.1, {Kind.CLICK: 0.01}), (0.1, {**ALPHAS, Kind.CLICK: 1.0})]
)
def test_a_plan_is_whole(holdout: float, alphas: dict[Kind, float]) -> None:
    """Illegal plans do not construct."""
    with pytest.raises(ValueError, match="must"):
        Plan(holdout=holdout, alphas=alphas)
