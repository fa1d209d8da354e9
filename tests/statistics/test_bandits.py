"""Bandits against their theory, in worlds whose law is known.

Every world is seeded; thresholds lie five or more standard errors from the expectation (measured over the
stated runs), so that a fresh seed would alarm with probability below 1e-6.
"""

import numpy as np
import pytest

from models.bandit.click import ClickPosterior
from models.bandit.counts import Memory
from models.bandit.purchase import PurchasePosterior
from models.bandit.synthetic import FOREVER, exposures, lai_robbins, play, rewards, rows
from models.bandit.thompson import Thompson
from schemas.signals import Kind

RATES = np.array([0.1, *[0.05] * 3, *[0.02] * 3, *[0.01] * 3])


def memory(**changes: float) -> Memory:
    """Nothing is forgotten and everything comes at once."""
    return Memory(**{"half_life": FOREVER, "delay": 0.0, "prior_mean": 0.05, **changes})


def clicker(arms: int, m: Memory) -> Thompson:
    """Thompson sampling of clicks alone."""
    fold_of = np.arange(arms + 1, dtype=np.int32)
    return Thompson(ClickPosterior(m), PurchasePosterior(m), fold_of, purchase_value=0.0, ceiling=1e9)


def regret(bandit: Thompson, rates: np.ndarray, seed: int, steps: int) -> np.ndarray:
    """Cumulative expected regret."""
    rng = np.random.default_rng(seed)

    def pay(picks, t):
        return rng.random(len(picks)) < rates[picks], np.zeros(len(picks))

    chosen = play(bandit, pay, len(rates), steps=steps, batch=100, seed=seed)
    return np.cumsum(rates.max() - rates[chosen])


@pytest.mark.slow
def test_regret_grows_as_lai_and_robbins_say() -> None:
    """Slope per e-fold between steps 1,000 and 10,000, 100 runs: within 15 % of the bound's constant."""
    assert lai_robbins(RATES) == pytest.approx(17.45, abs=0.01)
    runs = np.array([regret(clicker(10, memory(prior_hits=2.0)), RATES, seed, 10_000) for seed in range(100)])
    slope = (runs[:, -1] - runs[:, 999]).mean() / np.log(10)
    assert slope == pytest.approx(lai_robbins(RATES), rel=0.15)
    assert runs[:, -1].mean() < 0.15 * 10_000 * (0.1 - RATES.mean())


def test_a_posterior_of_revenue_beats_one_of_conversion() -> None:
    """Rare and dear beats frequent and cheap: less than half the regret, ten runs of 20,000."""
    conversion = np.array([0.02, 0.05, 0.01, 0.04, 0.03, 0.06, 0.015, 0.025, 0.035, 0.005])
    value = np.array([60.0, 10.0, 200.0, 15.0, 20.0, 8.0, 30.0, 40.0, 12.0, 100.0])
    revenue = conversion * value

    class ConversionOnly(PurchasePosterior):
        def value_posterior(self, slots):
            return np.tile([1e9, 1e9 * self.order_value()], (len(slots), 1))

    def mean_regret(kind: type[PurchasePosterior]) -> float:
        total = 0.0
        for seed in range(10):
            rng = np.random.default_rng(seed)

            def pay(picks, t, rng=rng):
                bought = rng.random(len(picks)) < conversion[picks]
                return np.zeros(len(picks)), bought * rng.exponential(value[picks])

            never = ClickPosterior(memory(prior_mean=1e-6, prior_hits=1e3))
            bandit = Thompson(never, kind(memory()), np.arange(11, dtype=np.int32), 1e3, 1e9)
            chosen = play(bandit, pay, 10, steps=20_000, batch=200, seed=seed)
            total += float((revenue.max() - revenue[chosen]).sum())
        return total / 10

    two_part, conversion_only = mean_regret(PurchasePosterior), mean_regret(ConversionOnly)
    assert two_part < 0.5 * conversion_only
    assert two_part < 0.6 * 20_000 * (revenue.max() - revenue.mean())


def test_forgetting_pays_when_the_best_changes() -> None:
    """The best arm moves every 5,000 steps: at most 3/4 of the regret of a bandit that forgets nothing."""
    base = np.array([0.1, 0.05, 0.05, 0.03, 0.03])

    def mean_regret(half_life: float) -> float:
        total = 0.0
        for seed in range(10):
            rng = np.random.default_rng(seed)

            def pay(picks, t, rng=rng):
                return rng.random(len(picks)) < np.roll(base, t // 5_000 * 2)[picks], np.zeros(len(picks))

            chosen = play(clicker(5, memory(half_life=half_life)), pay, 5, steps=20_000, batch=100, seed=seed)
            rates = np.array([np.roll(base, t // 5_000 * 2) for t in range(0, 20_000, 100)]).repeat(
                100, axis=0
            )
            total += float((0.1 - rates[np.arange(20_000), chosen]).sum())
        return total / 10

    assert mean_regret(1_000.0) < 0.75 * mean_regret(FOREVER)


def test_attention_is_learned_from_clicks() -> None:
    """Position-based world, 200,000 exposures: every slot's attention within 0.08 of the truth."""
    rng = np.random.default_rng(0)
    n, truth = 200_000, 1.0 / (1.0 + np.arange(10)) ** 0.7
    item, place = rng.integers(1, 200, n), rng.integers(0, 10, n)
    attraction = rng.beta(2, 10, 200)
    clicked = np.flatnonzero(rng.random(n) < attraction[item] * truth[place])
    fold = ClickPosterior(memory())
    shown = exposures(item, position=place, ts=np.arange(n), offset=np.arange(n) * 2)
    got = rewards(item[clicked], position=place[clicked], ts=clicked, offset=clicked * 2 + 1)
    fold.learn(rows(shown, got, 200))
    assert np.abs(fold.examined()[:10] - truth).max() < 0.08
    alpha, beta = fold.posterior(np.arange(1, 200, dtype=np.int32)).T
    assert np.corrcoef(alpha / (alpha + beta), attraction[1:])[0, 1] > 0.9


def test_waiting_for_maturity_removes_the_bias_of_young_trials() -> None:
    """Rewards two mean delays long: the naive rate of a young item is far too low, the matured one is not."""
    rng = np.random.default_rng(1)
    n, delay, rate = 40_000, 1_000.0, 0.2
    shown_at = np.sort(rng.integers(0, 1_500, n))
    back = np.flatnonzero(rng.random(n) < rate)
    when = shown_at[back] + rng.exponential(delay, len(back))
    seen = back[when <= 1_500]
    when = when[when <= 1_500].astype(np.int64)
    order = np.argsort(np.concatenate([shown_at, when]), kind="stable")
    offset = np.empty(len(order), np.int64)
    offset[order] = np.arange(len(order))
    means = {}
    for name, wait in (("naive", 0.0), ("matured", delay)):
        fold = PurchasePosterior(memory(delay=wait))
        shown = exposures(np.ones(n), ts=shown_at, offset=offset[:n])
        order_of_got = np.argsort(offset[n:])
        got = rewards(
            np.ones(len(seen)), kind=Kind.PURCHASE, ts=when[order_of_got], offset=offset[n:][order_of_got]
        )
        fold.learn(rows(shown, got, 4))
        alpha, beta = fold.posterior(np.array([1], np.int32))[0]
        means[name] = alpha / (alpha + beta)
    assert means["naive"] < 0.6 * rate
    assert means["matured"] == pytest.approx(rate, abs=0.02)
