"""Posteriors as folds: what they count, forget and wait for."""

from itertools import pairwise

import numpy as np
import pytest

from models.bandit.click import ClickPosterior
from models.bandit.counts import POSITIONS, Memory, prior_places
from models.bandit.purchase import PurchasePosterior
from models.bandit.synthetic import FOREVER, exposures, rewards, rows
from models.bandit.thompson import Thompson
from schemas.signals import Kind

STILL = Memory(half_life=FOREVER, delay=0.0)


def posterior(fold, item: int) -> list[float]:
    """Alpha and beta of one item, less the prior's hit."""
    alpha, beta = fold.posterior(np.array([item], np.int32))[0]
    return [alpha - fold.prior()[0], beta - fold.prior()[1]]


def test_hits_and_misses_are_counted_at_the_top_slot() -> None:
    """Two clicks in five looks: two hits, three misses; other items keep the prior."""
    fold = ClickPosterior(STILL)
    fold.learn(rows(exposures([3] * 5), rewards([3, 3])))
    assert posterior(fold, 3) == pytest.approx([2.0, 3.0])
    assert posterior(fold, 4) == pytest.approx([0.0, 0.0])


def test_a_lower_slot_is_less_of_a_trial() -> None:
    """A slot that is looked at half the time costs half a trial."""
    fold = ClickPosterior(STILL)
    theta = fold.examined()
    fold.learn(rows(exposures([3] * 4, position=2)))
    assert theta[2] == pytest.approx(0.5)
    assert posterior(fold, 3)[1] == pytest.approx(2.0, rel=0.05)


def test_a_trial_matures_with_its_delay() -> None:
    """After one mean delay 63 % of trials count, after many all."""
    fold = ClickPosterior(Memory(half_life=FOREVER, delay=1_000.0))
    fold.learn(rows(exposures([3] * 100, ts=0)))
    assert posterior(fold, 3)[1] == pytest.approx(0.0)
    fold.learn(rows(exposures([4], ts=1_000, offset=200)))
    assert posterior(fold, 3)[1] == pytest.approx(100 * (1 - np.exp(-1)))
    fold.learn(rows(exposures([4], ts=50_000, offset=201)))
    assert posterior(fold, 3)[1] == pytest.approx(100.0)


def test_observations_fade_at_the_half_life() -> None:
    """What was counted weighs half after one, hits and misses alike."""
    fold = ClickPosterior(Memory(half_life=1_000.0, delay=0.0))
    fold.learn(rows(exposures([3] * 8), rewards([3] * 2)))
    fold.learn(rows(exposures([4], ts=1_000, offset=2 * 10**9)))
    assert posterior(fold, 3) == pytest.approx([1.0, 3.0])


def test_time_that_runs_backwards_changes_nothing() -> None:
    """A late row is counted at the present."""
    fold = ClickPosterior(Memory(half_life=1_000.0, delay=0.0))
    fold.learn(rows(exposures([3] * 4, ts=5_000)))
    fold.learn(rows(exposures([3] * 4, ts=1_000, offset=99)))
    assert posterior(fold, 3) == pytest.approx([0.0, 8.0])


def test_rewards_of_another_kind_or_of_no_decision_do_not_count() -> None:
    """Clicks for clicks, purchases for purchases, and only what was shown."""
    fold = ClickPosterior(STILL)
    fold.learn(rows(exposures([3] * 5), rewards([3], kind=Kind.PURCHASE)))
    fold.learn(rows(got=rewards([3], decision=0, offset=2 * 10**9)))
    assert posterior(fold, 3) == pytest.approx([0.0, 5.0])


def test_amounts_that_are_no_numbers_are_left_out() -> None:
    """The purchase counts, its amount does not."""
    fold = PurchasePosterior(STILL)
    fold.learn(
        rows(exposures([3] * 5), rewards([3] * 4, kind=Kind.PURCHASE, amount=[np.nan, np.inf, -1.0, 8.0]))
    )
    assert posterior(fold, 3)[0] == pytest.approx(4.0)
    assert fold.order_value() == 8.0


def test_the_order_value_is_inverse_gamma() -> None:
    """Shape 3 + n, scale 2 · stream mean + sum: the conjugate posterior of exponential amounts."""
    fold = PurchasePosterior(STILL)
    got = rewards([3, 3, 4], kind=Kind.PURCHASE, amount=[10.0, 30.0, 20.0])
    fold.learn(rows(exposures([3, 3, 4]), got))
    assert fold.value_posterior(np.array([3, 5], np.int32)).tolist() == [[5.0, 80.0], [3.0, 40.0]]


