"""The simulator's truth is true: clicks follow the stated law, and the reported interval covers.

Each test has a fixed seed and states the probability of failing, over seeds, if the code is right.
"""

import numpy as np
import pytest
from scipy import stats

from deploy.simulator.click_law import ClickLaw, Relevance
from deploy.simulator.ledger import Ledger
from schemas.errors import InvalidMessageError

LAW = ClickLaw(none=0.05, kind=0.2, product=0.5, eta=0.7, impulse=0.25)
SHOWN = np.array([Relevance.NONE, Relevance.PRODUCT, Relevance.TYPE, Relevance.NONE, Relevance.TYPE], np.int8)


def frequencies(law: ClickLaw, arm: str, n: int, seed: int) -> np.ndarray:
    """How often each slot was looked at, clicked and bought from, shape (3, k)."""
    rng = np.random.default_rng(seed)
    return np.asarray(np.sum([law.behave(SHOWN, arm, rng) for _ in range(n)], axis=0))


def test_clicks_follow_the_law() -> None:
    """20,000 lists; binomial tests of 5 slots times (look, click), Bonferroni at 1e-4 in all."""
    n = 20_000
    looked, clicked, _ = frequencies(LAW, "holdout", n, seed=11)
    pairs = [(looked, LAW.looks(5)), (clicked, LAW.probabilities(SHOWN, "holdout"))]
    smallest = min(
        stats.binomtest(int(k), n, p).pvalue if p < 1 else float(k == n)
        for counts, probabilities in pairs
        for k, p in zip(counts, probabilities, strict=True)
    )
    assert smallest > 1e-4 / 10


def test_impulse_purchases_are_a_share_of_clicks() -> None:
    """Given the clicks, purchases are binomial with the stated share; false alarm 1e-4."""
    _, clicked, bought = frequencies(LAW, "holdout", 20_000, seed=12)
    assert stats.binomtest(int(bought.sum()), int(clicked.sum()), LAW.impulse).pvalue > 1e-4


def test_the_injected_effect_is_a_factor_on_treatment_alone() -> None:
    """With one generator state, holdout clicks contain the halved treatment's clicks, in the stated ratio.

    The ratio is tested as a binomial of the clicks that are left; false alarm 1e-4.
    """
    harmed = ClickLaw(none=0.05, kind=0.2, product=0.5, eta=0.7, treatment_factor=0.5)
    rng = [np.random.default_rng(13) for _ in range(2)]
    control = np.array([harmed.behave(SHOWN, "holdout", rng[0])[1] for _ in range(10_000)])
    treated = np.array([harmed.behave(SHOWN, "treatment", rng[1])[1] for _ in range(10_000)])
    assert not (treated & ~control).any()
    assert stats.binomtest(int(treated.sum()), int(control.sum()), 0.5).pvalue > 1e-4
    assert harmed.expected(SHOWN, "treatment") == pytest.approx(0.5 * harmed.expected(SHOWN, "holdout"))


@pytest.mark.parametrize(
    "wrong",
    [{"none": -0.1}, {"product": 1.5}, {"eta": -1.0}, {"treatment_factor": 3.0}, {"kind": float("nan")}],
)
def test_impossible_laws_do_not_construct(wrong: dict[str, float]) -> None:
    """What is no probability is refused by name."""
    with pytest.raises(InvalidMessageError, match=next(iter(wrong))):
        ClickLaw(**wrong)


def experiment(seed: int, lift: float) -> Ledger:
    """300 treated and 100 held-out persons, each with an own taste and one to twelve lists shown."""
    rng = np.random.default_rng(seed)
    ledger = Ledger()
    for person in range(400):
        arm = "treatment" if person % 4 else "holdout"
        taste = rng.gamma(2.0, 0.1)
        for _ in range(rng.integers(1, 13)):
            mean = taste * (1.0 + lift if arm == "treatment" else 1.0)
            ledger.saw_list(str(person), arm, clicks=int(rng.poisson(mean)), expected=mean)
    return ledger


@pytest.mark.parametrize("lift", [0.0, 0.5])
def test_the_interval_covers_the_true_lift(lift: float) -> None:
    """500 experiments: a 95 % interval misses at most 41 times.

    If it truly misses 5 % of the time, more than 41 of 500 misses has probability 9e-4.  An interval that
    takes clicks for independent misses 80 and 61 times here, and fails.
    """
    misses = 0
    for seed in range(500):
        interval = experiment(seed, lift).rates().interval
        assert interval is not None
        misses += not interval[0] <= lift <= interval[1]
    assert misses <= 41, misses


def test_the_truth_has_less_noise_than_the_clicks() -> None:
    """Over 100 experiments the law's own expectation scatters less around the lift than the clicks do."""
    rates = [experiment(seed, 0.5).rates() for seed in range(100)]
    truth = np.std([r.true_lift for r in rates if r.true_lift is not None])
    clicks = np.std([r.lift for r in rates if r.lift is not None])
    assert truth < 0.8 * clicks


def test_no_interval_without_clicks() -> None:
    """One person, or no click in an arm: no figure rather than a wrong one."""
    ledger = Ledger()
    assert ledger.rates().interval is None
    ledger.saw_list("a", "treatment", clicks=1, expected=0.5)
    ledger.saw_list("b", "holdout", clicks=0, expected=0.5)
    rates = ledger.rates()
    assert (rates.treatment, rates.holdout, rates.lift, rates.interval, rates.true_lift) == (
        1.0,
        0.0,
        None,
        None,
        0.0,
    )
