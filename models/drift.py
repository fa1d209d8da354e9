"""Has the stream changed?  Adaptive windows over prequential scores and click rates.

ADWIN (Bifet and Gavaldà 2007) keeps the longest window whose halves do not differ significantly, and
says so when it drops its older part.  It only watches: what to do about it is the operator's decision.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from river.drift import ADWIN

from models.fold import Rows
from schemas.signals import Kind, SignalBlock

STREAMS = ("fused reciprocal rank", "click rate")
"""What a watched block brings."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One stream changed.

    Attributes
    ----------
    stream
        Which one.
    before, after
        Mean of the window just before and just after its older part was dropped.
    seen
        Values that the stream had by then.
    """

    stream: str
    before: float
    after: float
    seen: int


class DriftWatch:
    """Watches named streams of values between 0 and 1.

    Parameters
    ----------
    delta
        False-alarm rate of each comparison of two window parts.

    Examples
    --------
    >>> watch = DriftWatch()
    >>> watch.update("click rate", [0.0] * 1000)
    []
    >>> watch.update("click rate", [1.0] * 200)[0].stream
    'click rate'
    """

    def __init__(self, delta: float = 0.002) -> None:
        if not 0.0 < delta < 1.0:
            raise ValueError(f"delta == {delta}, must be in (0, 1)")
        self.delta = delta
        self._windows: dict[str, ADWIN] = {}
        self._seen: dict[str, int] = {}

    def update(self, stream: str, values: Iterable[float]) -> list[Drift]:
        """Add values in order; what changed."""
        window = self._windows.setdefault(stream, ADWIN(delta=self.delta))
        found = []
        for value in values:
            before = float(window.estimation)
            window.update(value)
            self._seen[stream] = self._seen.get(stream, 0) + 1
            if window.drift_detected:
                found.append(Drift(stream, before, float(window.estimation), self._seen[stream]))
        return found

    def mean(self, stream: str) -> float:
        """Mean of a stream's current window; 0 for a stream never seen."""
        window = self._windows.get(stream)
        return float(window.estimation) if window else 0.0

    def watch(self, rows: Rows | SignalBlock) -> list[Drift]:
        """Watch a block: reciprocal rank of each probe's fused list, and clicks per slot shown."""
        found = []
        if len(rows.probes):
            rank = rows.probes.ranks[:, -2].astype(np.float64)
            reciprocal = np.where(rank > 0, 1.0 / np.maximum(rank, 1.0), 0.0)
            found += self.update(STREAMS[0], reciprocal.tolist())
        shown = len(rows.exposures)
        if shown:
            clicks = int((rows.rewards.reward == Kind.CLICK).sum()) if len(rows.rewards) else 0
            found += self.update(STREAMS[1], [min(clicks / shown, 1.0)])
        return found
