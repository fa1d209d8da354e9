"""Live prequential scores: what each component would have been worth on the last events.

Every probe row of ``signals`` holds the rank that each component, the fused list and rank fusion gave
to the item that really came, before anything learned from it, and how much the lists had in common.
"""

import msgspec
import numpy as np

from schemas.signals import Float32, ProbeRows

WINDOW = 4_000
STEPS = 40
CUTOFF = 10
FUSED = ("fused", "rank fusion")


class ComponentScore(msgspec.Struct, frozen=True):
    """NDCG@10 of one component over the window, and its course, oldest first.

    Parameters
    ----------
    overlap
        Mean rank-biased overlap of its list with those of other components (of the fused list: with
        all of them); None: never measured, as for rank fusion.
    """

    name: str
    ndcg: float
    course: tuple[float, ...]
    overlap: float | None = None


def gains(ranks: np.ndarray) -> Float32:
    """NDCG@10 with one relevant item: ``1 / log2(1 + rank)`` up to rank 10, else 0.

    Parameters
    ----------
    ranks
        1-based, 0 for "not listed"; any shape.

    Examples
    --------
    >>> gains(np.array([1, 3, 10, 11, 0])).round(3).tolist()
    [1.0, 0.5, 0.289, 0.0, 0.0]
    """
    listed = (ranks >= 1) & (ranks <= CUTOFF)
    safe = np.where(listed, ranks, 1).astype(np.float32)
    return np.where(listed, 1.0 / np.log2(1.0 + safe), 0.0).astype(np.float32)


class RollingScores:
    """Mean NDCG@10 per component over the last probes.

    Parameters
    ----------
    window
        Probes that count.
    """

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self._names: tuple[str, ...] = ()
        self._ring = np.zeros((0, 0), np.float32)
        self._shared = np.zeros((0, 0), np.float32)
        self._seen = 0

    def __len__(self) -> int:
        return min(self._seen, self._window)

    @property
    def probes(self) -> int:
        """Probes seen since the start."""
        return self._seen

    def add(self, rows: ProbeRows, component_names: tuple[str, ...]) -> None:
        """Take a block's probes; another set of components starts the window anew."""
        if len(rows) == 0:
            return
        names = (*component_names, *FUSED)
        if names != self._names:
            self._names, self._seen = names, 0
            self._ring = np.zeros((self._window, len(names)), np.float32)
            self._shared = np.full((self._window, len(names) - 1), np.nan, np.float32)
        liked = rows.weight > 0
        found = gains(rows.ranks[liked])[-self._window :]
        at = (self._seen + np.arange(len(found))) % self._window
        self._ring[at] = found
        measured = rows.overlap.shape[1] == self._shared.shape[1]
        self._shared[at] = rows.overlap[liked][-self._window :] if measured else np.nan
        self._seen += len(found)

    def scores(self) -> list[ComponentScore]:
        """Best first."""
        held = self._ordered()
        if len(held) == 0:
            return []
        parts = np.array_split(held, min(STEPS, len(held)))
        course = np.array([part.mean(axis=0) for part in parts])
        means = held.mean(axis=0)
        shared = self.overlaps()
        found = [
            ComponentScore(name, float(means[i]), tuple(course[:, i].tolist()), shared.get(name))
            for i, name in enumerate(self._names)
        ]
        return sorted(found, key=lambda s: (-s.ndcg, s.name))

    def overlaps(self) -> dict[str, float]:
        """Mean overlap by component and of the fused list; what was never measured is left out."""
        held = self._shared[: len(self)]
        counts = (~np.isnan(held)).sum(axis=0)
        means = np.nansum(held, axis=0) / np.maximum(counts, 1)
        return {n: float(m) for n, m, c in zip(self._names[:-1], means, counts, strict=True) if c}

    def agreement(self) -> float | None:
        """Mean overlap over the components; None: never measured."""
        found = [value for name, value in self.overlaps().items() if name not in FUSED]
        return sum(found) / len(found) if found else None

    def _ordered(self) -> Float32:
        if self._seen < self._window:
            return self._ring[: self._seen]
        return np.roll(self._ring, -(self._seen % self._window), axis=0)
