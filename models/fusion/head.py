"""The gated softmax head: how much each feature counts, learned from probes."""

from typing import Final

import numpy as np

from models.fold import Rows
from models.jit import fast_kernel
from schemas.signals import Float32, Float64, Int32, UInt8
from schemas.snapshots import checksum, pack, unpack

MATURITY: Final = (1, 3, 10, 30, 100)
"""Upper bounds (exclusive) of the user-age buckets."""
GAP: Final = (30.0, 1800.0, 86_400.0)
"""Upper bounds (exclusive) of the time-gap buckets, seconds."""


class Head:
    """Linear softmax over candidates whose weights depend on the person's maturity and time gap.

    Probes of another build, with other features, are passed over.

    ``w = base + maturity[bucket] + gap[bucket]``; one Adagrad step per probe on the log-loss of the item
    that came, among the probe's candidates.

    Parameters
    ----------
    prior
        Weights before the first probe, shape (features,).
    rate
        Adagrad's step.
    """

    VERSION = 1
    name = "head"

    def __init__(self, names: tuple[str, ...], prior: Float64, *, rate: float = 0.05) -> None:
        self.names = names
        self.rate = rate
        self.weights = np.zeros((1 + len(MATURITY) + 1 + len(GAP) + 1, len(names)))
        self.weights[0] = prior
        self.squares = np.full(self.weights.shape, 1e-2)
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
            self.squares,
            self.rate,
        )
        self.probes += len(x)

    def weights_of(self, maturity: UInt8, gap: UInt8) -> Float64:
        """Effective weights per person, shape (n, features)."""
        w = self.weights
        return np.asarray(w[0] + w[1 + maturity] + w[2 + len(MATURITY) + gap])

    def snapshot(self) -> bytes:
        """Weights and step sizes."""
        arrays = {"weights": self.weights, "squares": self.squares}
        return pack(self.name, self.VERSION, arrays, {"probes": self.probes, "names": list(self.names)})

    def restore(self, data: bytes) -> None:
        """Become what ``snapshot`` wrote."""
        arrays, meta = unpack(data, self.name, self.VERSION)
        self.weights, self.squares, self.probes = arrays["weights"], arrays["squares"], meta["probes"]

    def checksum(self) -> int:
        """Of the snapshot."""
        return checksum(self.snapshot())


@fast_kernel
def _learn(
    x: tuple[Int32, Float32, Int32, UInt8, UInt8],
    features: Float32,
    weights: Float64,
    squares: Float64,
    rate: float,
) -> None:
    target, weight, start, maturity, gap = x
    width = features.shape[1]
    w, gradient = np.zeros(width), np.zeros(width)
    for r in range(len(target)):
        if target[r] < 0 or weight[r] <= 0:
            continue
        blocks = (0, 1 + maturity[r], 2 + len(MATURITY) + gap[r])
        for f in range(width):
            w[f] = weights[blocks[0], f] + weights[blocks[1], f] + weights[blocks[2], f]
        _expected(features[start[r] : start[r + 1]], w, gradient)
        for f in range(width):
            g = weight[r] * (gradient[f] - features[start[r] + target[r], f])
            for block in blocks:
                squares[block, f] += g * g
                weights[block, f] -= rate * g / np.sqrt(squares[block, f])


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
