"""False alarms and power of the sequential tests, looked at after every hundredth of a stream.

Rates are measured over many streams of a fixed seed.  A rate limit is ``alpha + 3 se``: with the true
rate at ``alpha`` a test fails by chance with probability 0.0013.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import norm

from models.causal.confidence import rho_squared
from models.causal.label_eprocess import log_e_down, log_e_two_sided, log_e_up
from models.causal.srm import log_e_split

STREAMS, PERSONS, LOOKS, HOLDOUT = 2000, 50_000, 200, 0.1
Array = npt.NDArray[np.float64]


def limit(alpha: float, streams: int = STREAMS) -> float:
    return alpha + 3 * float(np.sqrt(alpha * (1 - alpha) / streams))


class Streams:
    """Persons and first conversions of both arms at every look, each of shape (streams, looks)."""

    def __init__(
        self, rates: tuple[float, float], *, seed: int, streams: int = STREAMS, persons: int = PERSONS
    ) -> None:
        rng = np.random.default_rng(seed)
        step = persons // LOOKS
        held = rng.binomial(step, HOLDOUT, (streams, LOOKS))
        treated = step - held
        self.n = np.cumsum(np.stack([treated, held]), axis=2).astype(float)
        hits = np.stack([rng.binomial(treated, rates[0]), rng.binomial(held, rates[1])])
        self.c = np.cumsum(hits, axis=2).astype(float)
        self.persons = np.arange(1, LOOKS + 1) * step


@pytest.fixture(scope="module")
def null() -> Streams:
    """Nobody is harmed and nobody is helped."""
    return Streams((0.05, 0.05), seed=1)


def crossed(log_e: Array, alpha: float) -> float:
    """Share of streams whose e-value ever reaches the limit."""
    return float((log_e >= np.log(1 / alpha)).any(axis=1).mean())


@pytest.mark.parametrize("process", [log_e_two_sided, log_e_down, log_e_up])
@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_labels_cry_wolf_as_rarely_as_promised(
    null: Streams, process: Callable[[Array, Array, float], Array], alpha: float
) -> None:
    """200 looks at each of 2,000 healthy experiments: at most alpha of them alarm."""
    assert crossed(process(null.c[0], null.c[1], HOLDOUT), alpha) <= limit(alpha)


def test_labels_stand_a_rate_that_changes_with_the_time() -> None:
    """Traffic whose rate swings by half alarms no more often: only who converts counts."""
    rng = np.random.default_rng(2)
    swing = 0.05 * (1 + 0.5 * np.sin(np.linspace(0, 12, LOOKS)))
    held = rng.binomial(250, HOLDOUT, (STREAMS, LOOKS))
    c = np.cumsum(np.stack([rng.binomial(250 - held, swing), rng.binomial(held, swing)]), axis=2)
    assert crossed(log_e_down(c[0].astype(float), c[1].astype(float), HOLDOUT), 0.05) <= limit(0.05)


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.05])
def test_the_split_check_cries_wolf_as_rarely_as_promised(null: Streams, alpha: float) -> None:
    """A healthy 90 : 10 split, 200 looks."""
    counts = np.moveaxis(null.n, 0, -1)
    assert crossed(log_e_split(counts, (1 - HOLDOUT, HOLDOUT)), alpha) <= limit(alpha)


def test_the_split_check_finds_a_broken_split() -> None:
    """9 instead of 10 % in the holdout is found in nearly every stream of 50,000 persons."""
    rng = np.random.default_rng(3)
    held = np.cumsum(rng.binomial(250, 0.09, (500, LOOKS)), axis=1).astype(float)
    counts = np.stack([np.arange(1, LOOKS + 1) * 250 - held, held], axis=-1)
    assert crossed(log_e_split(counts, (0.9, 0.1)), 0.001) > 0.95


def excluded(streams: Streams, rho2: float, alpha: float, gate: float) -> float:
    """Share of streams whose gated confidence sequence ever excludes "no difference"."""
    p = streams.c / streams.n
    spread = (p * (1 - p) / streams.n).sum(axis=0)
    n = streams.n.sum(axis=0)
    grown = n * rho2 + 1
    half = np.sqrt(n * spread * 2 * grown / (n * n * rho2) * np.log(np.sqrt(grown) / alpha))
    open_ = streams.c.min(axis=0) >= gate
    return float(((np.abs(p[0] - p[1]) > half) & open_).any(axis=1).mean())


def test_gated_intervals_hold_at_every_look(null: Streams) -> None:
    """With 50 events in the smaller arm: at most alpha of the healthy streams are ever excluded."""
    assert excluded(null, rho_squared(10_000, 0.05), 0.05, gate=50) <= limit(0.05)


def test_the_gate_is_needed() -> None:
    """At a rate of 0.5 % and without the gate the asymptotic interval is wrong too often."""
    rare = Streams((0.005, 0.005), seed=4)
    rho2 = rho_squared(10_000, 0.05)
    assert excluded(rare, rho2, 0.05, gate=1) > limit(0.05)
    assert excluded(rare, rho2, 0.05, gate=50) <= limit(0.05)


def test_the_naive_test_shows_that_these_tests_have_teeth(null: Streams) -> None:
    """A z-test at 5 % at every look alarms in at least 30 % of the same healthy streams."""
    pooled = null.c.sum(axis=0) / null.n.sum(axis=0)
    error = np.sqrt(pooled * (1 - pooled) * (1 / null.n).sum(axis=0))
    z = np.divide(
        null.c[0] / null.n[0] - null.c[1] / null.n[1], error, where=error > 0, out=np.zeros_like(error)
    )
    assert (np.abs(z) > norm.ppf(0.975)).any(axis=1).mean() >= 0.30


@pytest.mark.parametrize(
    ("alpha", "quantiles"), [(0.05, (6_900, 17_800, 21_200)), (0.02, (9_400, 20_400, 23_400))]
)
def test_harm_is_rolled_back_in_time(alpha: float, quantiles: tuple[int, int, int]) -> None:
    """Conversion at 3 instead of 5 %: half, 90 and 95 % of 1,000 streams are stopped within 15 % of the
    persons of the reference study (the standard error of these quantiles is 3 to 4 %).
    """
    harm = Streams((0.03, 0.05), seed=5, streams=1000, persons=60_000)
    over = log_e_down(harm.c[0], harm.c[1], HOLDOUT) >= np.log(1 / alpha)
    assert over.any(axis=1).mean() > 0.999
    stopped = harm.persons[over.argmax(axis=1)]
    for share, expected in zip((0.5, 0.9, 0.95), quantiles, strict=True):
        assert np.quantile(stopped, share) == pytest.approx(expected, rel=0.15)


def test_all_conversions_instead_of_first_ones_would_cry_wolf() -> None:
    """Why the books count first conversions: persons who convert 3 times each break the label test."""
    rng = np.random.default_rng(6)
    held = rng.random((500, 5_000)) < HOLDOUT
    each = rng.geometric(1 / 3, (500, 5_000))
    treated, kept = (
        np.cumsum(np.where(side, each, 0), axis=1)[:, 24::25].astype(float) for side in (~held, held)
    )
    assert crossed(log_e_two_sided(treated, kept, HOLDOUT), 0.05) > 0.3
