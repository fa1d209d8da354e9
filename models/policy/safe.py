"""The safe policy: popularity, always loaded, and independent of whatever may have gone wrong.

It serves the holdout, it is the control that every decision is compared with, and it is what the
guardrail steps back to.  It shares no state with the fused head, the vectors or the bandit, and none of
its numbers is a setting of the treatment: tuning the treatment does not move the yardstick.
"""

from dataclasses import dataclass

import numpy as np

from models.arena import Arena
from models.fold import Rows
from models.jit import kernel
from schemas.signals import Float32, Float64, Int32, Int64
from schemas.snapshots import checksum, pack, unpack

HALF_LIFE_MS = 7 * 24 * 3_600_000.0


@dataclass(frozen=True, slots=True)
class SafePolicy:
    """How popularity becomes a list: sequential ε-softmax without diversity, draws or learning.

    Parameters
    ----------
    epsilon
        Uniform share per slot: keeps every candidate of the holdout's log possible.
    temperature
        Of the softmax over log popularity: at 0.5 an item twice as popular is four times as likely.
    """

    epsilon: float = 0.02
    temperature: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.epsilon <= 1.0:
            raise ValueError(f"epsilon == {self.epsilon}, must be in [0, 1]")
        if not self.temperature >= 0.0:
            raise ValueError(f"temperature == {self.temperature}, must be >= 0")


class SafePopularity:
    """Interactions per item, halved every week of event time.

    Examples
    --------
    >>> safe = SafePopularity()
    >>> safe.utility(np.array([0, 5], np.int32))
    array([0., 0.])
    """

    name = "safe"
    VERSION = 1

    def __init__(self) -> None:
        self.arena = Arena()
        self.arena.declare("count", np.float64)
        self.arena.declare("ts", np.int64)
        self.clock = np.zeros(1, np.int64)
        self.rows = 0

    def learn(self, rows: Rows) -> None:
        """Count interactions of positive weight."""
        self.arena.reserve(rows.n_items)
        self.rows = max(self.rows, rows.n_items)
        seen = rows.interactions
        _learn(seen.item, seen.weight, seen.ts, self.clock, self.arena["count"], self.arena["ts"])

    def utility(self, slots: Int32) -> Float64:
        """``log(1 + decayed count)`` of fold slots: finite, 0 for what was never seen."""
        known = np.where(slots < self.rows, slots, 0)
        return np.log1p(self._now()[known]) if self.rows else np.zeros(len(slots))

    def candidates(self, limit: int) -> Int32:
        """The most popular fold slots, best first; of equal ones the older slot first."""
        now = self._now()
        order = np.argsort(-now, kind="stable")[:limit].astype(np.int32)
        return order[now[order] > 0.0]

    def _now(self) -> Float64:
        age = self.clock[0] - self.arena["ts"][: self.rows]
        return np.asarray(self.arena["count"][: self.rows] * 0.5 ** (age / HALF_LIFE_MS))

    def snapshot(self) -> bytes:
        """Counts and their times."""
        return pack(self.name, self.VERSION, {**self.arena.export(self.rows), "clock": self.clock})

    def restore(self, data: bytes) -> None:
        """Become what ``snapshot`` wrote."""
        arrays, _ = unpack(data, self.name, self.VERSION)
        self.clock = arrays.pop("clock")
        self.rows = len(arrays["count"])
        self.arena.load(arrays)

    def checksum(self) -> int:
        """Of the snapshot."""
        return checksum(self.snapshot())


@kernel
def _learn(item: Int32, weight: Float32, ts: Int64, clock: Int64, count: Float64, last: Int64) -> None:
    for r in range(len(item)):
        i = item[r]
        if i == 0 or not weight[r] > 0.0:
            continue
        clock[0] = max(clock[0], ts[r])
        now = max(ts[r], last[i])
        late = 0.5 ** ((now - ts[r]) / HALF_LIFE_MS)
        count[i] = count[i] * 0.5 ** ((now - last[i]) / HALF_LIFE_MS) + weight[r] * late
        last[i] = now
