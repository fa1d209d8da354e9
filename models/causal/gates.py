"""Gates: conditions without which a figure is not published, each with its reason in words."""

from math import log

from models.causal.ledger import Tally
from models.causal.ope import WeightSums
from schemas.reports import Gate

MAX_MIXED = 0.01
MAX_MEAN_Z = 4.0
MIN_EVENT_ESS = 50.0
MIN_ESS_SHARE = 0.01
MAX_WEIGHT_SHARE = 0.05


def events_gate(tally: Tally, least: int) -> Gate:
    """Enough conversions in the smaller arm: asymptotic intervals are wrong before that.

    Examples
    --------
    >>> events_gate(Tally((900, 100), (90, 8), (90, 8), (0, 0), 0), 50).reason
    '8 first conversions in the smaller arm, 50 are needed'
    """
    found = min(tally.firsts)
    return _gate(
        "events", found >= least, f"{found} first conversions in the smaller arm, {least} are needed"
    )


def split_gate(log_e_srm: float, alpha: float) -> Gate:
    """Traffic splits as configured."""
    passed = log_e_srm < log(1 / alpha)
    return _gate("split", passed, f"log e-value {log_e_srm:.2f} against the configured split")


def mixed_gate(tally: Tally) -> Gate:
    """Few persons were seen in both arms."""
    share = tally.mixed / max(1, sum(tally.persons))
    return _gate("mixed", share <= MAX_MIXED, f"{share:.1%} of the persons were seen in both arms")


def propensity_gate(sums: WeightSums, target: str) -> Gate:
    """The mean weight is 1, as it must be when propensities are logged as they were."""
    z = sums.mean_z
    reason = f"mean weight {sums.w / max(1, sums.n):.3f}, z = {z:.1f}: logged propensities are wrong"
    return _gate(f"propensities-{target}", abs(z) <= MAX_MEAN_Z, reason)


def support_gates(sums: WeightSums, target: str) -> tuple[Gate, ...]:
    """All that an off-policy estimate must pass.

    The test of the mean weight alone is not enough: one huge weight inflates its own deviation.

    Examples
    --------
    >>> import numpy as np
    >>> sums = WeightSums.of(np.array([1.0, 1.0, 20_000.0]), np.ones(3))
    >>> [g.name for g in support_gates(sums, "uniform") if not g.passed]
    ['event-ess', 'max-weight']
    """
    share = sums.ess / max(1, sums.n)
    return (
        propensity_gate(sums, target),
        _gate(
            "event-ess",
            sums.event_ess >= MIN_EVENT_ESS,
            f"{sums.event_ess:.1f} effective rewarded decisions, {MIN_EVENT_ESS:.0f} are needed",
        ),
        _gate("ess", share >= MIN_ESS_SHARE, f"effective share of the log {share:.2%}, 1 % is needed"),
        _gate(
            "max-weight",
            sums.max_share <= MAX_WEIGHT_SHARE,
            f"one decision carries {sums.max_share:.0%} of the weight, 5 % is allowed",
        ),
    )


def _gate(name: str, passed: bool, reason: str) -> Gate:  # noqa: FBT001  the condition itself
    return Gate(name=name, passed=passed, reason="" if passed else reason)
