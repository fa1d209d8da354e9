"""What the simulator saw: click rates of both arms with their interval and the truth, and latencies.

The interval treats people as the unit: a person's views and clicks depend on each other, persons do
not.  Rates are ratios of sums (clicks per list shown), their variances by the delta method over
persons, the lift's interval on the logarithmic scale (Deng, Knoblich and Lu 2018, "Applying the Delta
Method in Metric Analytics").
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from math import exp, log, sqrt

import msgspec
import numpy as np

Z_95 = 1.959963984540054
MAX_LATENCIES = 200_000


class Rates(msgspec.Struct, frozen=True):
    """Clicks per list shown.

    Parameters
    ----------
    treatment, holdout
        None where no list was shown.
    lift
        Relative: ``treatment / holdout - 1``; None where the holdout has no click.
    interval
        Of the lift, 95 %, persons as the unit; None where either arm has no click or one person.
    true_lift
        From the click law's own probabilities of the lists that were shown: without the luck of the clicks.
    """

    treatment: float | None
    holdout: float | None
    lift: float | None
    interval: tuple[float, float] | None
    true_lift: float | None


@dataclass
class Arm:
    """Sums per person of one arm: lists shown, clicks, and the clicks that the law expected."""

    shown: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    clicks: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    expected: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, user: str, clicks: int, expected: float) -> None:
        """One list was shown."""
        self.shown[user] += 1
        self.clicks[user] += clicks
        self.expected[user] += expected

    def rate(self) -> float | None:
        """Clicks per list shown."""
        shown = sum(self.shown.values())
        return sum(self.clicks.values()) / shown if shown else None

    def true_rate(self) -> float | None:
        """The same with every click replaced by its probability."""
        shown = sum(self.shown.values())
        return sum(self.expected.values()) / shown if shown else None

    def relative_variance(self) -> float | None:
        """Variance of the rate over its square; None with fewer than two persons or no click."""
        rate, persons = self.rate(), len(self.shown)
        if not rate or persons < 2:
            return None
        shown = np.array(list(self.shown.values()), np.float64)
        clicks = np.array([self.clicks[user] for user in self.shown], np.float64)
        spread = persons / (persons - 1) * float(((clicks - rate * shown) ** 2).sum())
        return spread / float(clicks.sum()) ** 2


class Ledger:
    """Counts of one run.

    Examples
    --------
    >>> ledger = Ledger()
    >>> for person in range(50):
    ...     ledger.saw_list(f"t{person}", "treatment", clicks=person % 2, expected=0.5)
    ...     ledger.saw_list(f"h{person}", "holdout", clicks=person % 4 == 0, expected=0.25)
    >>> rates = ledger.rates()
    >>> round(rates.lift, 3), rates.true_lift
    (0.923, 1.0)
    """

    def __init__(self) -> None:
        self.arms = {"treatment": Arm(), "holdout": Arm()}
        self.sent: Counter[str] = Counter()
        self.rungs: Counter[str] = Counter()
        self.lists = 0
        self.sessions = 0
        self.unanswered = 0
        self.latencies: list[float] = []

    def saw_list(self, user: str, arm: str, *, clicks: int, expected: float) -> None:
        """A person was shown a list and clicked so often."""
        self.arms[arm].add(user, clicks, expected)

    def received(self, rung: str, latency_ms: float | None) -> None:
        """A list was published; how long after its trigger, None where the open shop did not send that."""
        self.lists += 1
        if latency_ms is None:
            return
        self.rungs[rung] += 1
        if len(self.latencies) < MAX_LATENCIES:
            self.latencies.append(latency_ms)

    def events(self) -> int:
        """How many events were sent."""
        return self.sent.total()

    def percentile(self, q: float, last: int | None = None) -> float | None:
        """Of the milliseconds from an event to its list, over all or the ``last`` ones."""
        some = self.latencies[-last:] if last else self.latencies
        return float(np.percentile(some, q)) if some else None

    def rates(self) -> Rates:
        """Click rates, lift, interval and truth."""
        treatment, holdout = self.arms["treatment"], self.arms["holdout"]
        return Rates(
            treatment=treatment.rate(),
            holdout=holdout.rate(),
            lift=relative_lift(treatment.rate(), holdout.rate()),
            interval=lift_interval(treatment, holdout),
            true_lift=relative_lift(treatment.true_rate(), holdout.true_rate()),
        )


def relative_lift(treatment: float | None, holdout: float | None) -> float | None:
    """``treatment / holdout - 1``, where both exist.

    Examples
    --------
    >>> relative_lift(0.3, 0.2), relative_lift(0.3, 0.0)
    (0.5, None)
    """
    return treatment / holdout - 1.0 if treatment is not None and holdout else None


def lift_interval(treatment: Arm, holdout: Arm) -> tuple[float, float] | None:
    """The 95 % interval of the relative lift."""
    above, below = treatment.rate(), holdout.rate()
    spread_above, spread_below = treatment.relative_variance(), holdout.relative_variance()
    if not above or not below or spread_above is None or spread_below is None:
        return None
    middle, half = log(above / below), Z_95 * sqrt(spread_above + spread_below)
    return exp(middle - half) - 1.0, exp(middle + half) - 1.0
