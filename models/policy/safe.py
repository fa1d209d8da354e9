"""The safe policy: popularity, always loaded, and independent of whatever may have gone wrong.

It serves the holdout, it is the control that every decision is compared with, and it is what the
guardrail steps back to.  It shares no state with the fused head, the vectors or the bandit, and none of
its numbers is a setting of the treatment: tuning the treatment does not move the yardstick.
"""

from dataclasses import dataclass

import numpy as np

from models.arena import Arena
from models.fold import Lent, Rows
from models.fusion.scored import ScoredLists
from models.jit import kernel
from schemas.signals import Float32, Float64, Int32, Int64
from schemas.snapshots import checksum, pack, unpack

HALF_LIFE_MS = 7 * 24 * 3_600_000.0
TOP = 1024
"""Candidates that are ranked at once, and kept until the next row is learned."""


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
        self._top: Int32 | None = None

    def learn(self, rows: Rows) -> None:
        """Count interactions of positive weight."""
        self._top = None
        self.arena.reserve(rows.n_items)
        self.rows = max(self.rows, rows.n_items)
        seen = rows.interactions
        _learn(seen.item, seen.weight, seen.ts, self.clock, self.arena["count"], self.arena["ts"])

    def utility(self, slots: Int32) -> Float64:
        """``log(1 + decayed count)`` of fold slots: finite, 0 for what was never seen."""
        out = np.zeros(len(slots))
        _utility(slots, self.arena["count"][: self.rows], self.arena["ts"], self.clock[0], out)
        return out

    def candidates(self, limit: int) -> Int32:
        """The most popular fold slots, best first; of equal ones the older slot first."""
        if self._top is None or len(self._top) < min(limit, self.rows):
            count, ts = self.arena["count"][: self.rows], self.arena["ts"][: self.rows]
            seen = np.flatnonzero(count > 0.0)
            key = np.log2(count[seen]) + ts[seen] / HALF_LIFE_MS  # all fade alike: the order is that of today
            self._top = seen[np.argsort(-key, kind="stable")[: max(limit, TOP)]].astype(np.int32)
        return self._top[:limit]

    def lend(self, n_items: int) -> Lent:
        """Counts and their times."""
        return Lent({**self.arena.export(n_items), "clock": self.clock}, {"rows": self.rows})

    def adopt(self, lent: Lent) -> None:
        """Become what ``lend`` gave."""
        self.clock = lent.arrays["clock"]
        self.arena.adopt(lent.arrays)
        self.rows = lent.values.get("rows", self.arena.capacity)
        self._top = None

    def snapshot(self) -> bytes:
        """The same; how many rows are used shows in their number."""
        return pack(self.name, self.VERSION, self.lend(self.rows).arrays)

    def restore(self, data: bytes) -> None:
        """Become what ``snapshot`` wrote."""
        self.adopt(Lent(*unpack(data, self.name, self.VERSION)))

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


@kernel
def _utility(slots: Int32, count: Float64, last: Int64, now: int, out: Float64) -> None:
    for n in range(len(slots)):
        i = slots[n]
        if 0 < i < len(count):
            out[n] = np.log1p(count[i] * 0.5 ** ((now - last[i]) / HALF_LIFE_MS))


def safe_lists(
    slots: Int32, control: Float64, ban_start: Int32, banned: Int32, length: int, part_names: tuple[str, ...]
) -> ScoredLists:
    """Lists that owe nothing to the treatment: the most popular items that each person may be shown.

    Parameters
    ----------
    slots, control
        Candidates for everyone and their utility, best first, shape (m,).
    ban_start, banned
        Ragged: what each of ``n`` people must not be shown.
    length
        Candidates per person, at most.
    part_names
        Of the batch; all parts are 0.

    Examples
    --------
    >>> lists = safe_lists(np.array([7, 5], np.int32), np.array([2.0, 1.0]), np.array([0, 1, 1], np.int32),
    ...                    np.array([7], np.int32), 9, ("popularity",))
    >>> lists.slot, lists.list_start
    (array([5, 7, 5], dtype=int32), array([0, 1, 3], dtype=int32))
    """
    n = len(ban_start) - 1
    start, chosen = np.zeros(n + 1, np.int32), np.empty(n * len(slots), np.int32)
    size = 1 + max(int(slots.max(initial=0)), int(banned.max(initial=0)))
    total = _unbanned(slots, ban_start, banned, length, np.full(size, -1, np.int32), start, chosen)
    chosen = chosen[:total]
    parts = np.zeros((total, len(part_names)))
    return ScoredLists(start, slots[chosen], np.zeros(total), parts, part_names, control[chosen])


@kernel
def _unbanned(
    slots: Int32, ban_start: Int32, banned: Int32, length: int, stamp: Int32, start: Int32, chosen: Int32
) -> int:
    at = 0
    for n in range(len(ban_start) - 1):
        for b in range(ban_start[n], ban_start[n + 1]):
            stamp[banned[b]] = n
        for i in range(len(slots)):
            if at - start[n] == length:
                break
            if stamp[slots[i]] != n:
                chosen[at] = i
                at += 1
        start[n + 1] = at
    return at
