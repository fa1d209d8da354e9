"""Live prequential scores: how high each component, rank fusion and the fused list put what came.

Beside them, how much the components agree: decayed means of the rank-biased overlap of their lists.
"""

from typing import Final

import numpy as np

from models.fold import Lent, Rows
from models.jit import kernel
from schemas.signals import Float32, Float64, Int16
from schemas.snapshots import checksum, pack, unpack

HALF_LIFE: Final = 2000.0
"""Probes."""
DEPTH: Final = 10


class Scoreboard:
    """Decayed and total NDCG@10 and hit rate per contestant, and decayed overlaps, from probe rows.

    Attributes
    ----------
    names
        Columns of the components, then ``"fused"`` and ``"rrf"``.
    """

    VERSION = 1
    name = "scoreboard"

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.names = (*columns, "fused", "rrf")
        self.recent = np.zeros((len(self.names), 2))
        self.total = np.zeros((len(self.names), 2))
        self.weight = np.zeros(2)
        self.agreement = np.zeros((len(columns) + 2, 2))

    def learn(self, rows: Rows) -> None:
        """Score probes; overlaps are passed over where an older build wrote none."""
        keep = 0.5 ** (1.0 / HALF_LIFE)
        if len(rows.probes) and rows.probes.ranks.shape[1] == len(self.names):
            _learn(rows.probes.ranks, keep, self.recent, self.total, self.weight)
        if rows.probes.overlap.shape[1] == len(self.agreement) - 1:
            _agree(rows.probes.overlap, keep, self.agreement)

    def scores(self) -> dict[str, dict[str, float]]:
        """``{"fused": {"NDCG@10": …, "HR@10": …}, …}`` over the recent probes; zeros before the first."""
        weight = max(float(self.weight[0]), 1e-12)
        return {
            name: {"NDCG@10": float(row[0] / weight), "HR@10": float(row[1] / weight)}
            for name, row in zip(self.names, self.recent, strict=True)
        }

    def overlaps(self) -> dict[str, float]:
        """Recent mean rank-biased overlaps, of what was ever measured.

        Of each column's list with those of other components, of the ``"fused"`` list with all, and over
        all columns (``"all"``).
        """
        names = (*self.names[:-1], "all")
        return {n: float(s / w) for n, (s, w) in zip(names, self.agreement, strict=True) if w > 0}

    @property
    def probes(self) -> int:
        """Probes scored so far."""
        return int(self.weight[1])

    def lend(self, n_items: int) -> Lent:  # noqa: ARG002  nothing here is by item
        """Sums and weights."""
        names = ("recent", "total", "weight", "agreement")
        return Lent({name: getattr(self, name) for name in names}, {})

    def adopt(self, lent: Lent) -> None:
        """Become what ``lend`` gave; older builds knew no overlaps."""
        arrays = lent.arrays
        self.recent, self.total, self.weight = arrays["recent"], arrays["total"], arrays["weight"]
        self.agreement = arrays.get("agreement", np.zeros((len(self.recent), 2)))

    def snapshot(self) -> bytes:
        """The same."""
        return pack(self.name, self.VERSION, self.lend(0).arrays)

    def restore(self, data: bytes) -> None:
        """Become what ``snapshot`` wrote."""
        self.adopt(Lent(*unpack(data, self.name, self.VERSION)))

    def checksum(self) -> int:
        """Of the snapshot."""
        return checksum(self.snapshot())


@kernel
def _learn(ranks: Int16, keep: float, recent: Float64, total: Float64, weight: Float64) -> None:
    for r in range(len(ranks)):
        weight[0] = keep * weight[0] + 1.0
        weight[1] += 1.0
        for c in range(ranks.shape[1]):
            rank = ranks[r, c]
            hit = 1.0 if 0 < rank <= DEPTH else 0.0
            gain = hit / np.log2(rank + 1.0) if rank > 0 else 0.0
            recent[c, 0] = keep * recent[c, 0] + gain
            recent[c, 1] = keep * recent[c, 1] + hit
            total[c, 0] += gain
            total[c, 1] += hit


@kernel
def _agree(overlap: Float32, keep: float, agreement: Float64) -> None:
    """Decayed sums and weights of each list's overlap, and of the components' mean, where there is one."""
    last = overlap.shape[1]
    for r in range(len(overlap)):
        total, n = 0.0, 0
        for c in range(last):
            value = float(overlap[r, c])
            if np.isnan(value):
                continue
            agreement[c, 0] = keep * agreement[c, 0] + value
            agreement[c, 1] = keep * agreement[c, 1] + 1.0
            if c < last - 1:
                total += value
                n += 1
        if n > 0:
            agreement[last, 0] = keep * agreement[last, 0] + total / n
            agreement[last, 1] = keep * agreement[last, 1] + 1.0
