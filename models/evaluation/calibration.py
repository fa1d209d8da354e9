"""Calibration: whether what is predicted with probability p comes about p of the time."""

from typing import Final

import numpy as np

from schemas.signals import Float64

EDGES: Final = np.logspace(-5, 0, 26)
"""Of the bins of predicted probability: five to a decade; anything lower falls into the first."""


def softmax(utility: Float64) -> Float64:
    """Probabilities of candidates, shape (n,).

    Examples
    --------
    >>> softmax(np.log([1.0, 3.0])).round(2).tolist()
    [0.25, 0.75]
    """
    weight = np.exp(utility - utility.max())
    return np.asarray(weight / weight.sum())


class Reliability:
    """The fused head's softmax over its candidates against what came.

    A prediction is the probability that a candidate is the item of the next event, given that one of
    the candidates is; so only tests whose item was among the candidates count, and ``share`` tells how
    many those are.  Every candidate of such a test is one prediction.

    Attributes
    ----------
    predicted, came, count
        Per bin: sum of predictions, how many candidates were the item that came, and how many there were.
    """

    def __init__(self) -> None:
        bins = len(EDGES) - 1
        self.predicted, self.came, self.count = np.zeros(bins), np.zeros(bins), np.zeros(bins)
        self.tests = self.inside = 0

    def add(self, probability: Float64, target: int) -> None:
        """One test.

        Parameters
        ----------
        probability
            Of each candidate, shape (n,).
        target
            Place of the item that came among the candidates, -1 if it is none of them.
        """
        self.tests += 1
        if target < 0:
            return
        self.inside += 1
        at = np.clip(np.searchsorted(EDGES, probability, side="right") - 1, 0, len(self.count) - 1)
        self.count += np.bincount(at, minlength=len(self.count))
        self.predicted += np.bincount(at, weights=probability, minlength=len(self.count))
        self.came[at[target]] += 1.0

    @property
    def share(self) -> float:
        """Tests whose item was among the candidates."""
        return self.inside / max(self.tests, 1)

    def table(self) -> list[dict[str, float]]:
        """Per bin that has predictions: mean prediction, frequency with its 95 % interval, and count.

        Examples
        --------
        >>> reliability = Reliability()
        >>> for n in range(4):
        ...     reliability.add(np.array([0.25, 0.75]), int(n > 0))
        >>> [(round(b["predicted"], 2), round(b["observed"], 2), int(b["n"])) for b in reliability.table()]
        [(0.25, 0.25, 4), (0.75, 0.75, 4)]
        """
        rows = []
        for predicted, came, n in zip(self.predicted, self.came, self.count, strict=True):
            if n:
                low, high = wilson(came, n)
                rows.append(
                    {"predicted": predicted / n, "observed": came / n, "low": low, "high": high, "n": n}
                )
        return [{k: float(v) for k, v in row.items()} for row in rows]


def wilson(hits: float, n: float, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson, 1927).

    Examples
    --------
    >>> low, high = wilson(0, 100)
    >>> round(low, 3), round(high, 3)
    (0.0, 0.037)
    """
    centre, spread = hits / n + z * z / (2 * n), z * np.sqrt(hits * (n - hits) / n**3 + (z / (2 * n)) ** 2)
    scale = 1.0 + z * z / n
    return float(max(centre - spread, 0.0) / scale), float(min((centre + spread) / scale, 1.0))
