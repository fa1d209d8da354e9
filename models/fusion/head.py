"""The gated softmax head: how much each feature counts, learned from probes."""

from typing import Final

import numpy as np

from models.fold import Lent, Rows
from models.jit import fast_kernel
from schemas.signals import Float32, Float64, Int32, UInt8
from schemas.snapshots import checksum, pack, unpack

MATURITY: Final = (1, 3, 10, 30, 100)
"""Upper bounds (exclusive) of the user-age buckets."""
GAP: Final = (30.0, 1800.0, 86_400.0)
"""Upper bounds (exclusive) of the time-gap buckets, seconds."""
GROUPS: Final = 1 + len(MATURITY) + 1 + len(GAP) + 1
VARIANCE: Final = (0.03, 0.005)
"""How far from the prior a weight common to all, and a group's offset, are expected to lie (squared)."""
RELAX: Final = 3e-7
"""Share of the prior uncertainty that returns with every probe: old evidence fades."""


class Head:
    """Linear softmax over candidates whose weights depend on the person's maturity and time gap.

    ``w = base + maturity[bucket] + gap[bucket]``.  Each probe is one online Newton step (Hazan, Agarwal &
    Kale, 2007) on the log-loss of the item that came, among the probe's candidates: every group of weights
    keeps the inverse of its prior precision plus the sum of ``g g'``, renewed by Sherman and Morrison's
    formula.  Scores of components resemble each other so much that steps of one size per feature, as
    Adagrad's, need several times the probes.  Probes of another build, with other features, are passed over,
    and so are those whose features or weight are not finite: one would spoil every later list.

    Parameters
    ----------
    prior
        Weights before the first probe, shape (features,).
    fixed
        Features whose weight stays the prior's.
    """

    VERSION = 2
    name = "head"

    def __init__(self, names: tuple[str, ...], prior: Float64, *, fixed: tuple[str, ...] = ()) -> None:
        self.names = names
        self.weights = np.zeros((GROUPS, len(names)))
        self.weights[0] = prior
        free = np.array([name not in fixed for name in names], np.float64)
        self.variance = np.array([VARIANCE[0], *[VARIANCE[1]] * (GROUPS - 1)])[:, None] * free
        self.covariance = np.stack([np.diag(v) for v in self.variance])
        self.probes = 0

    def learn(self, rows: Rows) -> None:
        """One step per probe whose item was among its candidates."""
        x = rows.probes
        if not len(x) or rows.feature_names != self.names:
            return
        _learn(
            (x.target, x.weight, x.cand_start, x.maturity, x.gap),
            x.features,
            self.weights,
            self.covariance,
            self.variance,
        )
        self.probes += len(x)

    def weights_of(self, maturity: UInt8, gap: UInt8) -> Float64:
        """Effective weights per person, shape (n, features)."""
        w = self.weights
        return np.asarray(w[0] + w[1 + maturity] + w[2 + len(MATURITY) + gap])

    def lend(self, n_items: int) -> Lent:  # noqa: ARG002  nothing here is by item
        """Weights and their covariances."""
        arrays = {"weights": self.weights, "covariance": self.covariance}
        return Lent(arrays, {"probes": self.probes, "names": list(self.names)})

    def adopt(self, lent: Lent) -> None:
        """Become what ``lend`` gave."""
        self.weights, self.covariance = lent.arrays["weights"], lent.arrays["covariance"]
        self.probes = lent.values["probes"]

    def snapshot(self) -> bytes:
        """The same."""
        return pack(self.name, self.VERSION, *self.lend(0))

    def restore(self, data: bytes) -> None:
        """Become what ``snapshot`` wrote."""
        self.adopt(Lent(*unpack(data, self.name, self.VERSION)))

    def checksum(self) -> int:
        """Of the snapshot."""
        return checksum(self.snapshot())


@fast_kernel
def _learn(
    x: tuple[Int32, Float32, Int32, UInt8, UInt8],
    features: Float32,
    weights: Float64,
    covariance: Float64,
    variance: Float64,
) -> None:
    target, weight, start, maturity, gap = x
    width = features.shape[1]
    w, gradient, direction = np.zeros(width), np.zeros(width), np.zeros(width)
    for r in range(len(target)):
        if target[r] < 0 or weight[r] <= 0:
            continue
        groups = (0, 1 + maturity[r], 2 + len(MATURITY) + gap[r])
        for f in range(width):
            w[f] = weights[groups[0], f] + weights[groups[1], f] + weights[groups[2], f]
        _expected(features[start[r] : start[r + 1]], w, gradient)
        square = 0.0
        for f in range(width):
            gradient[f] -= features[start[r] + target[r], f]
            square += gradient[f] * gradient[f]
        if not np.isfinite(square * weight[r]):
            continue
        for group in groups:
            _step(gradient, weight[r], weights[group], covariance[group], variance[group], direction)


@fast_kernel
def _step(
    gradient: Float64,
    weight: float,
    weights: Float64,
    covariance: Float64,
    variance: Float64,
    direction: Float64,
) -> None:
    """One Newton step of one group of weights."""
    width = len(gradient)
    square = 0.0
    for f in range(width):
        direction[f] = 0.0
        for g in range(width):
            direction[f] += covariance[f, g] * gradient[g]
        square += direction[f] * gradient[f]
    size = weight / (1.0 + weight * square)
    for f in range(width):
        weights[f] -= size * direction[f]
        for g in range(width):
            covariance[f, g] = (1.0 - RELAX) * (covariance[f, g] - size * direction[f] * direction[g])
        covariance[f, f] += RELAX * variance[f]


@fast_kernel
def _expected(features: Float32, w: Float64, out: Float64) -> None:
    """Mean features of the candidates under the softmax of their utilities."""
    logits = np.zeros(len(features))
    high = -1e300
    for p in range(len(features)):
        for f in range(len(w)):
            logits[p] += w[f] * features[p, f]
        high = max(high, logits[p])
    total = 0.0
    for p in range(len(features)):
        logits[p] = np.exp(logits[p] - high)
        total += logits[p]
    out[:] = 0.0
    for p in range(len(features)):
        for f in range(len(w)):
            out[f] += logits[p] / total * features[p, f]
