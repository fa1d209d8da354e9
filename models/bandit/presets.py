"""Which way of fusing serves people of which maturity: a bandit over a handful of presets.

Probes judge every preset on every event (each column's rank of the item that came), so the estimates
are those of full information; which preset serves is still drawn, by inverse-gap weighting with
closed-form probabilities (SquareCB; Foster and Rakhlin 2020), so that its choice can be logged.
"""

from typing import Final

import numpy as np

from models.counter_random import lots
from models.fold import Rows
from models.jit import kernel
from schemas.errors import SnapshotError
from schemas.signals import Float64, Int16, UInt8, UInt64
from schemas.snapshots import checksum, pack, unpack

BUCKETS: Final = 256
DEPTH: Final = 10
FADE: Final = 1.0 - 1.0 / 2000.0
"""Per probe of a bucket: the last two thousand or so decide."""
PRIOR: Final = 20.0
"""Probes of value 0 that every preset starts with."""


class FusionPresets:
    """Discounted NDCG@10 of every preset per maturity bucket.

    Parameters
    ----------
    presets
        Names of rank columns of the probes; the last two of a probe row are called ``"fused"`` and
        ``"rank-fusion"``, the others as the component columns.
    gamma
        How sharply the best is preferred; infinite: always the best.

    Examples
    --------
    >>> presets = FusionPresets(("fused", "rank-fusion"), gamma=1000.0)
    >>> presets.probabilities(0)
    array([0.5, 0.5])
    """

    name = "fusion-presets"
    VERSION = 1

    def __init__(self, presets: tuple[str, ...] = ("fused", "rank-fusion"), gamma: float = 1000.0) -> None:
        if not presets or len(set(presets)) < len(presets):
            raise ValueError(f"presets == {presets}: at least one, none twice")
        if not gamma > 0.0:
            raise ValueError(f"gamma == {gamma}, must be > 0")
        self.presets = presets
        self.gamma = gamma
        self.gain = np.zeros((BUCKETS, len(presets)))
        self.weight = np.full(BUCKETS, PRIOR)

    def learn(self, rows: Rows) -> None:
        """Judge every preset by the probes."""
        if not len(rows.probes):
            return
        columns = (*rows.component_names, "fused", "rank-fusion")
        missing = [p for p in self.presets if p not in columns]
        if missing:
            raise ValueError(f"presets: no probe column {missing[0]!r}; there are {', '.join(columns)}")
        chosen = np.array([columns.index(p) for p in self.presets])
        _learn(rows.probes.maturity, rows.probes.ranks[:, chosen], self.gain, self.weight)

    def values(self, maturity: int) -> Float64:
        """Estimated NDCG@10 of each preset for people of this maturity."""
        return np.asarray(self.gain[maturity] / self.weight[maturity])

    def probabilities(self, maturity: int) -> Float64:
        """Probability of each preset: the best takes what inverse gaps leave, ties go to the first."""
        values = self.values(maturity)
        best = int(values.argmax())
        p = 1.0 / (len(values) + self.gamma * (values[best] - values))
        p[best] = 0.0
        p[best] = 1.0 - p.sum()
        return np.asarray(p)

    def choose(self, maturity: UInt8, seed: UInt64) -> tuple[list[str], Float64]:
        """A preset for everyone of a batch, and the probability with which it was drawn.

        Parameters
        ----------
        maturity, seed
            Shape (n,); the same seed, the same choice.
        """
        table = {int(m): self.probabilities(int(m)) for m in np.unique(maturity)}
        names, chances = [], np.empty(len(maturity))
        for n, (m, lot) in enumerate(zip(maturity.tolist(), lots(seed, 1 << 19), strict=True)):
            i = min(int(np.searchsorted(np.cumsum(table[m]), lot, side="right")), len(self.presets) - 1)
            names.append(self.presets[i])
            chances[n] = table[m][i]
        return names, chances

    def snapshot(self) -> bytes:
        """Gains and weights, with the presets that they belong to."""
        arrays = {"gain": self.gain, "weight": self.weight}
        return pack(self.name, self.VERSION, arrays, {"presets": list(self.presets)})

    def restore(self, data: bytes) -> None:
        """Become what ``snapshot`` wrote."""
        arrays, meta = unpack(data, self.name, self.VERSION)
        if tuple(meta["presets"]) != self.presets:
            raise SnapshotError(f"{self.name}: it holds {meta['presets']}, not {list(self.presets)}")
        self.gain, self.weight = arrays["gain"], arrays["weight"]

    def checksum(self) -> int:
        """Of the snapshot."""
        return checksum(self.snapshot())


@kernel
def _learn(maturity: UInt8, ranks: Int16, gain: Float64, weight: Float64) -> None:
    for r in range(len(maturity)):
        m = maturity[r]
        weight[m] = weight[m] * FADE + 1.0
        for c in range(ranks.shape[1]):
            rank = ranks[r, c]
            got = 1.0 / np.log2(rank + 1.0) if 1 <= rank <= DEPTH else 0.0
            gain[m, c] = gain[m, c] * FADE + got
