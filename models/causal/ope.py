"""Off-policy evaluation: what another policy would have earned, from logged propensities.

``w`` is the target policy's probability of what was shown over the logged one, ``r`` the reward, ``q``
a model's prediction for what was shown, ``v`` the model's expected reward under the target policy.
Single decisions are evaluated by (self-normalised) inverse propensities and doubly robust scores,
lists by their first slot and by self-normalised reward-interaction weights (McInerney et al., KDD 2020:
a person reads from the top, so slot ``k`` is weighted by the product of the ratios down to ``k``).

No figure is published without its diagnostics (``WeightSums``, ``models.causal.gates``).
"""

from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from models.causal.confidence import TUNED_AT, Interval, half_width, rho_squared
from schemas.signals import Float64


@dataclass(frozen=True, slots=True)
class WeightSums:
    """Additive sums of an evaluation: add those of two halves of a log for those of the whole.

    Attributes
    ----------
    n
        Decisions.
    w, w2, wr, w2r, w2r2
        Sums of the weights, of their squares, and of their products with rewards.
    max_w
        The largest weight.
    """

    n: int = 0
    w: float = 0.0
    w2: float = 0.0
    wr: float = 0.0
    w2r: float = 0.0
    w2r2: float = 0.0
    max_w: float = 0.0

    @classmethod
    def of(cls, w: Float64, r: Float64) -> "WeightSums":
        """From weights and rewards, both of shape (n,)."""
        w2, wr = w * w, w * r
        return cls(
            n=len(w),
            w=float(w.sum()),
            w2=float(w2.sum()),
            wr=float(wr.sum()),
            w2r=float((w * wr).sum()),
            w2r2=float((wr * wr).sum()),
            max_w=float(w.max(initial=0.0)),
        )

    def __add__(self, other: "WeightSums") -> "WeightSums":
        return WeightSums(
            self.n + other.n,
            self.w + other.w,
            self.w2 + other.w2,
            self.wr + other.wr,
            self.w2r + other.w2r,
            self.w2r2 + other.w2r2,
            max(self.max_w, other.max_w),
        )

    @property
    def ess(self) -> float:
        """Effective sample size: how many unweighted decisions the log is worth."""
        return self.w**2 / self.w2 if self.w2 > 0 else 0.0

    @property
    def event_ess(self) -> float:
        """The same of the rewarded decisions alone: what the estimate really rests on."""
        return self.wr**2 / self.w2r2 if self.w2r2 > 0 else 0.0

    @property
    def max_share(self) -> float:
        """Share of all weight that sits on one decision."""
        return self.max_w / self.w if self.w > 0 else 0.0

    @property
    def mean_z(self) -> float:
        """Standard score of the mean weight against 1, its expectation when propensities are right."""
        if self.n < 2:
            return 0.0
        mean = self.w / self.n
        variance = max(0.0, self.w2 / self.n - mean**2) * self.n / (self.n - 1)
        if variance == 0:
            return 0.0 if abs(mean - 1) < 1e-9 else float(np.copysign(inf, mean - 1))
        return (mean - 1) / sqrt(variance / self.n)

    def ips(self, alpha: float, tuned_at: float = TUNED_AT) -> Interval:
        """Inverse propensity score: unbiased, wide."""
        value = self.wr / self.n
        return self._around(value, self.w2r2 / self.n - value**2, alpha, tuned_at)

    def snips(self, alpha: float, tuned_at: float = TUNED_AT) -> Interval:
        """Self-normalised inverse propensity score: the figure to publish."""
        value, mean = self.wr / self.w, self.w / self.n
        scores = self.w2r2 - 2 * value * self.w2r + value**2 * self.w2
        return self._around(value, scores / self.n / mean**2, alpha, tuned_at)

    def _around(self, value: float, variance: float, alpha: float, tuned_at: float) -> Interval:
        half = half_width(self.n, max(variance, 0.0), rho_squared(tuned_at, alpha), alpha)
        return Interval(value, value - half, value + half)


def ips(w: Float64, r: Float64) -> float:
    """Inverse propensity score."""
    return float((w * r).mean())


def snips(w: Float64, r: Float64) -> float:
    """Self-normalised inverse propensity score."""
    return float((w * r).sum() / w.sum())


def clipped_ips(w: Float64, r: Float64, limit: float) -> float:
    """Inverse propensity score with weights cut at ``limit``: biased towards 0."""
    return float((np.minimum(w, limit) * r).mean())


def doubly_robust(w: Float64, r: Float64, q: Float64, v: Float64) -> float:
    """A model's value, corrected by its weighted residuals: unbiased if the propensities are right."""
    return float((w * (r - q) + v).mean())


def self_normalised_dr(w: Float64, r: Float64, q: Float64, v: Float64) -> float:
    """Doubly robust with self-normalised residuals."""
    return float((w * (r - q)).sum() / w.sum() + v.mean())


def switch_dr(w: Float64, r: Float64, q: Float64, v: Float64, threshold: float) -> float:
    """Doubly robust where weights are at most ``threshold``, the model alone elsewhere."""
    return float((np.where(w <= threshold, w, 0.0) * (r - q) + v).mean())


def shrunk_dr(w: Float64, r: Float64, q: Float64, v: Float64, strength: float) -> float:
    """Doubly robust with optimistic shrinkage of the weights (Su et al., ICML 2020)."""
    return float((strength * w / (w * w + strength) * (r - q) + v).mean())


def effective_sample_size(w: Float64) -> float:
    """How many unweighted decisions the weights are worth."""
    return float(w.sum() ** 2 / (w * w).sum())