@pytest.mark.parametrize("kind", [ClickPosterior, PurchasePosterior])
@pytest.mark.parametrize("cuts", [(), (1,), (7, 20), tuple(range(1, 60))])
def test_packing_does_not_matter(kind, cuts) -> None:
    """However rows were packed into blocks, the same bytes."""
    rng = np.random.default_rng(5)
    n = 60
    item, place = rng.integers(1, 9, n), rng.integers(0, 6, n)
    ts = np.cumsum(rng.integers(0, 5_000_000, n))
    which = rng.random(n) < 0.4

    reward = Kind.CLICK if kind is ClickPosterior else Kind.PURCHASE

    def part(a: int, b: int):
        here = np.arange(a, b)
        shown, got = here[~which[a:b]], here[which[a:b]]
        return rows(
            exposures(item[shown], position=place[shown], ts=ts[shown], offset=shown),
            rewards(item[got], kind=reward, amount=3.0, position=place[got], ts=ts[got], offset=got),
        )

    whole, cut = kind(), kind()
    whole.learn(part(0, n))
    edges = [0, *cuts, n]
    for a, b in pairwise(edges):
        cut.learn(part(a, b))
    assert whole.snapshot() == cut.snapshot()
    assert whole.checksum() == cut.checksum()


@pytest.mark.parametrize("kind", [ClickPosterior, PurchasePosterior])
def test_a_snapshot_restores_the_same_posterior(kind) -> None:
    """Bytes, posterior and what is learned afterwards."""
    fold, other = kind(), kind()
    fold.learn(rows(exposures([3, 4, 5], ts=7), rewards([4], kind=fold.reward, ts=9)))
    other.restore(fold.snapshot())
    assert other.snapshot() == fold.snapshot()
    for f in (fold, other):
        f.learn(rows(exposures([3], ts=10**7, offset=2 * 10**9), n_items=64))
    assert other.snapshot() == fold.snapshot()


def test_attention_is_bounded_whatever_is_clicked() -> None:
    """Slots are looked at between 1 % and 100 % of the time."""
    fold = ClickPosterior(STILL)
    fold.learn(rows(exposures([1] * 50, position=9), rewards([1] * 5_000, position=9)))
    fold.learn(rows(exposures([2] * 5_000, position=3, offset=2 * 10**9)))
    theta = fold.examined()
    assert theta.shape == (POSITIONS,)
    assert theta[0] == theta[9] == 1.0
    assert ((theta >= 0.01) & (theta <= 1.0)).all()


def test_attention_starts_with_the_logarithm_of_the_slot() -> None:
    """1, 0.63, 0.5, …"""
    places = prior_places()
    assert (places[:3, 0] / places[:3, 1]).tolist() == pytest.approx([1.0, 0.63093, 0.5])


@pytest.mark.parametrize(
    ("field", "value"), [("half_life", 0.0), ("delay", -1.0), ("prior_mean", 1.0), ("prior_hits", 0.0)]
)
def test_a_memory_that_makes_no_sense_is_refused(field: str, value: float) -> None:
    """At construction."""
    with pytest.raises(ValueError, match="must be"):
        Memory(**{"half_life": 1.0, "delay": 1.0, field: value})


def bandit(**memory: float) -> Thompson:
    """A bandit over items 1 to 9 that are their own fold slots."""
    m = Memory(**{"half_life": FOREVER, "delay": 0.0, **memory})
    return Thompson(ClickPosterior(m), PurchasePosterior(m), np.arange(10, dtype=np.int32))


def test_draws_depend_on_seed_and_place_alone() -> None:
    """The same seed draws the same, in any batch; another seed draws something else."""
    b = bandit()
    slots, start = np.array([1, 2, 3, 1, 2, 3], np.int32), np.array([0, 3, 6], np.int32)
    both = b.draw(slots, start, np.array([5, 6], np.uint64))
    alone = b.draw(slots[3:], np.array([0, 3], np.int32), np.array([6], np.uint64))
    assert both[3:].tobytes() == alone.tobytes()
    assert not np.array_equal(both[:3], both[3:])


def test_draws_are_bounded_and_known_before_anything_was_learned() -> None:
    """Unknown slots draw from the prior; no draw passes the ceiling."""
    b = bandit()
    slots = np.array([0, 5, 999], np.int32)
    draws = np.array(
        [b.draw(slots, np.array([0, 3], np.int32), np.array([s], np.uint64)) for s in range(500)]
    )
    assert np.isfinite(draws).all()
    assert draws.min() >= -1.0
    assert draws.max() <= 3.0


def test_means_split_clicks_and_purchases() -> None:
    """Click mean plus the value of purchases times conversion times relative order value."""
    b = bandit()
    b.click.learn(rows(exposures([3] * 10), rewards([3] * 4)))
    click = (4 + 1) / (10 + 1 + b.click.prior()[1])
    a, c = b.purchase.prior()
    assert b.means(np.array([3], np.int32))[0] == pytest.approx(click + 3.0 * a / (a + c))
    assert bandit().means(np.array([3], np.int32))[0] == pytest.approx(bandit().expected())
